"""A `.weights` file that is replaced or written over while a module has it mapped."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import darkparse
from darkparse.weights.arrays import read

CFG = "[net]\nwidth=4\nheight=4\nchannels=3\n[convolutional]\nfilters=2\nsize=1\nactivation=linear\n"
HEADER = np.array([0, 2, 0, 0, 0], np.int32).tobytes()


def make_weights(value: float) -> bytes:
    return HEADER + np.full(8, value, np.float32).tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.weights"
    path.write_bytes(make_weights(1))
    return path


def test_replaced_file_leaves_loaded_weights(path: Path) -> None:
    model = darkparse.load(CFG, path)
    other = darkparse.load(CFG, make_weights(2))
    darkparse.save_weights(other, path)
    assert {value for tensor in model.state_dict().values() for value in tensor.flatten().tolist()} == {1.0}
    assert {value for tensor in darkparse.load(CFG, path).parameters() for value in tensor.flatten().tolist()} == {2.0}


@pytest.mark.skipif(sys.platform != "linux", reason="needs the memory semantics of Linux: run it on Linux")
@pytest.mark.parametrize("mmap", [True, False])
def test_file_written_over_changes_mapped_weights_only(path: Path, mmap: bool) -> None:
    loaded = read(CFG, path, darkparse.ReadOptions(mmap=mmap))
    assert loaded is not None
    before = {name: array.read().copy() for name, array in loaded.arrays.items()}
    with path.open("r+b") as file:
        file.write(make_weights(2))
    expected = 2.0 if mmap else 1.0
    for name, array in loaded.arrays.items():
        assert (before[name] == 1).all()
        assert (array.read() == expected).all()
