"""Differences between two arrays, and the location of the largest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.network import Node

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """Difference of a layer's output from the reference.

    Attributes:
        node: The layer.
        worst: Largest absolute difference.
        relative: Largest difference relative to the root mean square of the reference.
        place: Its location: channel, row and column of a map, or the position in a vector.
        ours: Value at this location.
        theirs: The reference's value at this location.
    """

    node: Node
    worst: float
    relative: float
    place: tuple[int, ...]
    ours: float
    theirs: float


def compute_difference(node: Node, ours: Floats, theirs: Floats) -> OutputDifference:
    """Find the largest difference between two outputs (1, …) of a layer."""
    distances = measure_distances(ours, theirs)
    index = np.unravel_index(int(distances.argmax()), distances.shape)
    relative = float(_divide(distances[index], measure_rms(theirs)))
    place = tuple(int(i) for i in index[1:])
    return OutputDifference(node, float(distances[index]), relative, place, float(ours[index]), float(theirs[index]))


def compute_relative_difference(
    ours: Floats, theirs: Floats, axes: tuple[int, ...] | None = None, rounding: NDArray[Any] | float = 0.0
) -> float:
    """Compute the largest difference relative to the reference's value, or to its root mean square if that is larger.

    A few scores near 1 among thousands near 0, or a few huge boxes, differ by many times the root mean square because
    of rounding; values near 0 differ by many times themselves.

    Args:
        ours: Array to compare.
        theirs: Reference of the same shape.
        axes: Axes of the root mean square; default: all.
        rounding: Absolute difference of each value that counts as rounding.
    """
    distances = np.maximum(measure_distances(ours, theirs) - rounding, 0)
    magnitudes = np.where(np.isfinite(theirs), np.abs(theirs), 0)
    return float(_divide(distances, np.maximum(magnitudes, measure_rms(theirs, axes))).max(initial=0.0))


def measure_distances(ours: Floats, theirs: Floats) -> NDArray[Any]:
    """Compute absolute differences; 0 for equal infinities and NaNs, infinite where only one value is NaN."""
    with np.errstate(invalid="ignore"):
        distances = np.abs(ours - theirs)
    are_same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return np.where(are_same, 0, np.where(np.isnan(distances), np.inf, distances))


def measure_rms(values: Floats, axes: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Compute the root mean square of the finite values; reduced axes keep a length of 1."""
    finite = np.isfinite(values)
    squares = np.where(finite, values, 0).astype(np.float64) ** 2
    counts = np.maximum(finite.sum(axis=axes, keepdims=axes is not None), 1)
    rms: NDArray[Any] = np.sqrt(squares.sum(axis=axes, keepdims=axes is not None) / counts)
    return rms


def _divide(distances: Any, rms: Any) -> NDArray[Any]:
    """Divide; a difference from an output that is all 0 is infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative: NDArray[Any] = np.where(np.asarray(distances) == 0, 0.0, np.divide(distances, rms))
    return relative
