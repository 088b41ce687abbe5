"""Diagnosis of a state dict that does not fit a foreign cfg, with the causes that are tried for other weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from math import prod

from darkparse.errors import WeightsError
from darkparse.network import Network
from darkparse.transform.lowering.state import State
from darkparse.weights.diagnosis.case import Mismatch
from darkparse.weights.diagnosis.other_cfgs import find_fitting_changes
from darkparse.weights.layout import get_tensors, state_key
from darkparse.weights.matching import MismatchReport

REMEDIES = {"classes": "set that in the cfg, or use the state dict trained for this cfg"}
"""Remedies by cause that replace those with a command for plain cfgs."""


@dataclass(frozen=True, eq=False)
class StateMismatch(Mismatch):
    """A cfg lowered layer by layer to Darknet's kinds, and a state dict that does not fit it."""

    state: State
    keys: Mapping[str, str]
    """Keys in the state dict of the network's tensors that come from it."""
    is_countable: bool = True

    @property
    def available_floats(self) -> int:
        return self.state.num_values

    def count_floats(self, network: Network) -> int:
        return sum(prod(tensor.shape) for name, (_, tensor) in get_tensors(network).items() if name in self.keys)

    def is_fit(self, network: Network) -> bool:
        tensors = get_tensors(network)
        shapes = {self.keys[name]: tensors[name][1].shape for name in self.keys if name in tensors}
        arrays = self.state.arrays
        return shapes.keys() == arrays.keys() and all(
            _squeeze(shape) == _squeeze(arrays[key].shape) for key, shape in shapes.items()
        )

    def find_evidence(self, network: Network) -> bool | None:
        return None

    def propose_batch_norm(self, changes: Mapping[int, int]) -> Iterator[Set[int]]:
        return iter(())


def _squeeze(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def make_mismatch_error(
    state: State, problem: str, network: Network, keys: Mapping[int, Mapping[str, str]]
) -> WeightsError:
    """Return the error for a state dict that does not fit, with the likely causes.

    Args:
        state: The state dict.
        problem: The first difference.
        network: The cfg lowered to Darknet's kinds, with a layer for each constant.
        keys: Keys of the arrays in the state dict, by layer index and path.
    """
    names = {
        state_key(node, tensor): keys[node.index][tensor.path]
        for node in network.nodes
        for tensor in node.tensors
        if tensor.path in keys.get(node.index, {})
    }
    case = StateMismatch(network, state, names)
    causes = tuple(
        replace(cause, remedy=REMEDIES.get(cause.code, cause.remedy)) for cause in find_fitting_changes(case)
    )
    lines = [f"\n  cause: {cause.message}\n  hint: {cause.remedy}" for cause in causes]
    message = f"{state.file.name} does not fit {network.name}: {problem}{''.join(lines)}"
    return WeightsError(message, MismatchReport(causes))
