"""Removal of the channels with the smallest batch-norm scales."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from darkparse.errors import DarkparseError, WeightsError
from darkparse.network import Network
from darkparse.network.compile_options import CfgLike, CompileOptions
from darkparse.transform.channels import select_channels
from darkparse.transform.coupling import Coupling
from darkparse.transform.transformation import apply
from darkparse.weights import LoadedArrays, ReadOptions, WeightsSource, read
from darkparse.weights.buffer import Arrays


@dataclass(frozen=True)
class Prune:
    """Remove channels of batch-norm convolutions, those with the smallest scales first.

    Attributes:
        share: Share of the channel groups that can be removed.
        flops: Share of the multiply-adds to keep, in place of `share`.
    """

    share: float = 0.0
    flops: float | None = None
    preserves: ClassVar[str] = "channels that remain byte for byte; outputs if all removed channels are always 0"

    def __call__(self, network: Network, arrays: Arrays) -> tuple[Network, Arrays]:
        """Return the network with fewer channels, and its arrays."""
        plan = PruningPlan(network, arrays)
        return plan.remove(plan.count_share(self.share) if self.flops is None else plan.count_flops(self.flops))


def prune(
    cfg: CfgLike,
    weights: WeightsSource | LoadedArrays | None,
    share: float = 0.0,
    *,
    flops: float | None = None,
    options: ReadOptions = ReadOptions(),
    compile_options: CompileOptions = CompileOptions(),
) -> tuple[Network, LoadedArrays]:
    """Remove the channels with the smallest batch-norm scales; train the result to restore its accuracy.

    Channels that routes slice, shortcuts add or gates multiply are removed together. Channels that a head or a layer
    over all channels reads stay. What remains is copied byte for byte.

    Args:
        cfg: A path, the name of a bundled cfg, the text of a cfg, a Config or a Network.
        weights: Its weights: a path, an open binary file, bytes, or the result of `darkparse.weights.read`.
        share: Share of the groups of channels that can be removed, 0 to 1.
        flops: Share of the multiply-adds to keep, 0 to 1, in place of `share`.
        options: How the weights are read.
        compile_options: How the cfg is compiled.

    Returns:
        The network, and its arrays for `darkparse.load`, `darkparse.to_onnx` and `LoadedArrays.save`.

    Raises:
        WeightsError: The weights cannot be read or do not fit.
        DarkparseError: No channel can be removed, or not enough for `flops`.

    >>> network, arrays = darkparse.prune("yolov3-tiny", "tiny.weights", 0.5)
    >>> network.cost.params < darkparse.compile("yolov3-tiny").cost.params
    True
    """
    loaded = read(cfg, weights, options, compile_options)
    if loaded is None:
        raise WeightsError("pruning requires trained weights, got none")
    pruned = apply(Prune(share, flops), loaded)
    return pruned.network, pruned


class PruningPlan:
    """Groups of channels in the order in which they are removed."""

    def __init__(self, network: Network, arrays: Arrays) -> None:
        self._network, self._arrays = network, arrays
        self.coupling = Coupling.analyze(network, arrays)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Groups by ascending score, without those that would leave a layer without channels."""
        coupling, order = self.coupling, []
        channels: dict[int, Counter[int]] = {}
        remaining: Counter[int] = Counter()
        for index, output in coupling.outputs.items():
            remaining[index] = len(output.labels)
            for label in map(coupling.find, output.labels):
                channels.setdefault(label, Counter())[index] += 1
        for group in sorted(coupling.scores, key=lambda group: (coupling.scores[group], group)):
            if all(remaining[index] > count for index, count in channels[group].items()):
                remaining.subtract(channels[group])
                order.append(group)
        if not order:
            reasons = ", ".join(coupling.mixing) or "none follows a batch norm"
            raise DarkparseError(f"{self._network.name}: no channels can be removed; they are read by {reasons}")
        return tuple(order)

    def count_share(self, share: float) -> int:
        """Return how many groups a share of them is."""
        if not 0 <= share <= 1:
            raise DarkparseError(f"share must be 0 to 1, got {share:g}")
        return int(share * len(self.order) + 1e-9) if share else 0

    def count_flops(self, flops: float) -> int:
        """Return the smallest number of groups whose removal leaves at most this share of the multiply-adds.

        Raises:
            DarkparseError: More remain if all groups are removed.
        """
        if not 0 < flops <= 1:
            raise DarkparseError(f"flops must be above 0 and at most 1, got {flops:g}")
        limit, low, high = flops * self._network.cost.macs, 0, len(self.order)
        if self._network.cost.macs <= limit:
            return 0
        smallest = self.remove(high)[0].cost.macs
        if smallest > limit:
            share = smallest / self._network.cost.macs
            raise DarkparseError(f"cannot keep only {flops:.1%} of the FLOPs; at least {share:.1%} remain")
        while high - low > 1:
            middle = (low + high) // 2
            if self.remove(middle)[0].cost.macs <= limit:
                high = middle
            else:
                low = middle
        return high

    def remove(self, count: int) -> tuple[Network, Arrays]:
        """Return the network and its arrays without the first groups of the order."""
        removed = set(self.order[:count]) if count else set()
        kept = {}
        for index, output in self.coupling.outputs.items():
            stays = [self.coupling.find(label) not in removed for label in output.labels]
            if not all(stays):
                kept[index] = tuple(i for i, is_kept in enumerate(stays) if is_kept)
        return select_channels(self._network, self._arrays, kept, {})
