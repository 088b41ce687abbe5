"""A network and a weights file that does not fit it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darkparse.network import Network
from darkparse.weights.buffer import FileBuffer
from darkparse.weights.diagnosis.statistics import is_plausible
from darkparse.weights.layout import Entry, ReadOptions, WeightsFile, compute_layout, count_stored_floats, parse_weights

PLAUSIBLE_VERSION = 100_000
"""Darknet's own versions are 0.1 to 0.2.5; other tools wrote some above 1000."""


@dataclass(frozen=True, eq=False)
class Mismatch:
    """A network and a file that does not fit it."""

    network: Network
    file: WeightsFile
    entries: tuple[Entry, ...]
    options: ReadOptions

    @classmethod
    def from_buffer(cls, network: Network, blob: FileBuffer, options: ReadOptions) -> Mismatch:
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
        return self.file.floats.size

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.blob.size

    @property
    def has_version(self) -> bool:
        """Whether the file begins with a version that some Darknet may have written."""
        return all(0 <= part < PLAUSIBLE_VERSION for part in self.file.header.version)

    def is_plausible_after(self, header_bytes: int) -> bool:
        """Whether the values may be those of the network if they begin so many bytes into the file."""
        floats = self.file.blob.data[header_bytes : header_bytes + 4 * self.needed_floats].view(np.float32)
        return bool(np.isfinite(floats).all()) and is_plausible(floats, self.entries) is not False
