"""Config to Network, and what can be asked of a Network."""

from darkparse._utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
