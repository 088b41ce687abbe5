"""Data sets on disk: `.data` files, lists of images, labels, class names, annotations."""

from darkparse._utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
