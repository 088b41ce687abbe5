"""State dicts of other converters: matched to a network's layers by position and shape, since their names differ.

Tianxiaomo/pytorch-YOLOv4, ultralytics/yolov3 and eriklindernoren/PyTorch-YOLOv3 all keep a cfg's layers in its order
and torch's own modules in them, a convolution before its batch norm; so do most others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from darkparse.errors import WeightsError
from darkparse.network import Network
from darkparse.weights.layout import get_tensors

ROLES = ("weight", "bias", "running_mean", "running_var")
LONE_PARAMETERS = ("w", "implicit")
"""Names of a lone parameter: the weights of a shortcut in ultralytics/yolov3, a learned constant in yolor."""
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
"""Buffers of other programs that hold nothing of a `.weights` file."""


@dataclass(frozen=True, slots=True)
class ThirdPartyLayer:
    """The tensors of one module: a linear map, a batch norm, or a lone parameter."""

    name: str
    keys: Mapping[str, str]
    """Full key by role."""
    shapes: Mapping[str, tuple[int, ...]]

    def __str__(self) -> str:
        shapes = ", ".join(f"{role} {'×'.join(map(str, shape)) or 'scalar'}" for role, shape in self.shapes.items())
        return f"{self.name} ({shapes})"


def has_own_names(keys: Iterable[str], network: Network) -> bool:
    """Whether tensors carry this project's names: as many of them as not."""
    own = get_tensors(network)
    matches = [key in own for key in keys]
    return bool(matches) and sum(matches) * 2 >= len(matches)


def match_by_order(
    name: str, tensors: Mapping[str, Tensor], network: Network, upto: int | None = None
) -> dict[str, Tensor]:
    """Another converter's tensors under this project's names.

    Args:
        name: of the file, for messages.
        tensors: its state_dict, in order.
        network: the network of its cfg.
        upto: only the layers before this one; the file may go on behind them.

    Raises:
        WeightsError: a module is missing, is one too many, or has another shape than the layer at its place.
    """
    mine, theirs = _list_expected(network, upto), _list_layers(tensors)
    for position, (expected, actual) in enumerate(zip(mine, theirs, strict=False)):
        if not _is_match(expected, actual):
            place = f"module {position + 1} of {len(theirs)}, {actual}"
            raise WeightsError(
                f"{name} does not fit {network.name}: {place}, stands where the cfg has "
                f"{_describe_layer(expected, network)}"
            )
    if len(theirs) < len(mine):
        first_missing = mine[len(theirs)]
        raise WeightsError(
            f"{name} does not fit {network.name}: it has {len(theirs)} modules with tensors, the cfg {len(mine)}; "
            f"the first that is missing is {_describe_layer(first_missing, network)}"
        )
    if len(theirs) > len(mine) and upto is None:
        raise WeightsError(
            f"{name} does not fit {network.name}: it has {len(theirs)} modules with tensors, the cfg {len(mine)}; "
            f"the first too many is {theirs[len(mine)]}"
        )
    pairs = zip(mine, theirs, strict=False)
    return {
        expected.keys[role]: tensors[actual.keys[role]].reshape(expected.shapes[role])
        for expected, actual in pairs
        for role in expected.keys
    }


def _list_expected(network: Network, upto: int | None) -> list[ThirdPartyLayer]:
    """The modules of a network that hold tensors, a map before its batch norm as in a state_dict."""
    parts = []
    for node in network.nodes[:upto]:
        groups: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
        for tensor in node.tensors:
            owner, _, role = tensor.path.rpartition(".")
            groups.setdefault(owner, []).append((role, tensor.shape))
        # In the file the bias, which is the batch norm's where there is one, comes first.
        for owner in sorted(groups, key=lambda owner: owner.endswith("norm")):
            prefix, by_role = (
                f"layers.{node.index}.{owner}",
                sorted(groups[owner], key=lambda item: ROLES.index(item[0])),
            )
            parts.append(ThirdPartyLayer(prefix, {role: f"{prefix}.{role}" for role, _ in by_role}, dict(by_role)))
    return parts


def _list_layers(tensors: Mapping[str, Tensor]) -> list[ThirdPartyLayer]:
    """A state_dict's modules, in the order of their first tensors."""
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


def _is_match(expected: ThirdPartyLayer, actual: ThirdPartyLayer) -> bool:
    """The same roles and shapes; a lone parameter may have other axes of length 1."""
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
