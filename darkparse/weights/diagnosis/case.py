"""A network and a weights file that does not fit it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darkparse.network import Network
from darkparse.weights.buffer import FileBuffer
from darkparse.weights.diagnosis.statistics import is_plausible
from darkparse.weights.layout import Entry, compute_layout, stored_floats
from darkparse.weights.options import ReadOptions
from darkparse.weights.reader import WeightsFile, as_weights

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
    def of(cls, network: Network, blob: FileBuffer, options: ReadOptions) -> Mismatch:
        """A file as it is read for a network. Raises ValueError if it is too short for a header."""
        file = as_weights(blob, network.dialect, options.header_size)
        return cls(network, file, compute_layout(network, options.upto), options)

    @property
    def need(self) -> int:
        """Floats that the cfg needs."""
        return stored_floats(self.entries)

    @property
    def have(self) -> int:
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

    def is_sound_behind(self, header: int) -> bool:
        """Whether the values may be those of the network if they begin so many bytes into the file."""
        floats = self.file.blob.data[header : header + 4 * self.need].view(np.float32)
        return bool(np.isfinite(floats).all()) and is_plausible(floats, self.entries) is not False
