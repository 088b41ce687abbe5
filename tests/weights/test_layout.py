"""The layout against what Darknet itself reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import darkparse
from darkparse.weights import compute_layout
from darkparse.weights.layout import count_stored_floats, get_layer_ends
from tests.conftest import SHARED, needs_shared
from tests.weights.weight_files import network


def _cfg_of(npz: Path) -> Path:
    beside = npz.parent.parent / f"{npz.stem}.cfg"
    return beside if beside.exists() else SHARED / "cfgs" / npz.parent.name / (npz.stem.replace("__", "/") + ".cfg")


@pytest.mark.slow
@needs_shared
def test_layout_order_and_sizes_equal_darknet() -> None:
    """Rows of the reference are [layer, part, kind, floats, fan-in] in the order in which Darknet reads them."""
    seen = 0
    for npz in sorted((SHARED / "golden").rglob("*.npz")):
        if "units" not in npz.parts and npz.stat().st_size > 30_000:
            continue
        rows = json.loads(str(np.load(npz)["arrays"]))
        entries = compute_layout(darkparse.compile(_cfg_of(npz), dialect=npz.parent.name))
        assert [(e.node.index, e.size) for e in entries] == [(row[0], row[3]) for row in rows], npz.stem
        seen += 1
    assert seen >= 200


def test_layout_upto_cuts_between_layers() -> None:
    whole = compute_layout(network())
    assert compute_layout(network(), 2) == tuple(entry for entry in whole if entry.node.index < 2)
    assert list(get_layer_ends(whole)) == [0, 1, 2, 6, 7]
    assert count_stored_floats(whole) == network().stored_floats
    for upto in (0, 10, -1):
        with pytest.raises(darkparse.WeightsError, match="upto must be 1 to 9"):
            compute_layout(network(), upto)


def test_layout_numload_dontload_and_dontloadscales_store_less() -> None:
    conv = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=1\n"
    cfg = f"[net]\nwidth=4\nheight=4\nchannels=2\n{conv}numload=3\n{conv}dontload=1\n{conv}dontloadscales=1\n"
    pjreddie = [(e.node.index, e.tensor.path, e.size) for e in compute_layout(network(cfg, "pjreddie"))]
    parts = ["norm.bias", "norm.weight", "norm.running_mean", "norm.running_var"]
    assert pjreddie == [
        *((0, part, 3) for part in parts),
        (0, "conv.weight", 6),
        (2, "norm.bias", 8),
        (2, "conv.weight", 64),
    ]
    alexeyab = [(e.node.index, e.tensor.path, e.size) for e in compute_layout(network(cfg, "alexeyab"))]
    assert alexeyab[:5] == [*((0, part, 8) for part in parts), (0, "conv.weight", 16)], (
        "AlexeyAB's fork does not know numload"
    )


def test_weights_command_loads_neither_numpy_nor_torch() -> None:
    code = (
        "import sys; from darkparse.cli import main\n"
        "try: main(['weights', 'yolov3'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'numpy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
