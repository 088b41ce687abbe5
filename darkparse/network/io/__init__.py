"""A network back to text, and changed: cfg, YAML, other classes, another size, a cut."""
