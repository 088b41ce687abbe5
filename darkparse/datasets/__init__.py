"""Data sets on disk: `.data` files, lists of images, labels, class names, annotations."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
