"""Matching of other programs' arrays to a network by position and shape.

Tianxiaomo/pytorch-YOLOv4, ultralytics/yolov3, eriklindernoren/PyTorch-YOLOv3 and most others store the layers in the
order of the cfg, with torch's modules in them and a convolution before its batch norm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from darkparse.errors import WeightsError
from darkparse.network import Network
from darkparse.weights.buffer import Arrays

ROLES = ("weight", "bias", "running_mean", "running_var")
LONE_PARAMETERS = ("w", "implicit")
"""Names of parameters outside a module: shortcut weights in ultralytics/yolov3, learned constants in YOLOR."""
OWN_NAME = re.compile(r"layers\.\d+\.\w+")
IGNORED = (
    "num_batches_tracked",
    "anchors",
    "anchor_grid",
    "anchor_vec",
    "anchor_wh",
    "grid",
    "stride",
    "mask",
    "seen",
    "header_info",
)
"""Names of buffers that have no counterpart in a `.weights` file."""


@dataclass(frozen=True, slots=True)
class ThirdPartyLayer:
    """Tensors of one module: a linear map, a batch norm, or a single parameter."""

    name: str
    keys: Mapping[str, str]
    """State_dict key by role."""
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def is_norm(self) -> bool:
        """Whether it is a batch norm."""
        return "running_var" in self.shapes

    @property
    def is_map(self) -> bool:
        """Whether the module is a linear map, such as a convolution."""
        return len(self.shapes.get("weight", ())) > 1

    def __str__(self) -> str:
        shapes = ", ".join(f"{role} {'×'.join(map(str, shape)) or 'scalar'}" for role, shape in self.shapes.items())
        return f"{self.name} ({shapes})"


def match_by_order(name: str, tensors: Arrays, network: Network, upto: int | None = None) -> Arrays:
    """Rename another converter's tensors to this project's names.

    Args:
        name: Name of the file, for messages.
        tensors: State_dict, in order.
        network: Network of the cfg.
        upto: Match only the layers before this one; the file may contain more layers.

    Raises:
        WeightsError: A module is missing, redundant, or has another shape than the layer at its position.
    """
    mine, theirs = list_expected(network, upto), restore_order(list_layers(tensors))
    if problem := _find_difference(mine, theirs, network, allow_longer=upto is not None):
        raise WeightsError(f"{name} does not fit {network.name}: {problem}")
    pairs = zip(mine, theirs, strict=False)
    return {
        expected.keys[role]: tensors[actual.keys[role]].reshape(expected.shapes[role])
        for expected, actual in pairs
        for role in expected.keys
    }


def _find_difference(
    mine: Sequence[ThirdPartyLayer], theirs: Sequence[ThirdPartyLayer], network: Network, *, allow_longer: bool
) -> str | None:
    """Describe the first difference between a file's modules and a network's; None if they match."""
    for position, (expected, actual) in enumerate(zip(mine, theirs, strict=False)):
        if not _is_match(expected, actual):
            place = f"module {position + 1} of {len(theirs)}, {actual}"
            return f"wrong {place}; expected {_describe_layer(expected, network)}"
    counts = f"got {len(theirs)} modules with tensors; expected {len(mine)} from the cfg"
    if len(theirs) < len(mine):
        return f"{counts}, the first missing one is {_describe_layer(mine[len(theirs)], network)}"
    if len(theirs) > len(mine) and not allow_longer:
        return f"{counts}, the first extra one is {theirs[len(mine)]}"
    return None


def list_expected(network: Network, upto: int | None) -> list[ThirdPartyLayer]:
    """List the modules of a network that have tensors, each linear map before its batch norm as in a state_dict."""
    parts = []
    for node in network.nodes[:upto]:
        groups: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
        for tensor in node.tensors:
            owner, _, role = tensor.path.rpartition(".")
            groups.setdefault(owner, []).append((role, tensor.shape))
        # In a .weights file the bias comes first, which belongs to the batch norm if there is one.
        for owner in sorted(groups, key=lambda owner: owner.endswith("norm")):
            prefix, by_role = (
                f"layers.{node.index}.{owner}",
                sorted(groups[owner], key=lambda item: ROLES.index(item[0])),
            )
            parts.append(ThirdPartyLayer(prefix, {role: f"{prefix}.{role}" for role, _ in by_role}, dict(by_role)))
    return parts


def list_layers(tensors: Arrays) -> list[ThirdPartyLayer]:
    """List the modules of a state_dict, in the order of their first tensors."""
    groups: dict[str, dict[str, str]] = {}
    for key in tensors:
        owner, _, role = key.rpartition(".")
        if role in IGNORED:
            continue
        if role in LONE_PARAMETERS:
            owner, role = key, "weight"
        groups.setdefault(owner, {})[role] = key
    return [
        ThirdPartyLayer(owner, keys, {role: tuple(tensors[key].shape) for role, key in keys.items()})
        for owner, keys in groups.items()
    ]


def restore_order(layers: list[ThirdPartyLayer]) -> list[ThirdPartyLayer]:
    """Sort modules by their numbers if the file has another order.

    Safetensors' writer sorts names as text. This project stores arrays in the order of a `.weights` file, batch norm
    first.
    """
    names = [layer.name for layer in layers]
    is_text_order = names == sorted(names) and all(re.search(r"\d", name) for name in names)
    is_own = all(OWN_NAME.fullmatch(name) for name in names)
    return sorted(layers, key=_make_sort_key) if is_text_order or is_own else layers


def _make_sort_key(layer: ThirdPartyLayer) -> tuple[object, ...]:
    """Return a key that sorts by number, and a batch norm after the convolution with the same number."""
    parent, _, own_name = layer.name.rpartition(".")
    return split_numbers(parent), split_numbers(own_name)[1::2], layer.is_norm


def split_numbers(name: str) -> list[tuple[int, str]]:
    """Split a name into text and numbers; a number is compared by its digits, which may be too many for an int."""
    parts = re.split(r"(\d+)", name)
    return [(len(part.lstrip("0")), part.lstrip("0")) if i % 2 else (0, part) for i, part in enumerate(parts)]


def _is_match(expected: ThirdPartyLayer, actual: ThirdPartyLayer) -> bool:
    """Return whether roles and shapes are equal; a single parameter may have different axes of length 1."""
    if set(expected.shapes) != set(actual.shapes):
        return False
    squeezed = [
        [tuple(n for n in part.shapes[role] if n != 1) for role in expected.shapes] for part in (expected, actual)
    ]
    if any(len(shape) > 1 for shape in expected.shapes.values()) and len(expected.shapes["weight"]) != len(
        actual.shapes["weight"]
    ):
        return len(expected.shapes) == 1 and squeezed[0] == squeezed[1]
    return squeezed[0] == squeezed[1]


def _describe_layer(part: ThirdPartyLayer, network: Network) -> str:
    node = network.nodes[int(part.name.split(".")[1])]
    return f"layer {node.index} [{node.kind}] ({node.section.span}), {part}"


def list_batch_norms(layers: Sequence[ThirdPartyLayer]) -> list[bool]:
    """Return, for each linear map, whether a batch norm follows it."""
    followed = [layer.is_norm for layer in layers[1:]] + [False]
    return [is_followed for layer, is_followed in zip(layers, followed, strict=False) if layer.is_map]
