"""A container's arrays matched to a network: by name, or those of other converters by position and shape.

Tianxiaomo/pytorch-YOLOv4, ultralytics/yolov3 and eriklindernoren/PyTorch-YOLOv3 all keep a cfg's layers in its order
and torch's own modules in them, a convolution before its batch norm; so do most others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from darkparse.errors import WeightsError
from darkparse.network import Network
from darkparse.weights.buffer import BITS, Arrays
from darkparse.weights.layout import ReadOptions, compute_layout, get_tensors

FLOAT_DTYPES = ("float16", "float32", "float64", *BITS)
MAX_LISTED_KEYS = 3
"""Names in a message."""
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


def match_arrays(name: str, arrays: Arrays, network: Network, options: ReadOptions) -> Arrays:
    """Return the arrays of a container that a network takes, under this project's names.

    Args:
        name: of the file, for messages.
        arrays: what the container holds, in its order.
        network: the network of its cfg.
        options: which layers are read, and whether the file must hold just these.

    Raises:
        WeightsError: an array is missing, too much, of another shape, or not of floating point.
    """
    compute_layout(network, options.upto)  # upto is a number of layers
    if not has_own_names(arrays, network):
        arrays = match_by_order(name, arrays, network, options.upto)
    shapes = _select(name, arrays, network, options)
    for key, shape in shapes.items():
        array = arrays[key]
        if array.shape != shape or array.dtype not in FLOAT_DTYPES:
            node = network.nodes[int(key.split(".")[1])]
            place = f"layer {node.index} [{node.kind}] ({node.section.span})"
            actual, expected = ("×".join(map(str, dims)) for dims in (array.shape, shape))
            raise WeightsError(
                f"{name} does not fit {network.name}: {key} is {actual} {array.dtype}, {place} needs {expected}"
            )
    return {key: arrays[key] for key in shapes}


def _select(name: str, keys: Collection[str], network: Network, options: ReadOptions) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors to take from a file that holds these; raise if one is missing, or too much."""
    upto = options.upto
    expected = {key: (node.index, tensor.shape) for key, (node, tensor) in get_tensors(network).items()}
    unknown = [key for key in keys if key not in expected]
    missing = [key for key, (index, _) in expected.items() if key not in keys and (upto is None or index < upto)]
    if unknown and options.strict:
        raise WeightsError(f"{name} does not fit {network.name}: {_format_keys(unknown)} in the file, not in the cfg")
    if missing and not options.allow_partial:
        raise WeightsError(f"{name} does not fit {network.name}: {_format_keys(missing)} missing from the file")
    selected = (key for key in keys if key in expected)
    return {key: expected[key][1] for key in selected if upto is None or expected[key][0] < upto}


def _format_keys(keys: list[str]) -> str:
    more = f" and {len(keys) - MAX_LISTED_KEYS} more" if len(keys) > MAX_LISTED_KEYS else ""
    return f"{', '.join(keys[:MAX_LISTED_KEYS])}{more} {'is' if len(keys) == 1 else 'are'}"


def has_own_names(keys: Iterable[str], network: Network) -> bool:
    """Whether tensors carry this project's names: as many of them as not."""
    own = get_tensors(network)
    matches = [key in own for key in keys]
    return bool(matches) and sum(matches) * 2 >= len(matches)


def match_by_order(name: str, tensors: Arrays, network: Network, upto: int | None = None) -> Arrays:
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


def _list_layers(tensors: Arrays) -> list[ThirdPartyLayer]:
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
