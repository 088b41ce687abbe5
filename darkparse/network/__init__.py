"""Compilation of a Config to a Network, and analysis of networks."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
