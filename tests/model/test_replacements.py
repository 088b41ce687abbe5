"""The faster modules of `optimize` compute the values of those that they replace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import darkparse
from darkparse.model.heads import YoloHead
from darkparse.model.optimize.replacements import (
    MIN_SEPARABLE_SIZE,
    ContiguousYoloHead,
    SeparableMaxPool2d,
    replace_modules,
)
from tests.model.samples import narrow


def replace(module: nn.Module) -> nn.Module:
    layer = nn.Sequential(module)
    replace_modules(layer)
    return layer[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [MIN_SEPARABLE_SIZE, MIN_SEPARABLE_SIZE + 1, 13])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3), 2])
def test_separable_pool_equals_torch(size: int, stride: tuple[int, int] | int, dtype: torch.dtype) -> None:
    for padding in (0, 1, size // 2):
        pool = nn.MaxPool2d(size, stride, padding)
        fast = replace(pool)
        assert isinstance(fast, SeparableMaxPool2d)
        x = torch.randn(2, 3, 15, 14, dtype=dtype)
        x[0, 1, 4, 5], x[1, 2, 9, 3] = torch.nan, -torch.inf
        for maps in (x, x.contiguous(memory_format=torch.channels_last)):
            torch.testing.assert_close(fast(maps), pool(maps), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2, 2), nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(9, 2, 1, ceil_mode=True)], ids=str
)
def test_replace_modules_keeps_other_pools(pool: nn.MaxPool2d) -> None:
    assert replace(pool) is pool


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("logistic", [True, False])
@pytest.mark.parametrize("scale_x_y", [1.0, 1.05, 2.0])
def test_contiguous_yolo_head_equals_head(scale_x_y: float, logistic: bool, order: torch.memory_format) -> None:
    head = YoloHead(3, 4, scale_x_y, logistic)
    fast = replace(head)
    assert isinstance(fast, ContiguousYoloHead)
    x = torch.randn(2, 27, 5, 7).contiguous(memory_format=order)
    before = x.clone()
    torch.testing.assert_close(fast(x), head(x))
    assert torch.equal(x, before)
    traced = torch.jit.trace(fast, x)
    torch.testing.assert_close(traced(x[:1]), head(x[:1]))


def test_optimize_replaces_modules_of_copy_only() -> None:
    model = darkparse.load(narrow("yolov3-spp"))
    kinds = {type(module) for module in model.modules()}
    fast_kinds = {type(module) for module in darkparse.optimize(model).modules()}
    assert {nn.MaxPool2d, YoloHead} <= kinds
    assert {SeparableMaxPool2d, ContiguousYoloHead} <= fast_kinds
    assert kinds == {type(module) for module in model.modules()}
