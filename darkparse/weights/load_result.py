"""Which of a network's layers a file holds."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.errors import WeightsError
from darkparse.network import Network
from darkparse.weights.header import Header
from darkparse.weights.layout import get_tensors, state_key
from darkparse.weights.options import ReadOptions

MAX_LISTED_KEYS = 3
"""Names in a message."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was loaded into a module.

    Attributes:
        name: of the file.
        header: its header; None for a container that has none.
        layers: the layers whose weights it held.
        missing: the layers that have weights and stayed as they were, or as they were initialized: those behind the
            end of a partial file, those with `dontload`, `dontloadscales` or `numload`.
    """

    name: str
    header: Header | None
    layers: tuple[int, ...]
    missing: tuple[int, ...]

    @classmethod
    def from_shapes(
        cls, name: str, header: Header | None, network: Network, shapes: Mapping[str, tuple[int, ...]]
    ) -> LoadResult:
        """What arrays of these shapes bring, by layer."""
        layers, missing = [], []
        for node in network.nodes:
            expected = {state_key(node, tensor): tensor.shape for tensor in node.tensors}
            if any(key in shapes for key in expected):
                layers.append(node.index)
            if any(shapes.get(key) != shape for key, shape in expected.items()):
                missing.append(node.index)
        return cls(name, header, tuple(layers), tuple(missing))

    def __str__(self) -> str:
        text = f"{self.name}: loaded {format_ranges(self.layers)}" if self.layers else f"{self.name}: loaded no layer"
        return f"{text}; as they were: {format_ranges(self.missing)}" if self.missing else text


def format_ranges(layers: tuple[int, ...]) -> str:
    """Layer numbers as text, those that follow each other as one: `layers 0–73, 75`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    texts = [str(a) if a == b else f"{a}–{b}" for a, b in runs]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(texts)}"


def select_fitting(
    name: str, keys: Collection[str], network: Network, options: ReadOptions
) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors to take from a file that holds these.

    Raises:
        WeightsError: one is missing, or too much.
    """
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


def warn_about_non_finite(name: str, arrays: Iterable[tuple[str, NDArray[Any]]], *, stacklevel: int) -> None:
    """Say what training that diverged leaves behind; a sum tells, and takes a fraction of what loading takes."""
    counts = {}
    with np.errstate(invalid="ignore", over="ignore"):  # on one core, where threads would wait for the file's pages
        for key, array in arrays:
            if not isfinite(array.sum()) and (count := int((~np.isfinite(array)).sum())):  # or is it just too large?
                counts[key] = count
    if total := sum(counts.values()):
        first = next(iter(counts))
        message = f"{name}: {total:,} values are not finite (infinite or no number), the first in {first}"
        warnings.warn(f"{message}; `darkparse weights` says more", stacklevel=stacklevel)


def _format_keys(keys: list[str]) -> str:
    more = f" and {len(keys) - MAX_LISTED_KEYS} more" if len(keys) > MAX_LISTED_KEYS else ""
    return f"{', '.join(keys[:MAX_LISTED_KEYS])}{more} {'is' if len(keys) == 1 else 'are'}"
