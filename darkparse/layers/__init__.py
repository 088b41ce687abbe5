"""Darknet's layer kinds: one class per kind, one module per family."""

from darkparse.layers import (  # noqa: F401  (importing registers the kinds)
    convolutional,
    dense,
    heads,
    joining,
    local,
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
