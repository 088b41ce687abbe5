"""Page layout of a diagram, computed in passes."""
