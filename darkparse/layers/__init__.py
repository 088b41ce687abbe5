"""The vocabulary: one class for each layer kind of Darknet, one file for each family."""

from darkparse.layers import (  # noqa: F401  (they register)
    convolutional,
    dense,
    heads,
    joining,
    pointwise,
    pooling,
    recurrent,
    resampling,
    yolo_heads,
)
from darkparse.layers.base import REGISTRY, Layer, LayerError, layer, option
from darkparse.layers.dialect import ALEXEYAB, DIALECTS, PJREDDIE, Dialect
from darkparse.layers.head import Head
from darkparse.layers.shape import Layout, Shape
from darkparse.layers.specs import LayerContext, ModuleSpec, TensorSpec

__all__ = [
    "ALEXEYAB",
    "DIALECTS",
    "PJREDDIE",
    "REGISTRY",
    "Dialect",
    "Head",
    "Layer",
    "LayerContext",
    "LayerError",
    "Layout",
    "ModuleSpec",
    "Shape",
    "TensorSpec",
    "layer",
    "option",
]
