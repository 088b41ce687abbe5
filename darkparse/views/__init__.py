"""What people read: tables, explanations, diagrams. Nothing here changes a network or needs torch."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
