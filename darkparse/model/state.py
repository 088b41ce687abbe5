"""What a file brings for a module: tensors by name that fit a network, checked before the module is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from darkparse.model.containers import State
from darkparse.model.foreign import is_own, renamed
from darkparse.network import Network
from darkparse.weights import Fitted, Header, ReadOptions, WeightsError
from darkparse.weights.entries import layout, state_key

SHOWN = 3
"""Names in a message."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded into a module.

    Attributes:
        name: of the file.
        header: its header; None for a container that has none.
        layers: the layers whose weights it held.
        untouched: the layers that have weights and stayed as they were, or as they were initialized: those behind the
            end of a partial file, those with `dontload`, `dontloadscales` or `numload`.
    """

    name: str
    header: Header | None
    layers: tuple[int, ...]
    untouched: tuple[int, ...]

    def __str__(self) -> str:
        text = f"{self.name}: loaded {ranges(self.layers)}" if self.layers else f"{self.name}: loaded no layer"
        return f"{text}; as they were: {ranges(self.untouched)}" if self.untouched else text


def ranges(layers: tuple[int, ...]) -> str:
    """Layer numbers as text, those that follow each other as one: `layers 0–73, 75`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    texts = [str(a) if a == b else f"{a}–{b}" for a, b in runs]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(texts)}"


@dataclass(frozen=True, eq=False)
class Values:
    """Tensors that fit a network, by state_dict key."""

    name: str
    tensors: Mapping[str, Tensor]
    """A tensor with fewer rows than the module's stands for the first of them (`numload`)."""
    header: Header | None

    def loaded(self, network: Network) -> Loaded:
        """What they bring, by layer."""
        layers, untouched = [], []
        for node in network.nodes:
            wanted = {state_key(node, tensor): tensor.shape for tensor in node.tensors}
            held = [key for key in wanted if key in self.tensors]
            if held:
                layers.append(node.index)
            if any(key not in self.tensors or self.tensors[key].shape != shape for key, shape in wanted.items()):
                untouched.append(node.index)
        return Loaded(self.name, self.header, tuple(layers), tuple(untouched))


def from_weights(fitted: Fitted) -> Values:
    """The arrays of a `.weights` file."""
    tensors = {entry.name: torch.from_numpy(array) for entry, array in fitted}
    return Values(fitted.file.blob.name, tensors, fitted.file.header)


def from_container(state: State, network: Network, options: ReadOptions) -> Values:
    """The tensors of a container, by name, or by position and shape if another program wrote it.

    Raises:
        WeightsError: a tensor is missing, too much, of another shape, or has no values that can be copied.
    """
    upto = options.upto
    layout(network, upto)  # upto is a number of layers
    odd = next(
        (key for key, value in state.tensors.items() if value.is_meta or value.layout is not torch.strided), None
    )
    if odd is not None:
        kind = "on the meta device, without values" if state.tensors[odd].is_meta else "sparse"
        raise WeightsError(f"{state.name}: {odd} is {kind}; save it as a plain tensor")
    tensors = state.tensors if is_own(state.tensors, network) else renamed(state.name, state.tensors, network, upto)
    wanted = {state_key(n, t): (n.index, t.shape) for n in network.nodes for t in n.tensors}
    unknown = [key for key in tensors if key not in wanted]
    missing = [key for key, (index, _) in wanted.items() if key not in tensors and (upto is None or index < upto)]
    if unknown and options.strict:
        raise WeightsError(f"{state.name} does not fit {network.name}: {_listed(unknown)} in the file, not in the cfg")
    if missing and not options.allow_partial:
        raise WeightsError(f"{state.name} does not fit {network.name}: {_listed(missing)} missing from the file")
    kept = {key: value for key, value in tensors.items() if key in wanted and (upto is None or wanted[key][0] < upto)}
    for key, value in kept.items():
        index, shape = wanted[key]
        if tuple(value.shape) != shape or not value.is_floating_point():
            have = f"{'×'.join(map(str, value.shape))} {str(value.dtype).removeprefix('torch.')}"
            place = f"layer {index} [{network.nodes[index].kind}] ({network.nodes[index].section.span})"
            raise WeightsError(
                f"{state.name} does not fit {network.name}: {key} is {have}, {place} needs {'×'.join(map(str, shape))}"
            )
    return Values(state.name, kept, state.origin.header if state.origin else None)


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return f"{', '.join(keys[:SHOWN])}{more} {'is' if len(keys) == 1 else 'are'}"
