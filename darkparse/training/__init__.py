"""Training as the cfg describes it: data, losses, optimizer, learning rate, trainer."""

from darkparse._utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
