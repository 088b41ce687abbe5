"""What people read: tables, explanations, diagrams. Nothing here changes a network or needs torch."""

from darkparse._utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
