"""The scales that a network works at: runs of layers with one height × width."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkparse.network.network import Network

SIDE_PATH = 3
"""So many layers at another scale are a side path of the run around them, not a scale of their own."""


@dataclass(frozen=True, slots=True)
class ScaleRun:
    """Consecutive layers at one height × width; (1, 1) is that of vectors. Heads stay with the layer before."""

    size: tuple[int, int]
    layers: range

    @property
    def area(self) -> int:
        return self.size[0] * self.size[1]


def find_scale_runs(network: Network) -> tuple[ScaleRun, ...]:
    """Every layer in one run, in order.

    A few layers at another scale that only the layers around them read stay in the run: the pooled path of a
    channel gate, or a branch from an earlier, larger map that is reduced at once. A new smallest map is no side path.
    """
    runs = _plain_runs(network)
    while True:
        joined = _joined(network, runs)
        if joined is None:
            return tuple(runs)
        runs = joined


def _plain_runs(network: Network) -> list[ScaleRun]:
    runs: list[ScaleRun] = []
    for node in network.nodes:
        size = (node.out_shape.h, node.out_shape.w)
        if runs and (node.layer.is_head or size == runs[-1].size):
            runs[-1] = ScaleRun(runs[-1].size, range(runs[-1].layers.start, node.index + 1))
        else:
            runs.append(ScaleRun(size, range(node.index, node.index + 1)))
    return runs


def _joined(network: Network, runs: list[ScaleRun]) -> list[ScaleRun] | None:
    """The runs with the shortest side path joined to the runs around it, or None where there is none."""
    smallest_before = list(accumulate((run.area for run in runs), min))
    found = [
        at for at in range(1, len(runs) - 1) if _is_side_path(network, runs[at - 1 : at + 2], smallest_before[at - 1])
    ]
    if not found:
        return None
    at = min(found, key=lambda i: len(runs[i].layers))
    before, after = runs[at - 1], runs[at + 1]
    return [*runs[: at - 1], ScaleRun(before.size, range(before.layers.start, after.layers.stop)), *runs[at + 2 :]]


def _is_side_path(network: Network, around: list[ScaleRun], smallest_before: int) -> bool:
    """Whether the second of three runs is one; the smallest area before it is given."""
    before, run, after = around
    if before.size != after.size or len(run.layers) > SIDE_PATH:
        return False
    is_deepest = 1 < run.area < smallest_before
    within = all(reader < after.layers.stop for i in run.layers for reader in network.readers[i])
    return within and not is_deepest and not any(network.nodes[i].layer.is_head for i in run.layers)
