"""A network and weights that do not fit it: a `.weights` file, whose floats have no names, or arrays with shapes."""

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
"""Darknet's own versions are 0.1 to 0.2.5; other tools wrote some above 1000."""
MAX_RUNS = 8
"""Runs of layers that are tried; each is compiled."""


@dataclass(frozen=True, eq=False)
class Mismatch(ABC):
    """A network and weights that do not fit it, with the questions that tell another cfg from this one."""

    network: Network

    @property
    @abstractmethod
    def available_floats(self) -> int:
        """Number of floats there are."""

    @property
    @abstractmethod
    def is_countable(self) -> bool:
        """Whether the number of floats says something about the whole network."""

    @abstractmethod
    def count_floats(self, network: Network) -> int:
        """Number of floats that a network needs."""

    @abstractmethod
    def is_fit(self, network: Network) -> bool:
        """Whether the weights fit a network."""

    @abstractmethod
    def find_evidence(self, network: Network) -> bool | None:
        """Whether the values speak for a network that fits: True, False, or None if they do not say."""

    @abstractmethod
    def propose_batch_norm(self, changes: Mapping[int, int]) -> Iterator[Set[int]]:
        """Propose layers in which batch norm may be on where it is off in the cfg, or off where it is on.

        Args:
            changes: for each layer that may have batch norm, the floats that are added by the change, negative if
                they are removed.
        """


@dataclass(frozen=True, eq=False)
class ArraysMismatch(Mismatch):
    """A network and named arrays that do not fit it; their shapes are evidence enough."""

    sizes: tuple[int, ...]
    """Number of values of each array."""
    accepts: Callable[[Network], bool]
    """Whether every array has its place and shape in a network."""
    batch_norm: Mapping[int, bool]
    """For each layer whether an array of its batch norm stands at its place."""
    is_countable: bool = True

    @property
    def available_floats(self) -> int:
        """Number of values of all arrays."""
        return sum(self.sizes)

    def count_floats(self, network: Network) -> int:
        """Number of values in a network's tensors."""
        return sum(prod(tensor.shape) for _, tensor in get_tensors(network).values())

    def is_fit(self, network: Network) -> bool:
        """Whether every array has its place and shape in a network."""
        return self.accepts(network)

    def find_evidence(self, network: Network) -> bool | None:
        """Return None: a fit of all shapes needs no evidence."""
        return None

    def propose_batch_norm(self, changes: Mapping[int, int]) -> Iterator[Set[int]]:
        """Propose the layers where arrays and cfg disagree."""
        differing = {
            index for index, floats in changes.items() if floats and self.batch_norm.get(index) == (floats > 0)
        }
        if differing:
            yield differing


@dataclass(frozen=True, eq=False)
class FileMismatch(Mismatch):
    """A network and a `.weights` file that does not fit it."""

    file: WeightsFile
    entries: tuple[Entry, ...]
    options: ReadOptions

    @classmethod
    def from_buffer(cls, network: Network, blob: FileBuffer, options: ReadOptions) -> FileMismatch:
        """A file as it is read for a network. Raises ValueError if it is too short for a header."""
        file = parse_weights(blob, network.dialect, options.header_size)
        return cls(network, file, compute_layout(network, options.upto), options)

    @property
    def needed_floats(self) -> int:
        """Floats that the cfg needs."""
        return count_stored_floats(self.entries)

    @property
    def available_floats(self) -> int:
        """Whole floats behind the header."""
        return self.file.num_floats

    @property
    def is_countable(self) -> bool:
        """Whether the file holds whole floats, for the whole network."""
        return not self.file.trailing_bytes and len(self.entries) == len(compute_layout(self.network))

    def count_floats(self, network: Network) -> int:
        """Floats that a network stores in a `.weights` file."""
        return network.stored_floats

    def find_evidence(self, network: Network) -> bool | None:
        """Whether every variance is in range when the file is read for a network; None if it has none."""
        return is_plausible(self.file.block, compute_layout(network))

    def is_fit(self, network: Network) -> bool:
        """Whether the file has exactly a network's size."""
        return self.file.fits(network.stored_floats)

    def propose_batch_norm(self, changes: Mapping[int, int]) -> Iterator[Set[int]]:
        """Propose runs of layers whose floats make up the difference, the longest first; not before a head first."""
        difference = self.available_floats - self.needed_floats
        layers = [index for index, floats in changes.items() if floats * difference > 0]
        before_heads = {index for head in self.network.heads for index in self.network.nodes[head].inputs}
        inner = [index for index in layers if index not in before_heads]
        for candidates in (inner, layers):
            yield from _find_runs(candidates, changes, difference)[:MAX_RUNS]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.blob.size

    @property
    def has_version(self) -> bool:
        """Whether the file begins with a version that some Darknet may have written."""
        return all(0 <= part < PLAUSIBLE_VERSION for part in self.file.header.version)

    def is_plausible_after(self, header_bytes: int) -> bool:
        """Return whether the values can belong to the network if they begin after `header_bytes`."""
        floats = as_floats(self.file.blob.data[header_bytes : header_bytes + 4 * self.needed_floats])
        return is_plausible(floats, self.entries) is not False and is_finite(floats)


def _find_runs(layers: Sequence[int], changes: Mapping[int, int], difference: int) -> list[Set[int]]:
    """Return the runs of neighbors whose changes add up to a difference, the longest first."""
    sums = list(accumulate((changes[index] for index in layers), initial=0))
    ends = {total: position for position, total in enumerate(sums)}  # all changes have one sign: no sum comes twice
    runs = [layers[start : ends[total + difference]] for start, total in enumerate(sums) if total + difference in ends]
    return [set(run) for run in sorted(runs, key=len, reverse=True) if run]
