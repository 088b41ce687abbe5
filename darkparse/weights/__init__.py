"""The `.weights` file: header, layout, reading, writing, and what is wrong where file and cfg part; numpy only."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
