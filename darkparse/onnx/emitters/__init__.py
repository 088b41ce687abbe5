"""Emitters for all module spec targets; importing the modules registers them."""

from darkparse.onnx.emitters import activations, convolutional, dense, heads, joining, maps, rearranging, recurrent

__all__ = ["activations", "convolutional", "dense", "heads", "joining", "maps", "rearranging", "recurrent"]
