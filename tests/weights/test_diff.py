"""Which arrays of two files differ, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

import darkparse
from darkparse.weights import compute_layout
from tests.weights.weight_files import ALEXEYAB, PJREDDIE, SMALL, floats, network, weights

NET = network()


def test_diff_weights_ignores_header() -> None:
    assert darkparse.diff_weights(weights(NET), weights(NET, ALEXEYAB), SMALL) == ()


def test_diff_weights_reports_count_and_largest_difference() -> None:
    values = floats(NET)
    entry = compute_layout(NET)[4]
    changed = values.copy()
    changed[entry.start] += 2
    changed[entry.start + 7] -= 1
    (found,) = darkparse.diff_weights(PJREDDIE.pack() + values.tobytes(), PJREDDIE.pack() + changed.tobytes(), NET)
    assert (found.layer, found.tensor, found.shape, found.differing) == (0, "conv.weight", (8, 3, 3, 3), 2)
    assert found.largest == pytest.approx(2, abs=1e-6)
    assert found.root_mean_square == pytest.approx(np.sqrt(5 / entry.size), rel=1e-6)
    norm = np.sqrt(np.mean(np.square(values[entry.start : entry.end].astype(np.float64))))
    assert found.relative == pytest.approx(found.root_mean_square / norm, rel=1e-6)


def test_diff_weights_compares_zeros_and_nans_bitwise() -> None:
    a, b = (np.zeros(NET.stored_floats, np.float32) for _ in range(2))
    a[0] = 1  # or the file would be all zeros
    b[0] = 1
    b[8] = -0.0
    (found,) = darkparse.diff_weights(PJREDDIE.pack() + a.tobytes(), PJREDDIE.pack() + b.tobytes(), NET)
    assert (found.differing, found.largest) == (1, 0)
    a[8] = b[8] = np.nan
    assert darkparse.diff_weights(PJREDDIE.pack() + a.tobytes(), PJREDDIE.pack() + b.tobytes(), NET) == ()


def test_diff_weights_of_truncated_file_raises() -> None:
    with pytest.raises(darkparse.WeightsError, match="too short"):
        darkparse.diff_weights(weights(NET), weights(NET)[:-4], NET)
