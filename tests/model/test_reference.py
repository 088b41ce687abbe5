"""Every layer's output beside the numbers that Darknet itself computed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet

import darkparse
from tests.conftest import DATA, ROOT, SHARED, needs_shared
from tests.model.reference.parameters import network_input, sampled, write_weights
from tests.model.samples import mark_repeated

REFERENCE = DATA / "reference"
NUMBERS: dict[str, dict[str, Any]] = json.loads((REFERENCE / "numbers.json").read_text())

TOLERANCE = 1e-4
"""Of a layer's root mean square; the C's own rounding, compiled with fast math, is about 1e-6 a layer."""

SKIPPED = ("cost", "contrastive")
"""Losses: what they leave in their buffer at inference is no result."""


def _mark_twins() -> list[ParameterSet]:
    """Return the names as parameters; slow are pjreddie's with a twin of AlexeyAB, but for one of each kind."""
    twins = [
        name for name in NUMBERS if name.startswith("pjreddie/") and name.replace("pjreddie", "alexeyab") in NUMBERS
    ]
    paths = [REFERENCE / "units" / f"{name.partition('/')[2]}.cfg" for name in twins]
    marks = {name: param.marks for name, param in zip(twins, mark_repeated(paths, by_option=False), strict=True)}
    return [pytest.param(name, marks=marks.get(name, ())) for name in NUMBERS]


@pytest.mark.parametrize("name", _mark_twins())
def test_layer_outputs_equal_darknet(name: str, tmp_path: Path) -> None:
    numbers = NUMBERS[name]
    dialect, network_name = name.split("/")
    write_weights(tmp_path / "x.weights", network_name, numbers["arrays"], numbers["seed"], numbers["header"])
    model = darkparse.load(REFERENCE / "units" / f"{network_name}.cfg", tmp_path / "x.weights", dialect=dialect)
    for step in range(len(numbers["rms"])):
        _compare_layers(model, numbers, network_name, step)


def _compare_layers(model: darkparse.Darknet, numbers: dict[str, Any], name: str, step: int) -> None:
    rows = (
        model.network.nodes,
        _run(model, numbers, name, step),
        numbers["sample"][step],
        numbers["rms"][step],
        numbers["outputs"],
    )
    for node, out, want, rms, count in zip(*rows, strict=True):
        if node.kind not in SKIPPED:
            _compare(node, out.detach().reshape(-1).numpy(), np.array(want), rms, count)


def _run(model: darkparse.Darknet, numbers: dict[str, Any], name: str, step: int) -> list[torch.Tensor]:
    c, h, w, inputs = numbers["input"]
    x = torch.from_numpy(network_input(name, numbers["seed"], inputs, step))
    with torch.inference_mode():
        return model.layer_outputs(x.reshape(1, c, h, w) if c * h * w == inputs else x.reshape(1, inputs))


def _compare(
    node: darkparse.Node, ours: np.ndarray[Any, Any], want: np.ndarray[Any, Any], rms: float, count: int
) -> None:
    index = sampled(count, len(want))
    if getattr(node.layer, "antialiasing", 0):
        # Darknet keeps the unblurred size; the blurred map is the start of its buffer.
        want, index = want[index < ours.size], index[index < ours.size]
        rms = float(np.sqrt(np.mean(np.square(ours, dtype=np.float64))))
    else:
        assert ours.size == count, f"layer {node.index}"
    finite = np.isfinite(want)
    error = np.abs(ours[index] - want)[finite].max(initial=0.0) / max(rms, 1e-6)
    assert error <= TOLERANCE, f"layer {node.index} [{node.kind}] is off by {error:.2e} of its rms"


def test_layer_outputs_with_wrong_epsilon_differ(tmp_path: Path) -> None:
    """The other fork's epsilon is off by far more than the tolerance."""
    numbers = NUMBERS["alexeyab/conv_groups"]
    write_weights(tmp_path / "x.weights", "conv_groups", numbers["arrays"], numbers["seed"], numbers["header"])
    model = darkparse.load(REFERENCE / "units" / "conv_groups.cfg", tmp_path / "x.weights", dialect="pjreddie")
    with pytest.raises(AssertionError, match="of its rms"):
        _compare_layers(model, numbers, "conv_groups", 0)


@needs_shared
@pytest.mark.slow
def test_small_reference_networks_equal_darknet() -> None:
    """The rest of the set runs in .ci/run; the small ones here."""
    check = SHARED / "golden" / "check.py"
    result = subprocess.run([sys.executable, check, "--quick"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@needs_shared
def test_bflops_equal_darknet() -> None:
    check = SHARED / "golden" / "check.py"
    result = subprocess.run([sys.executable, check, "--bflops"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
