"""The state dict of a foreign cfg: its arrays by layer, and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.errors import WeightsError
from darkparse.syntax import Section
from darkparse.weights import FileBuffer, LazyArray, WeightsSource, open_source
from darkparse.weights.containers import read_container
from darkparse.weights.matching import FLOAT_DTYPES, split_counters
from darkparse.weights.third_party import IGNORED

PREFIX = "module_list."
WRAPPERS = ("module.", "model.")
"""Prefixes of modules that wrap the network, such as DataParallel."""
MAX_LISTED_KEYS = 3

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Expected:
    """Array that a layer requires."""

    shape: tuple[int, ...]
    index: int
    """Number of the layer."""
    section: Section


@dataclass(eq=False)
class State:
    """State dict, with the arrays that the layers of the cfg have requested so far.

    Attributes:
        file: The file.
        arrays: Arrays by key, without the prefix of a wrapper.
        expected: Requested arrays, by key.
    """

    file: FileBuffer
    arrays: Mapping[str, LazyArray]
    expected: dict[str, Expected] = field(default_factory=dict)

    @classmethod
    def read(cls, source: WeightsSource) -> State:
        """Read a file without running code from it.

        Raises:
            WeightsError: The file cannot be read or is not the state dict of a network with `module_list`.
        """
        file = open_source(source)
        if file.container is None:
            actual = file.file_type.title if file.file_type else "floats without names"
            raise WeightsError(
                f"{file.name}: got {actual}; expected the state dict that the project's training saves (.pt), because "
                "its .weights files omit constants and biases"
            )
        arrays, _ = split_counters(read_container(file, file.container).arrays)
        plain = {_strip_wrapper(key): array for key, array in arrays.items()}
        own = {key: array for key, array in plain.items() if key.rpartition(".")[2] not in IGNORED}
        if not any(key.startswith(PREFIX) for key in own):
            listed = ", ".join(list(own)[:MAX_LISTED_KEYS])
            raise WeightsError(
                f"{file.name}: no key begins with {PREFIX}, got {listed or 'no arrays'}; expected the state dict of a "
                "PyTorch project that stores a cfg's layers in module_list"
            )
        return cls(file, own)

    def has(self, index: int, part: str) -> bool:
        """Return whether a layer has an array."""
        return f"{PREFIX}{index}.{part}" in self.arrays

    def take(self, index: int, section: Section, part: str, shape: tuple[int, ...]) -> tuple[str, Values]:
        """Return the key and the values of a layer's array; zeros if it is missing or has another shape or dtype."""
        key = f"{PREFIX}{index}.{part}"
        self.expected[key] = Expected(shape, index, section)
        array = self.arrays.get(key)
        if array is None or array.shape != shape or array.dtype not in FLOAT_DTYPES:
            return key, np.broadcast_to(np.float32(0), shape)
        return key, array.read()

    def find_problem(self) -> str | None:
        """Return why the state dict does not fit the cfg; None if it does."""
        for key, expected in self.expected.items():
            array = self.arrays.get(key)
            place = f"layer {expected.index} [{expected.section.kind}] ({expected.section.span})"
            if array is None:
                missing = [other for other in self.expected if other not in self.arrays]
                shape = _format_shape(expected.shape)
                return f"{_format_keys(missing)} missing from the file; expected {shape} for {place}"
            if array.shape != expected.shape or array.dtype not in FLOAT_DTYPES:
                actual, needed = _format_shape(array.shape), _format_shape(expected.shape)
                return (
                    f"wrong shape or dtype of {key}, got {actual} {array.dtype}; expected {needed} floating point for "
                    f"{place}"
                )
        unknown = [key for key in self.arrays if key not in self.expected]
        return f"{_format_keys(unknown)} in the file but not in the cfg" if unknown else None

    @property
    def num_values(self) -> int:
        """Total element count of all arrays."""
        return sum(prod(array.shape) for array in self.arrays.values())


def _strip_wrapper(key: str) -> str:
    for prefix in WRAPPERS:
        if key.startswith(prefix + PREFIX):
            return key.removeprefix(prefix)
    return key


def _format_shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _format_keys(keys: list[str]) -> str:
    more = f" and {len(keys) - MAX_LISTED_KEYS} more" if len(keys) > MAX_LISTED_KEYS else ""
    return f"{', '.join(keys[:MAX_LISTED_KEYS])}{more} {'is' if len(keys) == 1 else 'are'}"


def make_lazy(values: NDArray[Any]) -> LazyArray:
    """Wrap values in memory as a `LazyArray`."""
    return LazyArray(values.shape, values.dtype.name, lambda: values)
