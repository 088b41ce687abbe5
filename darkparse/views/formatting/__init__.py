"""Text formatting shared by all views: numbers, plurals, lists, cells and sentences."""
