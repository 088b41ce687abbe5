"""Times of layers: those of the fastest pass, with the module unchanged."""

from __future__ import annotations

from itertools import accumulate, chain
from types import SimpleNamespace

import pytest
import torch

import darkparse
from darkparse.model.optimize import profiling

TEXT = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\n[crnn]\nsize=3\npad=1\n"


def test_layer_seconds_are_those_of_the_fastest_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass is not counted: each reads the clock at its start and after each of two layers."""
    model = darkparse.build(TEXT, initialize=True).eval()
    durations = [(0.0, 0.1, 0.1), (0.0, 3.0, 4.0), (0.0, 1.0, 2.0), (0.0, 2.0, 2.0)]
    reads = accumulate(chain.from_iterable(durations))
    monkeypatch.setattr(profiling, "time", SimpleNamespace(perf_counter=lambda: next(reads)))
    assert profiling.layer_seconds(model, torch.zeros(1, 3, 8, 8)) == pytest.approx((1.0, 2.0))
    assert next(reads, None) is None
    assert not any(layer._forward_hooks for layer in model.layers)
