"""The `.weights` file: header, layout, reading, writing, and diagnosis of mismatches with a cfg; needs only numpy."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
