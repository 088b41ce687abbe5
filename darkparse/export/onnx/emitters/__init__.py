"""One small function a target of the module specs, in the families of `darkparse.model.modules`."""

from darkparse.export.onnx.emitters import (
    activations,
    convolutional,
    dense,
    heads,
    joining,
    normalization,
    pooling,
    recurrent,
    resampling,
)

__all__ = [
    "activations",
    "convolutional",
    "dense",
    "heads",
    "joining",
    "normalization",
    "pooling",
    "recurrent",
    "resampling",
]
