"""Images to boxes, with Darknet's arithmetic."""

from darkparse.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
