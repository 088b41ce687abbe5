"""Matching of a container's arrays to a network, by name, or for other programs by position and shape."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from math import prod

from darkparse.errors import Cause, WeightsError
from darkparse.network import Network
from darkparse.weights.buffer import BITS, Arrays
from darkparse.weights.diagnosis.case import ArraysMismatch
from darkparse.weights.diagnosis.other_cfgs import find_fitting_changes
from darkparse.weights.layout import ReadOptions, compute_layout, get_tensors
from darkparse.weights.third_party import (
    list_batch_norms,
    list_expected,
    list_layers,
    match_by_order,
    restore_order,
)

FLOAT_DTYPES = ("float16", "float32", "float64", *BITS)
MAX_LISTED_KEYS = 3
"""Maximum number of names in a message."""
COUNTERS = ("total_ops", "total_params")
"""Buffers that the package thop adds to every module that it profiles."""


@dataclass(frozen=True, slots=True)
class MismatchReport:
    """Explanation why named arrays do not fit a cfg."""

    causes: tuple[Cause, ...]
    layer: int | None = None


def match_arrays(name: str, arrays: Arrays, network: Network, options: ReadOptions) -> Arrays:
    """Return the arrays of a container that belong to a network, with this project's names.

    Args:
        name: Name of the file, for messages.
        arrays: Arrays of the container, in file order.
        network: Network of the cfg.
        options: Options that select the layers to read and whether other arrays are allowed.

    Raises:
        WeightsError: An array is missing, redundant, has another shape, or is not floating point.
    """
    compute_layout(network, options.upto)  # raises WeightsError if upto is invalid
    try:
        return _match(name, arrays, network, options)
    except WeightsError as problem:
        causes = () if options.upto else tuple(find_fitting_changes(_make_case(name, arrays, network, options)))
        if not causes:
            raise
        lines = [f"\n  cause: {cause.message}\n  hint: {cause.remedy}" for cause in causes]
        raise WeightsError(f"{problem}{''.join(lines)}", MismatchReport(causes)) from None


def fits_arrays(name: str, arrays: Arrays, options: ReadOptions, network: Network) -> bool:
    """Return whether all arrays match a network in name or position, and shape."""
    try:
        _match(name, arrays, network, options)
    except WeightsError:
        return False
    return True


def split_counters(arrays: Arrays) -> tuple[Arrays, list[str]]:
    """Return the arrays without the counters of a profiler, and the names of the counters."""
    counters = {key for key, array in arrays.items() if key.rpartition(".")[2] in COUNTERS and prod(array.shape) == 1}
    return {key: array for key, array in arrays.items() if key not in counters}, sorted(counters)


def _match(name: str, arrays: Arrays, network: Network, options: ReadOptions) -> Arrays:
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
                f"{name} does not fit {network.name}: wrong shape or dtype of {key}, got {actual} {array.dtype}; "
                f"expected {expected} floating point for {place}"
            )
    return {key: arrays[key] for key in shapes}


def _make_case(name: str, arrays: Arrays, network: Network, options: ReadOptions) -> ArraysMismatch:
    """Prepare arrays that do not fit for the search for causes."""
    theirs = restore_order(list_layers(arrays))
    sizes = tuple(prod(shape) for layer in theirs for shape in layer.shapes.values())
    mine = [int(layer.name.split(".")[1]) for layer in list_expected(network, None) if layer.is_map]
    norms = list_batch_norms(theirs)
    batch_norm = dict(zip(mine, norms, strict=True)) if len(mine) == len(norms) else {}
    return ArraysMismatch(network, sizes, partial(fits_arrays, name, arrays, options), batch_norm)


def _select(name: str, keys: Collection[str], network: Network, options: ReadOptions) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors to read from a file. Raises WeightsError if one is missing or redundant."""
    upto = options.upto
    expected = {key: (node.index, tensor.shape) for key, (node, tensor) in get_tensors(network).items()}
    unknown = [key for key in keys if key not in expected]
    missing = [key for key, (index, _) in expected.items() if key not in keys and (upto is None or index < upto)]
    if unknown and options.strict:
        raise WeightsError(
            f"{name} does not fit {network.name}: {_format_keys(unknown)} in the file but not in the cfg"
        )
    if missing and not options.allow_partial:
        raise WeightsError(f"{name} does not fit {network.name}: {_format_keys(missing)} missing from the file")
    selected = (key for key in keys if key in expected)
    return {key: expected[key][1] for key in selected if upto is None or expected[key][0] < upto}


def _format_keys(keys: list[str]) -> str:
    more = f" and {len(keys) - MAX_LISTED_KEYS} more" if len(keys) > MAX_LISTED_KEYS else ""
    return f"{', '.join(keys[:MAX_LISTED_KEYS])}{more} {'is' if len(keys) == 1 else 'are'}"


def has_own_names(keys: Iterable[str], network: Network) -> bool:
    """Return whether at least half of the tensors have this project's names."""
    own = get_tensors(network)
    matches = [key in own for key in keys]
    return bool(matches) and sum(matches) * 2 >= len(matches)
