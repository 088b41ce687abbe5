"""Comparison of the arrays of two weights files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from darkparse.network import compile
from darkparse.network.compile_options import CfgLike, CompileOptions, Size
from darkparse.weights.buffer import FileBuffer, Floats, WeightsSource
from darkparse.weights.fitting import read_weights
from darkparse.weights.layout import Entry


@dataclass(frozen=True, slots=True)
class ArrayDifference:
    """Difference of one array between two files."""

    layer: int
    kind: str
    tensor: str
    shape: tuple[int, ...]
    differing: int
    """Number of values whose bits differ."""
    largest: float
    """Largest absolute difference."""
    root_mean_square: float
    """Root mean square of the differences."""
    relative: float
    """Root mean square of the differences, relative to that of the first file's values."""

    @property
    def values(self) -> int:
        return int(np.prod(self.shape))


def compare_arrays(entry: Entry, a: Floats, b: Floats) -> ArrayDifference | None:
    """Compare two arrays of an entry; None if all bits are equal."""
    same = a.reshape(-1).view(np.uint32) == b.reshape(-1).view(np.uint32)
    if same.all():
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(b.astype(np.float64) - a)
        distance, norm = _root_mean_square(difference), _root_mean_square(a)
        differing = int(same.size - np.count_nonzero(same))
        relative = distance / norm if norm else float("inf")
        return ArrayDifference(
            entry.node.index,
            entry.node.kind,
            entry.tensor.path,
            a.shape,
            differing,
            float(difference.max()),
            distance,
            relative if distance else 0.0,
        )


def _root_mean_square(values: Floats | np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def diff_weights(
    a: WeightsSource | FileBuffer,
    b: WeightsSource | FileBuffer,
    cfg: CfgLike,
    *,
    dialect: str | None = None,
    size: Size | None = None,
    compile_options: CompileOptions = CompileOptions(),
) -> tuple[ArrayDifference, ...]:
    """Compare two `.weights` files of the same cfg.

    Args:
        a: Path, open binary file, or bytes.
        b: The other file.
        cfg: Path, name of a cfg that ships with darkparse, text of a cfg, parsed Config, or Network.
        dialect: Overrides `compile_options.dialect`.
        size: Overrides `compile_options.size`.
        compile_options: Options for compiling the cfg.

    Returns:
        One `ArrayDifference` for each array whose bits differ, in file order.

    Raises:
        CfgError: The cfg is invalid.
        WeightsError: A file cannot be read or does not fit.

    >>> darkparse.diff_weights("tiny.weights", "tiny.weights", "yolov3-tiny")
    ()
    """
    network = compile(cfg, compile_options, size=size, dialect=dialect)
    first, second = read_weights(a, network), read_weights(b, network)
    return find_differences(
        (entry, first.file.get_array(entry), second.file.get_array(entry)) for entry in first.entries
    )


def find_differences(pairs: Iterable[tuple[Entry, Floats, Floats]]) -> tuple[ArrayDifference, ...]:
    """Return the differences of the pairs of arrays that differ."""
    return tuple(difference for entry, a, b in pairs if (difference := compare_arrays(entry, a, b)))
