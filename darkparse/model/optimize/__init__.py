"""Optimizations for inference: folded batch norm, packed weight layouts, Winograd convolutions."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
