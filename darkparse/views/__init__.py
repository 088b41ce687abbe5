"""Human-readable views of a network: tables, explanations and diagrams. They are read-only and do not need torch."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
