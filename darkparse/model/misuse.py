"""Error messages for common mistakes: an image instead of a tensor, a method that is a function in darkparse."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

CALLS_BY_METHOD = {
    "load_weights": 'darkparse.load_weights(model, "x.weights")',
    "load_darknet_weights": 'darkparse.load_weights(model, "x.weights")',
    "save_weights": 'darkparse.save_weights(model, "x.weights")',
    "save": 'darkparse.save(model, "x.weights")',
    "detect": 'darkparse.Detector(model).detect("dog.jpg")',
    "predict": 'darkparse.Detector(model).detect("dog.jpg")',
    "fuse": "darkparse.fuse(model)",
    "to_onnx": 'darkparse.to_onnx(model, "x.onnx")',
    "export": 'darkparse.to_onnx(model, "x.onnx")',
    "draw": "darkparse.draw(model.network)",
    "summary": "print(darkparse.explain(model.network))",
}
"""Method of a model of another library → the equivalent darkparse call."""


def explain_missing_attribute(name: str) -> str | None:
    """Return the error for a method that another library's model has; None for other names."""
    call = CALLS_BY_METHOD.get(name)
    return f"a Darknet module has no {name}(); call {call}" if call else None


def explain_foreign_module(model: object) -> str:
    """Return the error for a module that darkparse did not build, such as one of emitted source."""
    message = f"expected a module that darkparse built, got {type(model).__name__}"
    if not isinstance(model, nn.Module):
        return f"{message}; call darkparse.load(cfg, weights)"
    return (
        f"{message}; an emitted network has the same state_dict: model = darkparse.build(cfg), then "
        "model.load_state_dict(emitted.state_dict())"
    )


def explain_wrong_network(network: object) -> str:
    """Return the error for an object that is not a compiled Network; it names the right call."""
    cfg = repr(network) if isinstance(network, str | os.PathLike) else "cfg"
    return (
        f"expected a compiled Network, got {type(network).__name__}; call darkparse.load({cfg}, weights), or "
        f"darkparse.build({cfg}) for a module without weights"
    )


def check_tensor(x: Any, shape: str) -> None:
    """Raise TypeError, naming the right call, unless `x` is a tensor of floating point numbers.

    Args:
        x: The argument of the call.
        shape: The expected shape, for the message: `(N, 3, H, W)`.
    """
    expected = f"expected a tensor {shape} of floating point values in 0…1"
    if not isinstance(x, Tensor):
        raise TypeError(f"{expected}, got {type(x).__name__}; for images call darkparse.Detector(model).detect(image)")
    if not (x.is_floating_point() or x.is_complex()):
        dtype = str(x.dtype).removeprefix("torch.")
        scale = "x.float() / 255" if x.dtype == torch.uint8 else "x.float()"
        raise TypeError(f"{expected}, got {dtype}; call model({scale}), or darkparse.Detector(model).detect(x)")
