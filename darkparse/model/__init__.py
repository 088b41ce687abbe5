"""PyTorch modules of compiled networks: building, loading, saving and optimizing."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
