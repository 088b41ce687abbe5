"""Faster inference: folded batch norm, packed layouts, Winograd."""

from darkparse._utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
