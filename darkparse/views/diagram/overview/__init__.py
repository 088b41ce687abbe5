"""Overview of a network: one box per stage in three bands, backbone, neck and heads."""
