"""Networks with weights that do not fit: a `.weights` file, which has no names, or arrays with shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from darkparse.network import Network
from darkparse.weights.buffer import FileBuffer, as_floats
from darkparse.weights.diagnosis.statistics import is_finite, is_plausible
from darkparse.weights.layout import (
    Entry,
    ReadOptions,
    WeightsFile,
    compute_layout,
    count_stored_floats,
    get_tensors,
    parse_weights,
)

PLAUSIBLE_VERSION = 100_000
"""Upper limit of a plausible version number; Darknet writes 0.1 to 0.2.5, some other tools versions above 1000."""
MAX_RUNS = 8
"""Maximum number of runs of layers to try; each requires a compilation."""


@dataclass(frozen=True, eq=False)
class Mismatch(ABC):
    """Network and weights that do not fit it, with the tests that identify the right cfg."""

    network: Network

    @property
    @abstractmethod
    def available_floats(self) -> int:
        """Number of floats in the weights."""

    @property
    @abstractmethod
    def is_countable(self) -> bool:
        """Whether the number of floats is that of a complete network."""

    @abstractmethod
    def count_floats(self, network: Network) -> int:
        """Count the floats that a network requires."""

    @abstractmethod
    def is_fit(self, network: Network) -> bool:
        """Return whether the weights fit a network."""

    @abstractmethod
    def find_evidence(self, network: Network) -> bool | None:
        """Return whether the values are plausible for a network that fits; None if that cannot be decided."""

    @abstractmethod
    def propose_batch_norm(self, changes: Mapping[int, int]) -> Iterator[Set[int]]:
        """Yield sets of layers whose batch norm may be wrong in the cfg: missing or redundant.

        Args:
            changes: Number of floats that toggling batch norm adds, or removes if negative, by index of each layer that
                may have batch norm.
        """


@dataclass(frozen=True, eq=False)
class ArraysMismatch(Mismatch):
    """Network and named arrays that do not fit it; a fit of all shapes needs no further evidence."""

    sizes: tuple[int, ...]
    """Number of values of each array."""
    accepts: Callable[[Network], bool]
    """Function that returns whether all arrays match a network."""
    batch_norm: Mapping[int, bool]
    """Whether the arrays of a batch norm exist, by layer index."""
    is_countable: bool = True

    @property
    def available_floats(self) -> int:
        """Total number of values."""
        return sum(self.sizes)

    def count_floats(self, network: Network) -> int:
        """Count the values of a network's tensors."""
        return sum(prod(tensor.shape) for _, tensor in get_tensors(network).values())

    def is_fit(self, network: Network) -> bool:
        """Return whether all arrays match a network."""
        return self.accepts(network)

    def find_evidence(self, network: Network) -> bool | None:
        """Return None, because a fit of all shapes needs no evidence."""
        return None

    def propose_batch_norm(self, changes: Mapping[int, int]) -> Iterator[Set[int]]:
        """Yield the layers for which arrays and cfg disagree."""
        differing = {
            index for index, floats in changes.items() if floats and self.batch_norm.get(index) == (floats > 0)
        }
        if differing:
            yield differing


@dataclass(frozen=True, eq=False)
class FileMismatch(Mismatch):
    """Network and a `.weights` file that does not fit it."""

    file: WeightsFile
    entries: tuple[Entry, ...]
    options: ReadOptions

    @classmethod
    def from_buffer(cls, network: Network, blob: FileBuffer, options: ReadOptions) -> FileMismatch:
        """Parse a file for a network. Raises ValueError if it is too short for a header."""
        file = parse_weights(blob, network.dialect, options.header_size)
        return cls(network, file, compute_layout(network, options.upto), options)

    @property
    def needed_floats(self) -> int:
        """Number of floats that the cfg requires."""
        return count_stored_floats(self.entries)

    @property
    def available_floats(self) -> int:
        """Whole floats after the header."""
        return self.file.num_floats

    @property
    def is_countable(self) -> bool:
        """Whether the file consists of complete floats and is read for the whole network."""
        return not self.file.trailing_bytes and len(self.entries) == len(compute_layout(self.network))

    def count_floats(self, network: Network) -> int:
        """Count the floats that a network stores in a `.weights` file."""
        return network.stored_floats

    def find_evidence(self, network: Network) -> bool | None:
        """Return whether all variances are in range if the file is read for a network; None without variances."""
        return is_plausible(self.file.block, compute_layout(network))

    def is_fit(self, network: Network) -> bool:
        """Return whether the file has exactly the size of a network."""
        return self.file.fits(network.stored_floats)

    def propose_batch_norm(self, changes: Mapping[int, int]) -> Iterator[Set[int]]:
        """Yield runs of layers whose floats equal the difference, the longest first, those before a head last."""
        difference = self.available_floats - self.needed_floats
        layers = [index for index, floats in changes.items() if floats * difference > 0]
        before_heads = {index for head in self.network.heads for index in self.network.nodes[head].inputs}
        inner = [index for index in layers if index not in before_heads]
        for candidates in (inner, layers):
            yield from _find_runs(candidates, changes, difference)[:MAX_RUNS]

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.file.blob.size

    @property
    def has_version(self) -> bool:
        """Whether the file starts with a plausible version of Darknet."""
        return all(0 <= part < PLAUSIBLE_VERSION for part in self.file.header.version)

    def is_plausible_after(self, header_bytes: int) -> bool:
        """Return whether the values can belong to the network if they begin after `header_bytes`."""
        floats = as_floats(self.file.blob.data[header_bytes : header_bytes + 4 * self.needed_floats])
        return is_plausible(floats, self.entries) is not False and is_finite(floats)


def _find_runs(layers: Sequence[int], changes: Mapping[int, int], difference: int) -> list[Set[int]]:
    """Return the runs of consecutive layers whose changes add up to a difference, the longest first."""
    sums = list(accumulate((changes[index] for index in layers), initial=0))
    ends = {
        total: position for position, total in enumerate(sums)
    }  # sums are unique, because all changes have the same sign
    runs = [layers[start : ends[total + difference]] for start, total in enumerate(sums) if total + difference in ends]
    return [set(run) for run in sorted(runs, key=len, reverse=True) if run]
