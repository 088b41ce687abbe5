"""Network diagrams: content, layout and output formats."""
