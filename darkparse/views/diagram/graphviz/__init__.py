"""The diagram through Graphviz: a `graphviz.Digraph` of HTML tables, and the files that Graphviz renders of it."""
