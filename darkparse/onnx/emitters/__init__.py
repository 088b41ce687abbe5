"""One small function a target of the module specs; importing the files registers them."""

from darkparse.onnx.emitters import activations, convolutional, heads, joining, maps, recurrent

__all__ = ["activations", "convolutional", "heads", "joining", "maps", "recurrent"]
