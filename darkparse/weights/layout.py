"""Layout of a network's arrays in a `.weights` file, and options for reading. This module does not import numpy."""

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
    """Options for reading weights.

    Functions that load weights into a module also take `device` and `dtype` as keywords, which override these fields.

    Attributes:
        strict: Require exactly the network's arrays; False accepts a longer file.
        upto: Read only the layers before this one, as `darknet partial` counts; the file may contain more layers.
        allow_partial: Accept a file that ends exactly after a layer; later layers keep their values or are initialized.
        mmap: Map a file given by path into memory, so that parameters on the CPU share its pages, which are copied when
            they are written to; False reads the file into memory.
        header_size: 16 or 20 for a `.weights` file whose header size does not match its version.
        device: Device for parameters that have no memory yet.
        dtype: Dtype for these parameters; default: the file's, float32 for a `.weights` file.

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
        """Return a copy with each value that is not None."""
        return replace(
            self,
            device=self.device if device is None else device,
            dtype=self.dtype if dtype is None else dtype,
        )


def state_key(node: Node, tensor: TensorSpec) -> str:
    """Return the key of a layer's tensor in the state_dict: `layers.12.conv.weight`."""
    return f"layers.{node.index}.{tensor.path}"


def get_tensors(network: Network, upto: int | None = None) -> dict[str, tuple[Node, TensorSpec]]:
    """Return all tensors of a network, or of its layers before `upto`, with their layers, by state_dict key."""
    return {state_key(node, tensor): (node, tensor) for node in network.nodes[:upto] for tensor in node.tensors}


@dataclass(frozen=True, slots=True)
class Entry:
    """Stored array: its layer, its tensor, and its offset after the header in floats."""

    node: Node
    tensor: TensorSpec
    start: int

    @property
    def name(self) -> str:
        """Key in the state_dict."""
        return state_key(self.node, self.tensor)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stored array: that of the module's tensor, or of its first rows (`numload`)."""
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
    """Compute the layout of a network's arrays in the file, or of its layers before `upto`.

    Raises:
        WeightsError: `upto` exceeds the number of layers.
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
    """Return the number of floats that a file with these arrays has."""
    return entries[-1].end if entries else 0


def get_layer_ends(entries: tuple[Entry, ...]) -> dict[int, int]:
    """Return the number of floats up to the end of each layer with stored arrays, by layer index."""
    return {entry.node.index: entry.end for entry in entries}


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """Header and floats of a `.weights` file."""

    blob: FileBuffer
    header: Header

    @property
    def num_floats(self) -> int:
        """Number of whole floats after the header."""
        return (self.blob.size - self.header.size) // 4

    @property
    def trailing_bytes(self) -> int:
        """Number of bytes at the end that do not form a whole float."""
        return (self.blob.size - self.header.size) % 4

    @cached_property
    def block(self) -> memoryview[float]:
        """Floats in file order, (n,), as a view of the file's bytes that does not require numpy."""
        return as_floats(self.blob.data[self.header.size : self.header.size + 4 * self.num_floats])

    @cached_property
    def floats(self) -> Floats:
        """Floats in file order, (n,), as a numpy array."""
        import numpy as np

        return np.asarray(self.block)

    def fits(self, num_floats: int, *, allow_longer: bool = False) -> bool:
        """Return whether the file has exactly `num_floats` floats, or at least as many with `allow_longer`."""
        return (
            self.num_floats >= num_floats if allow_longer else self.num_floats == num_floats and not self.trailing_bytes
        )

    def get_array(self, entry: Entry) -> Floats:
        """Return an array in its shape; a view unless it is stored transposed."""
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
        """Return one array that is read on demand."""
        offset = None if self._is_transposed(entry) else self.header.size + 4 * entry.start
        return LazyArray(entry.shape, "float32", partial(self.get_array, entry), partial(self.get_block, entry), offset)

    def _is_transposed(self, entry: Entry) -> bool:
        return is_stored_transposed(entry.tensor, transposed=self.header.is_transposed)


def parse_weights(blob: FileBuffer, dialect: Dialect, header_size: int | None = None) -> WeightsFile:
    """Read bytes as a `.weights` file. Raises ValueError if they are too few for a header."""
    return WeightsFile(blob, read_header(blob.read_head(20), dialect, header_size))


def is_stored_transposed(tensor: TensorSpec, *, transposed: bool) -> bool:
    """Return whether a file stores a matrix transposed: `flipped`, or `[connected]` above version 1000."""
    return tensor.transposed or (tensor.transposable and transposed)
