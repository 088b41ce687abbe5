"""Datasets on disk: `.data` files, image lists, labels, class names, annotations."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
