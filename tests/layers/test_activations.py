"""Activations, compared with Darknet's formulas (activations.h, activations.c) in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import darkparse
from darkparse.layers.activations import ACTIVATIONS

Values = NDArray[Any]


def _logistic(x: Values) -> Values:
    return 1 / (1 + np.exp(-x))


def _normalize(x: Values) -> Values:
    normalized: Values = x / (x.sum(1, keepdims=True) + 1e-4)
    return normalized


FORMULAS: dict[str, Callable[[Values], Values]] = {
    "linear": lambda x: x,
    "logistic": _logistic,
    "relu": lambda x: x * (x > 0),
    "relu6": lambda x: np.minimum(np.maximum(x, 0), 6),
    "leaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "revleaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "relie": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: (x >= 0) * x + (x < 0) * (np.exp(x) - 1),
    "hardtan": lambda x: np.minimum(np.maximum(x, -1), 1),
    "tanh": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "swish": lambda x: x * _logistic(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "loggy": lambda x: 2 / (1 + np.exp(-x)) - 1,
    "plse": lambda x: np.where(x < -4, 0.01 * (x + 4), np.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5)),
    "stair": lambda x: np.where(np.floor(x) % 2 == 0, np.floor(x / 2), x - np.floor(x) + np.floor(x / 2)),
    "lhtan": lambda x: np.where(x < 0, 0.001 * x, np.where(x > 1, 0.001 * (x - 1) + 1, x)),
    "selu": lambda x: (x >= 0) * 1.0507 * x + (x < 0) * 1.0507 * 1.6732 * (np.exp(x) - 1),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(0.797885 * x + 0.035677 * x**3)),
    "hard_mish": lambda x: np.where(x > 0, x, np.where(x > -2, x * x / 2 + x, 0)),
    "normalize_channels": lambda x: _normalize(x * (x > 0)),
    "normalize_channels_softmax": lambda x: _normalize(np.exp(x)),
    "normalize_channels_softmax_maxval": lambda x: _normalize(np.exp(x - x.max(1, keepdims=True))),
}
POINTS = np.random.default_rng(0).permutation(np.linspace(-8, 8, 129)[:-1]).reshape(2, 4, 4, 4)
"""(N, C, H, W); whole and half numbers are among them, where pieces of a function meet."""


def test_formulas_cover_every_activation() -> None:
    assert FORMULAS.keys() == {row.name for row in ACTIVATIONS.values() if row.dialect in (None, "alexeyab")}


@pytest.mark.parametrize("name", FORMULAS)
def test_activation_equals_formula(name: str) -> None:
    text = f"[net]\nwidth=4\nheight=4\nchannels=4\n[activation]\nactivation={name}\n"
    model = darkparse.build(darkparse.compile(text, dialect="alexeyab"), dtype=torch.double).eval()
    with torch.inference_mode():
        output = model(torch.from_numpy(POINTS))
    assert isinstance(output, torch.Tensor)
    np.testing.assert_allclose(output.numpy(), FORMULAS[name](POINTS), atol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_activation_facts_equal_formula(name: str) -> None:
    row, formula = ACTIVATIONS[name], FORMULAS[name]
    changed = POINTS.copy()
    changed[:, 0] = -changed[:, 0]
    assert row.over_channels == (not np.array_equal(formula(changed)[:, 1:], formula(POINTS)[:, 1:]))
    if not row.over_channels:
        assert row.keeps_zero == (formula(np.zeros(1)) == 0)
