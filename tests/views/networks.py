"""Networks for the diagram tests: a few in fast tests, and the original cfgs in slow ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

import darkparse
from tests.conftest import original_params, shipped_cfgs

TELLING = ("alexeyab-efficientnet_b0", "alexeyab-rnn")
"""Original cfgs with special features: gates, many columns, and vectors."""
REPEATING = ("darknet53", "yolov1-paper", "yolov4-tiny")
"""Shipped cfgs whose features the others have too."""


def _params() -> list[ParameterSet]:
    shipped = [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in REPEATING)) for path in shipped_cfgs()
    ]
    originals = [
        pytest.param(*param.values, id=param.id) if param.id in TELLING else param for param in original_params()
    ]
    return [*shipped, *originals]


CFGS = _params()
"""Paths of the cfgs as test parameters."""


@cache
def compile_once(cfg: Path | str) -> darkparse.Network:
    """Return the network of a cfg, compiled once for all tests of a process."""
    return darkparse.compile(cfg)
