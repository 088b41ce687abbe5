"""Normalizations. Maps are (N, C, H, W)."""

from __future__ import annotations

import numpy as np

from darkparse.export.onnx.graph import Value
from darkparse.export.onnx.place import Place, emits

MODULES = "darkparse.model.modules"


@emits(f"{MODULES}.BatchNorm", f"{MODULES}.RootEpsilonBatchNorm")
def batch_norm(at: Place, x: Value, num_features: int, eps: float, momentum: float) -> Value:
    """Where no linear map took it in."""
    return at.norm(x, at.path)


@emits(f"{MODULES}.LocalResponseNorm")
def local_response(at: Place, x: Value, size: int, alpha: float, beta: float, kappa: float) -> Value:
    """The sums over neighbouring channels are a 1×1 convolution of the squares (normalization_layer.c)."""
    channels, ahead, behind = at.node.site.input.c, size // 2, (size - 1) // 2
    place = np.arange(channels)
    distance = place - place[:, None]
    window = ((-behind <= distance) & (distance <= ahead)).astype(np.float32)
    # Darknet moves one running sum along, which starts without channel size/2 and loses it all the same.
    window[:, ahead : ahead + 1] -= 1
    sums = at.op("Conv", x * x, at.graph.constant(window[..., None, None]))
    return x * at.op("Pow", kappa + alpha * sums, -float(beta))


@emits(f"{MODULES}.L2Norm")
def l2(at: Place, x: Value) -> Value:
    """Over the length along the channels."""
    return x / at.op("Sqrt", at.op("ReduceSum", x * x, at.graph.ints(1)))
