"""Numbers that Darknet computed, for a set of small networks."""
