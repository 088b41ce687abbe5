"""Folding batch norm changes nothing but the rounding."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

import darkparse
from darkparse.model.optimize.fusion import Norm
from tests.layers.small_networks import SMALL, choose_dialect
from tests.model.samples import mark_repeated, narrow

NORMED = [
    path
    for path in SMALL
    if "batch_normalize" in path.read_text("utf-8", "replace") or "cbn" in path.read_text("utf-8", "replace")
]


@pytest.mark.parametrize("path", mark_repeated(NORMED, by_option=True))
def test_fuse_computes_same_outputs(path: Path) -> None:
    torch.manual_seed(0)
    model = darkparse.load(path, dialect=choose_dialect(path)).double()
    for module in model.modules():
        if isinstance(module, Norm):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    x = torch.rand(2, *model.network.input_shape.tensor, dtype=torch.float64)
    fused = darkparse.fuse(model)
    with torch.inference_mode():
        for node, want, got in zip(model.network.nodes, model.layer_outputs(x), fused.layer_outputs(x), strict=True):
            torch.testing.assert_close(
                got, want, rtol=1e-8, atol=1e-8, equal_nan=True, msg=f"layer {node.index} [{node.kind}]"
            )


def test_fuse_removes_batch_norm_from_copy_only() -> None:
    model = darkparse.load(narrow("yolov3-tiny"))
    fused = darkparse.fuse(model)
    assert not any(isinstance(module, Norm) for module in fused.modules())
    assert any(isinstance(module, Norm) for module in model.modules())
    assert not any(parameter.requires_grad for parameter in fused.layers[0].parameters())
    with pytest.raises(darkparse.WeightsError, match="folded"):
        darkparse.save_weights(fused, "never.weights")


def test_fuse_without_weights_raises() -> None:
    with pytest.raises(darkparse.NoWeightsError, match="no weights yet"):
        darkparse.fuse(darkparse.build(darkparse.compile("yolov3-tiny")))


@pytest.mark.slow
def test_fuse_unwraps_module() -> None:
    model = darkparse.load(narrow("yolov3-tiny"))
    assert isinstance(darkparse.fuse(torch.nn.DataParallel(model)), darkparse.Darknet)
    assert isinstance(darkparse.fuse(torch.compile(model)), darkparse.Darknet)  # type: ignore[arg-type]


class _Operators(TorchFunctionMode):
    """Counts the operators that modules call: unlike seconds, the same on every machine."""

    def __init__(self, calls: Counter[str]) -> None:
        super().__init__()
        self.calls = calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def _operators(model: torch.nn.Module) -> Counter[str]:
    calls: Counter[str] = Counter()
    with torch.inference_mode(), _Operators(calls):
        model(torch.rand(1, 3, 64, 64))
    return calls


def test_fuse_removes_batch_norm_operators_and_adds_none() -> None:
    model = darkparse.load(narrow("yolov3-tiny"))
    before, after = _operators(model), _operators(darkparse.fuse(model))
    assert not after - before
    removed = before - after
    assert removed["batch_norm"] == sum(isinstance(module, Norm) for module in model.modules())
    assert not after["batch_norm"]
