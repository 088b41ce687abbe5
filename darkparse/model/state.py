"""What a file brings for a module: tensors by name that fit a network, checked before the module is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from darkparse.errors import WeightsError
from darkparse.model.containers import State
from darkparse.model.third_party import has_own_names, match_by_order
from darkparse.network import Network
from darkparse.weights import FittedLayout, Header, ReadOptions
from darkparse.weights.layout import compute_layout
from darkparse.weights.load_result import LoadResult, select_fitting


@dataclass(frozen=True, eq=False)
class WeightValues:
    """Tensors that fit a network, by state_dict key."""

    name: str
    tensors: Mapping[str, Tensor]
    """A tensor with fewer rows than the module's stands for the first of them (`numload`)."""
    header: Header | None

    def make_load_result(self, network: Network) -> LoadResult:
        """What they bring, by layer."""
        shapes = {key: tuple(value.shape) for key, value in self.tensors.items()}
        return LoadResult.from_shapes(self.name, self.header, network, shapes)


def from_weights(fitted: FittedLayout) -> WeightValues:
    """The arrays of a `.weights` file."""
    tensors = {entry.name: torch.from_numpy(array) for entry, array in fitted}
    return WeightValues(fitted.file.blob.name, tensors, fitted.file.header)


def from_container(state: State, network: Network, options: ReadOptions) -> WeightValues:
    """The tensors of a container, by name, or by position and shape if another program wrote it.

    Raises:
        WeightsError: a tensor is missing, too much, of another shape, or has no values that can be copied.
    """
    upto = options.upto
    compute_layout(network, upto)  # upto is a number of layers
    unsupported = next(
        (key for key, value in state.tensors.items() if value.is_meta or value.layout is not torch.strided), None
    )
    if unsupported is not None:
        kind = "on the meta device, without values" if state.tensors[unsupported].is_meta else "sparse"
        raise WeightsError(f"{state.name}: {unsupported} is {kind}; save it as a plain tensor")
    tensors = (
        state.tensors
        if has_own_names(state.tensors, network)
        else match_by_order(state.name, state.tensors, network, upto)
    )
    shapes = select_fitting(state.name, tensors, network, options)
    selected = {key: tensors[key] for key in shapes}
    for key, value in selected.items():
        if tuple(value.shape) != shapes[key] or not value.is_floating_point():
            actual = f"{'×'.join(map(str, value.shape))} {str(value.dtype).removeprefix('torch.')}"
            node = network.nodes[int(key.split(".")[1])]
            place = f"layer {node.index} [{node.kind}] ({node.section.span})"
            expected = "×".join(map(str, shapes[key]))
            raise WeightsError(f"{state.name} does not fit {network.name}: {key} is {actual}, {place} needs {expected}")
    return WeightValues(state.name, selected, state.origin.header if state.origin else None)
