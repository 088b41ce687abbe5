"""Where every array of a network lies in its `.weights` file, and how it is read; the layout needs no numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from darkparse.errors import WeightsError
from darkparse.layers import Dialect, TensorSpec
from darkparse.network import Network, Node
from darkparse.weights.buffer import FileBuffer, Floats, LazyArray, as_floats
from darkparse.weights.header import Header, read_header

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReadOptions:
    """How a file of weights is read, and where its values go.

    Functions that load weights into a module take `device` and `dtype` as keywords too, which override these fields.

    Attributes:
        strict: the file must hold exactly the floats that the network needs; otherwise a longer file is accepted.
        upto: read only the layers before this one, as `darknet partial` counts; the file may go on behind them.
        allow_partial: accept a file that ends exactly after a layer; the rest stays as it is, or is initialized.
        mmap: map a file given by its path, so that parameters on the CPU are its pages, copied only where they are
            written; False reads it into memory once.
        header_size: 16 or 20, for a `.weights` file whose header is not as wide as its version says.
        device: where to put parameters that have no memory yet.
        dtype: their dtype, by default the file's: float32 in a `.weights` file.

    >>> backbone = darkparse.ReadOptions(upto=10, mmap=False)
    >>> darkparse.load("yolov3-tiny", "tiny.weights", backbone).loaded.missing
    (10, 12, 13, 14, 15, 18, 21, 22)
    """

    strict: bool = True
    upto: int | None = None
    allow_partial: bool = False
    mmap: bool = True
    header_size: int | None = None
    device: str | torch.device | int | None = None
    dtype: torch.dtype | None = None

    def override(
        self, *, device: str | torch.device | int | None = None, dtype: torch.dtype | None = None
    ) -> ReadOptions:
        """Return these options with each value that is not None in place of the field."""
        return replace(
            self,
            device=self.device if device is None else device,
            dtype=self.dtype if dtype is None else dtype,
        )


def state_key(node: Node, tensor: TensorSpec) -> str:
    """What a module's state_dict calls a layer's tensor: `layers.12.conv.weight`."""
    return f"layers.{node.index}.{tensor.path}"


def get_tensors(network: Network, upto: int | None = None) -> dict[str, tuple[Node, TensorSpec]]:
    """Every tensor of a network, or of the layers before `upto`, by its key in the state_dict, with its layer."""
    return {state_key(node, tensor): (node, tensor) for node in network.nodes[:upto] for tensor in node.tensors}


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored array: its layer, its tensor, and its place in floats behind the header."""

    node: Node
    tensor: TensorSpec
    start: int

    @property
    def name(self) -> str:
        """The key in the state_dict."""
        return state_key(self.node, self.tensor)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what the file holds: that of the module's tensor, or its first rows (`numload`)."""
        rows = self.tensor.shape[0] if self.tensor.rows is None else self.tensor.rows
        return (rows, *self.tensor.shape[1:])

    @property
    def size(self) -> int:
        """Number of floats in the file."""
        return self.tensor.stored_size

    @property
    def end(self) -> int:
        return self.start + self.size


def compute_layout(network: Network, upto: int | None = None) -> tuple[Entry, ...]:
    """The stored arrays of a network in file order, of the layers before `upto` only if given.

    Raises:
        WeightsError: `upto` is not a number of layers of the network.
    """
    count = len(network.nodes)
    if upto is not None and not 1 <= upto <= count:
        raise WeightsError(f"upto must be 1 to {count}, the number of layers of {network.name}; got {upto}")
    entries, start = [], 0
    for node in network.nodes[:upto]:
        if node.layer.dontload:
            continue
        for tensor in node.tensors:
            if tensor.stored_size:
                entries.append(Entry(node, tensor, start))
                start += tensor.stored_size
    return tuple(entries)


def count_stored_floats(entries: tuple[Entry, ...]) -> int:
    """Number of floats that the file must hold for these arrays."""
    return entries[-1].end if entries else 0


def get_layer_ends(entries: tuple[Entry, ...]) -> dict[int, int]:
    """For every layer with stored arrays the number of floats up to its end."""
    return {entry.node.index: entry.end for entry in entries}


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """A `.weights` file: its header, and all floats behind it."""

    blob: FileBuffer
    header: Header

    @property
    def num_floats(self) -> int:
        """Number of whole floats behind the header."""
        return (self.blob.size - self.header.size) // 4

    @property
    def trailing_bytes(self) -> int:
        """Bytes at the end that make no whole float."""
        return (self.blob.size - self.header.size) % 4

    @cached_property
    def block(self) -> memoryview[float]:
        """(n,), float32, file order; a view of the blob that needs no numpy."""
        return as_floats(self.blob.data[self.header.size : self.header.size + 4 * self.num_floats])

    @cached_property
    def floats(self) -> Floats:
        """The same as an array."""
        import numpy as np

        return np.asarray(self.block)

    def fits(self, num_floats: int, *, allow_longer: bool = False) -> bool:
        """Return whether the file has exactly `num_floats` floats, or at least as many with `allow_longer`."""
        return (
            self.num_floats >= num_floats if allow_longer else self.num_floats == num_floats and not self.trailing_bytes
        )

    def get_array(self, entry: Entry) -> Floats:
        """Return one array in its shape; a view wherever the order allows it."""
        stored = self.floats[entry.start : entry.end]
        if self._is_transposed(entry):
            return stored.reshape(-1, entry.shape[0]).T.copy().reshape(entry.shape)
        return stored.reshape(entry.shape)

    def get_block(self, entry: Entry) -> memoryview:
        """Return the bytes of one array in its order, without numpy; a view wherever the order allows it."""
        stored = self.block[entry.start : entry.end]
        if not self._is_transposed(entry):
            return stored.cast("B")
        num_rows = entry.shape[0]
        return memoryview(b"".join(stored[row::num_rows].tobytes() for row in range(num_rows)))

    def get_lazy_array(self, entry: Entry) -> LazyArray:
        """Return one array that is read when it is needed."""
        offset = None if self._is_transposed(entry) else self.header.size + 4 * entry.start
        return LazyArray(entry.shape, "float32", partial(self.get_array, entry), partial(self.get_block, entry), offset)

    def _is_transposed(self, entry: Entry) -> bool:
        return is_stored_transposed(entry.tensor, transposed=self.header.is_transposed)


def parse_weights(blob: FileBuffer, dialect: Dialect, header_size: int | None = None) -> WeightsFile:
    """Read bytes as a `.weights` file. Raises ValueError if they are too few for a header."""
    return WeightsFile(blob, read_header(blob.read_head(20), dialect, header_size))


def is_stored_transposed(tensor: TensorSpec, *, transposed: bool) -> bool:
    """Whether a file holds the matrix the other way round:
    `flipped`, or connected in a file of a version above 1000."""
    return tensor.transposed or (tensor.transposable and transposed)
