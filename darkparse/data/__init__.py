"""Darknet's data: `.data` files, lists, labels, and the pictures that a network is trained with."""

from darkparse.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
