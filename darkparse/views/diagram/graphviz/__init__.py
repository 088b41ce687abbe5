"""Diagrams with Graphviz: a `graphviz.Digraph` of HTML tables, and the files that Graphviz renders from it."""
