"""Views that are read as text: the table, the explanation, the report on one layer, the difference of two networks."""
