"""One small function a target of the module specs; importing the files registers them."""

from darkparse.onnx.emitters import activations, convolutional, dense, heads, joining, maps, rearranging, recurrent

__all__ = ["activations", "convolutional", "dense", "heads", "joining", "maps", "rearranging", "recurrent"]
