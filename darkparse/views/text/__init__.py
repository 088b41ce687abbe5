"""Text views: the table of layers, the explanation, the report on one layer and the comparison of two networks."""
