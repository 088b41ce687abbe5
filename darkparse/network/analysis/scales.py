"""Runs of layers with the same height × width."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkparse.network.network import Network

MAX_SIDE_PATH_LAYERS = 3
"""Maximum number of layers at another scale that belong to the run around them as a side path."""


@dataclass(frozen=True, slots=True)
class ScaleRun:
    """Consecutive layers with the same height × width, (1, 1) for vectors. A head belongs to the run before it."""

    size: tuple[int, int]
    layers: range

    @property
    def area(self) -> int:
        return self.size[0] * self.size[1]


def find_scale_runs(network: Network) -> tuple[ScaleRun, ...]:
    """Split the layers into runs.

    A few layers at another scale that only the layers around them read stay in the run: the pooled path of a
    channel gate, or a branch from an earlier, larger map that is reduced at once. A new smallest map is not a side
    path.
    """
    runs = _split_by_size(network)
    while True:
        joined_runs = _join_side_path(network, runs)
        if joined_runs is None:
            return tuple(runs)
        runs = joined_runs


def _split_by_size(network: Network) -> list[ScaleRun]:
    runs: list[ScaleRun] = []
    for node in network.nodes:
        size = (node.out_shape.h, node.out_shape.w)
        if runs and (node.layer.role == "head" or size == runs[-1].size):
            runs[-1] = ScaleRun(runs[-1].size, range(runs[-1].layers.start, node.index + 1))
        else:
            runs.append(ScaleRun(size, range(node.index, node.index + 1)))
    return runs


def _join_side_path(network: Network, runs: list[ScaleRun]) -> list[ScaleRun] | None:
    """Merge the shortest side path with the runs around it; return None without a side path."""
    smallest_before = list(accumulate((run.area for run in runs), min))
    candidates = [
        index
        for index in range(1, len(runs) - 1)
        if _is_side_path(network, runs[index - 1 : index + 2], smallest_before[index - 1])
    ]
    if not candidates:
        return None
    index = min(candidates, key=lambda i: len(runs[i].layers))
    before, after = runs[index - 1], runs[index + 1]
    return [
        *runs[: index - 1],
        ScaleRun(before.size, range(before.layers.start, after.layers.stop)),
        *runs[index + 2 :],
    ]


def _is_side_path(network: Network, neighbors: list[ScaleRun], smallest_before: int) -> bool:
    """Return whether the second of three runs is a side path; `smallest_before` is the smallest area before it."""
    before, run, after = neighbors
    if before.size != after.size or len(run.layers) > MAX_SIDE_PATH_LAYERS:
        return False
    is_deepest = 1 < run.area < smallest_before
    within = all(reader < after.layers.stop for i in run.layers for reader in network.readers[i])
    return within and not is_deepest and not any(network.nodes[i].layer.role == "head" for i in run.layers)
