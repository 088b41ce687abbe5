"""Networks for the diagram tests: a few by default, and all original cfgs if slow tests run."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from tests.conftest import original_cfgs, shipped_cfgs

TELLING = (
    "efficientnet_b0",
    "densenet201",
    "resnet152_trident",
    "yolov4-sam-mish-csp-reorg-bfm",
    "yolov7",
    "rnn",
    "yolov4-p6",
)
"""Original cfgs with special features: gates, growing and shared blocks, many columns, and vectors."""


def _params() -> list[ParameterSet]:
    params = [pytest.param(path, id=path.stem) for path in shipped_cfgs() if path.stem != "yolov4-tiny"]
    for path in original_cfgs():
        marks = () if path.stem in TELLING and path.parent.name == "alexeyab" else (pytest.mark.slow,)
        params.append(pytest.param(path, id=f"{path.parent.name}-{path.stem}", marks=marks))
    return params


CFGS = _params()
"""Paths of the cfgs as test parameters."""
