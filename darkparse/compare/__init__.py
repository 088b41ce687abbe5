"""A network's layers beside another implementation's: the first that differs, and why."""

from darkparse.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
