"""Training as the cfg says: optimizer and learning rates, and the whole run."""

from darkparse.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
