"""The words of all views: numbers, plurals, lists, cells and sentences, each a function of the facts."""
