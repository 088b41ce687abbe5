"""Costs, deltas, gradients and updates beside the numbers that Darknet itself computed."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import darkparse
from tests.conftest import ROOT, SHARED
from tests.training.reference_steps import NUMBERS, TRAINING, differences

TOLERANCE = 1e-3
CHECK = SHARED / "golden-training" / "check.py"
SCHEDULES: list[dict[str, Any]] = json.loads((TRAINING / "schedules.json").read_text())


CONTIGUOUS = ("alexeyab/yolov4_csp_like", "pjreddie/conv_bn", "pjreddie/region")
"""Networks of the fast tests in the order of maps that `Trainer` does not use."""


@pytest.mark.parametrize(
    ("name", "channels_last"),
    [
        pytest.param(name, is_last, marks=() if is_last or name in CONTIGUOUS else pytest.mark.slow)
        for name in NUMBERS
        for is_last in (False, True)
    ],
)
def test_training_step_equals_darknet(name: str, channels_last: bool, tmp_path: Path) -> None:
    errors = dict(differences(name, tmp_path, channels_last=channels_last))
    assert len(errors) > 5
    assert {what: error for what, error in errors.items() if not error <= TOLERANCE} == {}


def test_training_step_with_wrong_momentum_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A momentum of the other fork's CPU code in batch norm is off by far more than the bound."""
    from darkparse.model.modules import BatchNorm

    build = BatchNorm.__init__
    monkeypatch.setattr(BatchNorm, "__init__", lambda self, num_features, eps, **_: build(self, num_features, eps, 0.1))
    errors = dict(differences("alexeyab/scale_channels", tmp_path))
    assert max(errors.values()) > 100 * TOLERANCE


@pytest.mark.parametrize("case", SCHEDULES, ids=lambda case: f"{case['dialect']}-{case['name']}")
def test_learning_rate_equals_darknet(case: dict[str, Any]) -> None:
    options = {"batch": 4, "width": 16, "height": 16, "channels": 3, **case["net"]}
    text = "[net]\n" + "".join(f"{key}={value}\n" for key, value in options.items()) + "[convolutional]\n[cost]\n"
    with warnings.catch_warnings():
        schedule = darkparse.training.Schedule(darkparse.compile(text, dialect=case["dialect"]))
    rates = [schedule.rate(batch) for batch in range(len(case["rates"]))]
    assert rates == pytest.approx(case["rates"], rel=1e-5, abs=1e-11)


@pytest.mark.long
@pytest.mark.skipif(
    not CHECK.is_file(),
    reason="needs Darknet's reference numbers in ../shared, which are not published; tests/data/reference has a part",
)
def test_training_of_whole_reference_set_equals_darknet(tmp_path: Path) -> None:
    """All that are there but the quirks, where Darknet's gradient is not the derivative."""
    known = tmp_path / "known"
    quirks = sorted(path.stem for path in (CHECK.parent / "quirks").rglob("*.npz"))
    known.write_text("".join(f"quirks/alexeyab/{name} not a derivative\n" for name in quirks))
    command = [sys.executable, str(CHECK), "--known", str(known)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout[-2000:]
