"""Networks as ONNX files, written from the representation without torch."""

from darkparse._utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
