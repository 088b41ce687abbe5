"""The bytes of a weights file, opened and identified once, and arrays that are read lazily; opening needs no numpy."""

from __future__ import annotations

import mmap as memory
import os
import stat
import zlib
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast
from zipfile import ZipFile

from darkparse.errors import WeightsError
from darkparse.syntax.files import describe_error
from darkparse.weights.file_type import ByteStream, Container, FileType, detect_file_type

HEADER_BYTES = 20
"""Size of a header since version 0.2."""
MIN_UNPACKED_LIMIT = 64 << 20
"""Unpacked size in bytes that is allowed for any archive."""
MAX_EXPANSION = 100
"""Maximum ratio of unpacked to packed size of a larger archive; deflate saves a tenth of the size of weights."""

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

BITS = {
    "bfloat16": "uint16",
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), "uint8"),
}
"""Unsigned integer dtypes that represent the torch dtypes that numpy does not support."""

Floats: TypeAlias = "NDArray[np.float32]"
WeightsSource = str | os.PathLike[str] | BinaryIO | bytes | bytearray | memoryview


@dataclass(frozen=True, eq=False)
class FileBuffer:
    """All bytes of a file, in memory that can be written to without changing the file."""

    name: str
    """Name in messages."""
    data: memoryview
    """Bytes of mapped pages of the file, or of a copy."""
    path: Path | None = None
    is_mapped: bool = False

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)

    def read_head(self, count: int = 4096) -> bytes:
        """Return the first `count` bytes."""
        return self.data[:count].tobytes()

    @cached_property
    def file_type(self) -> FileType | None:
        """Type of a file that is not a `.weights` file; None if it may be one."""
        return detect_file_type(self.data)

    @property
    def container(self) -> Container | None:
        """Container format of the file; None for other files."""
        return self.file_type.container if self.file_type else None

    def release_pages(self) -> None:
        """Release mapped pages that were not written to; the system reads them again when they are used."""
        if self.is_mapped and hasattr(memory, "MADV_DONTNEED"):
            cast("memory.mmap", self.data.obj).madvise(memory.MADV_DONTNEED)

    def open_stream(self) -> BinaryIO:
        """Return the bytes as an open file without copying them."""
        return cast("BinaryIO", ByteStream(self.data))

    def check_unpacked_size(self) -> None:
        """Raise WeightsError if a zip archive declares an unpacked size far above its own size."""
        with ZipFile(self.open_stream()) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max(MIN_UNPACKED_LIMIT, MAX_EXPANSION * self.size):
            raise WeightsError(
                f"{self.name}: {self.size:,} bytes unpack to {unpacked:,}; expected at most {MAX_EXPANSION} times "
                f"the size"
            )


@dataclass(frozen=True, slots=True)
class LazyArray:
    """Array that is read on demand."""

    shape: tuple[int, ...]
    dtype: str
    """Name of the dtype in torch, e.g. `float32`."""
    load: Callable[[], NDArray[Any]]
    """Return the values; those of a dtype that numpy does not have, as unsigned integers of the same bits."""
    load_block: Callable[[], memoryview] | None = None
    """Return float32 values as one block of bytes, without numpy; None if the file format requires numpy."""
    offset: int | None = None
    """Position in the file, in bytes, if the values are stored there as one block of float32; otherwise None."""

    def read_block(self) -> memoryview:
        """Return the values in float32 as one block of bytes, in row-major order."""
        if self.load_block is not None:
            return self.load_block()
        import numpy as np

        return np.ascontiguousarray(self.read()).reshape(-1).view(np.uint8).data

    def read(self) -> Floats:
        """Return the values in float32, copied only where they have another dtype."""
        import numpy as np

        values = self.load()
        if self.dtype == "bfloat16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        if self.dtype in BITS:
            return np.asarray(self.to_tensor().float().numpy())
        return values.astype(np.float32, copy=False)

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> LazyArray:
        """Convert a tensor; the array shares the memory of a tensor on the CPU."""
        dtype = str(tensor.dtype).removeprefix("torch.")

        def load() -> NDArray[Any]:
            import numpy as np
            import torch

            values = tensor.detach().cpu()
            return np.asarray((values.view(getattr(torch, BITS[dtype])) if dtype in BITS else values).numpy())

        return cls(tuple(tensor.shape), dtype, load)

    def to_tensor(self) -> Tensor:
        """Return the values as a tensor that shares their memory."""
        import torch

        values, dtype = torch.from_numpy(self.load()), getattr(torch, self.dtype)
        return values if values.dtype == dtype else values.view(dtype)

    def reshape(self, shape: tuple[int, ...]) -> LazyArray:
        """Return an array with the same values in another shape."""
        return LazyArray(shape, self.dtype, lambda: self.load().reshape(shape))


Arrays = Mapping[str, LazyArray]
"""Arrays by their names in the state_dict."""


def as_floats(data: memoryview) -> memoryview[float]:
    """Return bytes as float32 values, without a copy."""
    return data.cast("f") if len(data) else memoryview(array("f"))  # an empty view cannot be cast


def open_source(source: WeightsSource | FileBuffer, *, mmap: bool = True) -> FileBuffer:
    """Return the bytes of a file.

    Args:
        source: Path; file opened in binary mode, which is read from its current position; or bytes.
        mmap: Map a file given by path into memory: pages are read when they are used, and copied when they are written
            to. Pipes are read.

    Raises:
        WeightsError: the file cannot be read.
        TypeError: the source has an unsupported type.
    """
    if isinstance(source, FileBuffer):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return FileBuffer("<bytes>", _copy_bytes(source))
    if isinstance(source, (str, os.PathLike)):
        return _read_path(Path(source), mmap)
    if not hasattr(source, "read"):
        raise TypeError(f"invalid weights, got {type(source).__name__}; expected a path, an open binary file or bytes")
    return _read_file(source)


def _read_path(path: Path, mmap: bool) -> FileBuffer:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                raise WeightsError(f"{path}: cannot read weights from a device; expected a file or a pipe")
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                return FileBuffer(str(path), _copy_bytes(file.read()), path)
            if mmap:
                # Copy-on-write pages: neither the file nor another process sees changes.
                pages = memory.mmap(file.fileno(), 0, access=memory.ACCESS_COPY)
                return FileBuffer(str(path), memoryview(pages), path, is_mapped=True)
            return FileBuffer(str(path), _read_up_to(file, status.st_size), path)
    except (OSError, ValueError) as problem:
        raise WeightsError(f"{path}: {describe_error(problem)}") from None


def _read_file(file: BinaryIO) -> FileBuffer:
    name = str(getattr(file, "name", "<file>"))
    try:
        return FileBuffer(name, _read_rest(file))
    except (TypeError, UnicodeDecodeError):
        raise WeightsError(f"{name}: file is open in text mode; open it with mode 'rb'") from None
    except (OSError, ValueError, EOFError, zlib.error) as problem:
        raise WeightsError(f"{name}: {describe_error(problem)}") from None


def _read_rest(file: BinaryIO) -> memoryview:
    """Read a file from its current position to its end; a seekable file is read without an intermediate copy."""
    if not (hasattr(file, "readinto") and file.seekable()):
        return _copy_bytes(file.read())
    start, end = file.tell(), file.seek(0, os.SEEK_END)
    file.seek(start)
    return _read_up_to(file, max(end - start, 0))


def _read_up_to(file: BinaryIO, size: int) -> memoryview:
    """Read up to `size` bytes from the current position."""
    data, num_read = _allocate_aligned(size), 0
    while num_read < size and (count := file.readinto(data[num_read:])):  # type: ignore[attr-defined]
        num_read += count
    return data[:num_read]


def _copy_bytes(source: bytes | bytearray | memoryview) -> memoryview:
    view = memoryview(source)
    data = _allocate_aligned(view.nbytes)
    if view.nbytes:  # an empty view cannot be cast
        data[:] = view.cast("B")
    return data


def _allocate_aligned(size: int) -> memoryview:
    """Allocate memory in which the floats after a header of 20 bytes begin at the start of a page.

    At the allocator's usual offset of 16 bytes within a page, some processors copy a file at a third of their speed,
    because the target then is a few bytes ahead of the source within the page.
    """
    start = -HEADER_BYTES % memory.PAGESIZE
    # By default such memory is shared with the processes that are forked from this one.
    access = memory.ACCESS_COPY if os.name == "posix" else memory.ACCESS_WRITE
    return memoryview(memory.mmap(-1, start + max(size, 1), access=access))[start : start + size]
