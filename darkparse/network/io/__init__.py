"""Conversion of networks to cfg and YAML, and edits: other classes, another input size, a cut."""
