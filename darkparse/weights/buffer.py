"""Where the bytes of weights come from: a path, an open file, or bytes."""

from __future__ import annotations

import io
import mmap as memory
import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from darkparse.errors import WeightsError
from darkparse.syntax.files import describe_error

HEADER_BYTES = 20
"""Bytes of a usual header."""

WeightsSource = str | os.PathLike[str] | BinaryIO | bytes | bytearray | memoryview


@dataclass(frozen=True, eq=False)
class FileBuffer:
    """All bytes of a file, in memory that may be written without changing it."""

    name: str
    """What to call it in messages."""
    data: NDArray[np.uint8]
    """(size,); mapped pages of the file, or a copy."""
    path: Path | None = None
    is_mapped: bool = False

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.data.size

    def read_head(self, count: int = 4096) -> bytes:
        """The first bytes."""
        return self.data[:count].tobytes()

    def release_pages(self) -> None:
        """Let go of the memory of mapped pages that nobody has written: they come again from the file when used."""
        if self.is_mapped and hasattr(memory, "MADV_DONTNEED"):
            self.data.base.obj.madvise(memory.MADV_DONTNEED)  # type: ignore[union-attr]

    def open_stream(self) -> BinaryIO:
        """The bytes as an open file, for libraries that read one."""
        return io.BytesIO(self.data.data)


def open_source(source: WeightsSource | FileBuffer, *, mmap: bool = True) -> FileBuffer:
    """The bytes of a file.

    Args:
        source: a path; a file opened for reading in binary mode, read from where it stands; or the bytes themselves.
        mmap: map a file given by its path: nothing is read until it is used, and pages are copied only where they are
            written. Pipes and devices are read.

    Raises:
        WeightsError: the file cannot be read.
        TypeError: this is no source of bytes.
    """
    if isinstance(source, FileBuffer):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return FileBuffer("<bytes>", _copy_bytes(source))
    if isinstance(source, (str, os.PathLike)):
        return _read_path(Path(source), mmap)
    if not hasattr(source, "read"):
        raise TypeError(f"weights come from a path, an open binary file or bytes, not from {type(source).__name__}")
    return _read_file(source)


def _read_path(path: Path, mmap: bool) -> FileBuffer:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                raise WeightsError(f"{path}: a device, whose end is not known; weights come from a file or a pipe")
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                return FileBuffer(str(path), _copy_bytes(file.read()), path)
            if mmap:
                # Pages of our own where they are written: neither the file nor another process sees it.
                pages = memory.mmap(file.fileno(), 0, access=memory.ACCESS_COPY)
                return FileBuffer(str(path), np.frombuffer(pages, np.uint8), path, is_mapped=True)
            return FileBuffer(str(path), _read_up_to(file, status.st_size), path)
    except (OSError, ValueError) as problem:
        raise WeightsError(f"{path}: {describe_error(problem)}") from None


def _read_file(file: BinaryIO) -> FileBuffer:
    name = str(getattr(file, "name", "<file>"))
    try:
        return FileBuffer(name, _read_rest(file))
    except (TypeError, UnicodeDecodeError):
        raise WeightsError(f"{name}: the file is open in text mode; open it with 'rb'") from None
    except (OSError, ValueError, EOFError, zlib.error) as problem:
        raise WeightsError(f"{name}: {describe_error(problem)}") from None


def _read_rest(file: BinaryIO) -> NDArray[np.uint8]:
    """From where a file stands to its end; without a copy on the way where its length can be known."""
    if not (hasattr(file, "readinto") and file.seekable()):
        return _copy_bytes(file.read())
    start, end = file.tell(), file.seek(0, os.SEEK_END)
    file.seek(start)
    return _read_up_to(file, max(end - start, 0))


def _read_up_to(file: BinaryIO, size: int) -> NDArray[np.uint8]:
    """So many bytes from where a file stands, or as many as there are."""
    data = _allocate_aligned(size)
    view, num_read = data.data, 0
    while num_read < size and (count := file.readinto(view[num_read:])):  # type: ignore[attr-defined]
        num_read += count
    return data[:num_read]


def _copy_bytes(source: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
    source_bytes = np.frombuffer(source, np.uint8)
    data = _allocate_aligned(source_bytes.size)
    data[:] = source_bytes
    return data


def _allocate_aligned(size: int) -> NDArray[np.uint8]:
    """Memory in which the floats behind a header of 20 bytes begin on a page.

    Where the allocator puts it, 16 bytes behind a page's start, some processors copy a file at a third of their speed:
    the target then lies a few bytes ahead of the source within the page.
    """
    buffer = np.empty(size + memory.PAGESIZE, np.uint8)
    start = -(buffer.ctypes.data + HEADER_BYTES) % memory.PAGESIZE
    return buffer[start : start + size]
