"""Training as the cfg specifies it: data, losses, optimizer, learning rate, trainer."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
