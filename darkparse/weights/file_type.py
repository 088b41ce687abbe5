"""Detection of a file's type by its first bytes."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import SEEK_SET, RawIOBase
from lzma import LZMAError
from tokenize import TokenError
from typing import IO, Any, Literal, cast
from zipfile import BadZipFile, ZipFile

ARCHIVE_ERRORS = (
    *(BadZipFile, zlib.error, LZMAError, struct.error, OSError, EOFError),  # the archive and its members
    *(NotImplementedError, RuntimeError),  # unsupported compression, or encryption
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError),  # invalid headers
    *(SyntaxError, TokenError),  # NumPy's headers are Python literals
)
"""Exceptions that zipfile and NumPy raise for damaged or malicious archives."""

Container = Literal["safetensors", "pt", "npz", "h5"]


@dataclass(frozen=True, slots=True)
class FileType:
    """Type of a file that is not a `.weights` file."""

    code: str
    """Stable identifier: `lfs-pointer`, `html`, `zip`, `pickle`, …"""
    title: str
    """Description with an article, such as `an HTML page`."""
    remedy: str
    """Suggested fix."""
    facts: dict[str, int | str] = field(default_factory=dict)
    container: Container | None = None
    """Container format, if darkparse can read the file."""


CHUNK_BYTES = 1 << 20
"""Number of bytes to examine at once, so that a large file is not copied as a whole."""
CONVERT_REMEDY = "convert it to .weights: `darkparse convert CFG {0} -o OUT.weights`"

_MAGIC: tuple[tuple[int, bytes, str, str, str], ...] = (
    (4, b"TFL3", "tflite", "a TensorFlow Lite model", "get the original .weights file"),
    (0, b"GGUF", "gguf", "a GGUF file", "get the original .weights file"),
    (0, b"\x93NUMPY", "npy", "a single NumPy array (.npy)", "save all tensors by name with numpy.savez"),
    (0, b"\x1f\x8b", "gzip", "a gzip archive", "unpack it first (gunzip)"),
    (0, b"BZh", "bzip2", "a bzip2 archive", "unpack it first (bunzip2)"),
    (0, b"\xfd7zXZ", "xz", "an xz archive", "unpack it first (unxz)"),
    (0, b"\x28\xb5\x2f\xfd", "zstd", "a zstd archive", "unpack it first (unzstd)"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "a 7z archive", "unpack it first"),
    (0, b"Rar!", "rar", "a RAR archive", "unpack it first"),
    (257, b"ustar", "tar", "a tar archive", "unpack it first (tar xf)"),
    (0, b"\xff\xd8\xff", "jpeg", "a JPEG image", "pass the weights instead"),
    (0, b"\x89PNG", "png", "a PNG image", "pass the weights instead"),
    (0, b"%PDF", "pdf", "a PDF document", "get the original .weights file"),
)

# Field tags that follow ir_version in a ModelProto (onnx.proto).
_ONNX_TAGS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42\x72")


class ByteStream(RawIOBase):
    """Open file that reads from bytes without copying them."""

    def __init__(self, data: memoryview) -> None:
        self._view, self._position = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        self._position = max(0, offset + (0, self._position, len(self._view))[whence])
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        part = self._view[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)


def detect_file_type(data: memoryview) -> FileType | None:
    """Identify a file by its bytes if it is not a `.weights` file; return None if it may be one."""
    head = data[:4096].tobytes()
    return next((file_type for detect in _DETECTORS if (file_type := detect(data, head))), None)


def _detect_magic(data: memoryview, head: bytes) -> FileType | None:
    matches = (
        FileType(code, title, remedy) for offset, magic, code, title, remedy in _MAGIC if head.startswith(magic, offset)
    )
    return next(matches, None)


def _detect_empty(data: memoryview, head: bytes) -> FileType | None:
    return None if head else FileType("empty", "empty, 0 bytes", "download or copy it again")


def _detect_lfs_pointer(data: memoryview, head: bytes) -> FileType | None:
    if not head.startswith(b"version https://git-lfs"):
        return None
    size = re.search(rb"^size (\d+)", head, re.MULTILINE)
    facts: dict[str, int | str] = {"real_bytes": int(size[1])} if size else {}
    size_text = f" of {int(size[1]):,} bytes" if size else ""
    return FileType(
        "lfs-pointer", f"a Git LFS pointer to a file{size_text}", "fetch the file itself with `git lfs pull`", facts
    )


def _detect_html(data: memoryview, head: bytes) -> FileType | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head", b"<!--")):
        return None
    title = re.search(r"<title[^>]*>(.*?)</title>", head.decode("utf-8", "replace"), re.DOTALL | re.IGNORECASE)
    facts: dict[str, int | str] = {"title": " ".join(title[1].split())} if title else {}
    title_text = f" titled “{facts['title']}”" if title else ""
    return FileType(
        "html",
        f"an HTML page{title_text}",
        "download the file from its direct link; this is a web page",
        facts,
    )


def _detect_zip(data: memoryview, head: bytes) -> FileType | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    try:
        with ZipFile(cast("IO[bytes]", ByteStream(data))) as archive:
            names = archive.namelist()
    except ARCHIVE_ERRORS:
        return FileType("zip", "a truncated or damaged zip archive", "download it again and unpack it")
    if any(name.endswith(("/data.pkl", "/data.json")) or name == "data.pkl" for name in names):
        return FileType("pickle", "a PyTorch checkpoint (.pt)", CONVERT_REMEDY, container="pt")
    if names and all(name.endswith(".npy") for name in names):
        return FileType("npz", "a NumPy archive (.npz)", CONVERT_REMEDY, container="npz")
    weights_name = next((name for name in names if name.endswith(".weights")), None)
    remedy = f"unpack it first: it contains {weights_name}" if weights_name else "unpack it first"
    return FileType("zip", "a zip archive", remedy, {"members": len(names)})


def _detect_pickle(data: memoryview, head: bytes) -> FileType | None:
    if head[:1] != b"\x80" or head[1:2] not in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return None
    return FileType("pickle", "a pickle (an old PyTorch checkpoint, .pt)", CONVERT_REMEDY, container="pt")


def _detect_hdf5(data: memoryview, head: bytes) -> FileType | None:
    if not head.startswith(b"\x89HDF\r\n\x1a\n"):
        return None
    return FileType("hdf5", "an HDF5 file (Keras .h5)", CONVERT_REMEDY, container="h5")


def _detect_safetensors(data: memoryview, head: bytes) -> FileType | None:
    size = int.from_bytes(head[:8], "little")
    if not (head[8:9] == b"{" and 2 <= size <= len(data) - 8 and head[8:].lstrip(b"{ \t\r\n").startswith((b'"', b"}"))):
        return None
    return FileType("safetensors", "a safetensors file", CONVERT_REMEDY, container="safetensors")


def _detect_onnx(data: memoryview, head: bytes) -> FileType | None:
    if len(head) < 8 or head[0] != 8 or not 1 <= head[1] <= 32 or head[2] not in _ONNX_TAGS:
        return None
    return FileType("onnx", "an ONNX model", "get the original .weights file")


def _detect_text(data: memoryview, head: bytes) -> FileType | None:
    text = head.decode("utf-8", "replace")
    if "\ufffd" in text[:-4] or any(ord(c) < 32 and c not in "\t\r\n\f" for c in text):
        return None
    lines = [line.strip() for line in text.splitlines()]
    if any(re.match(r"\[\s*net(work)?\s*\]", line) for line in lines):
        return FileType("cfg", "a cfg", "pass the cfg first, then the weights")
    first = next((line for line in lines if line), "")[:60]
    return FileType(
        "text", f"a text file that starts with “{first}”", "get the original .weights file", {"begins": first}
    )


def _detect_zeros(data: memoryview, head: bytes) -> FileType | None:
    chunks = (data[start : start + CHUNK_BYTES].tobytes() for start in range(0, len(data), CHUNK_BYTES))
    if any(head) or any(chunk.strip(b"\0") for chunk in chunks):
        return None
    return FileType(
        "zeros",
        f"a file of {len(data):,} zero bytes, including the header",
        "download it again: the file was allocated but never written",
    )


_DETECTORS: tuple[Callable[[memoryview, bytes], FileType | None], ...] = (
    _detect_safetensors,  # begins with a length, which may read as another kind's first bytes
    _detect_magic,
    _detect_empty,
    _detect_lfs_pointer,
    _detect_html,
    _detect_zip,
    _detect_pickle,
    _detect_hdf5,
    _detect_onnx,
    _detect_text,
    _detect_zeros,
)
