"""Detection of weights files that were corrupted by copying or converting."""

from __future__ import annotations

import struct
from array import array

from darkparse.errors import Cause
from darkparse.weights.diagnosis.case import FileMismatch
from darkparse.weights.diagnosis.statistics import is_finite, is_plausible

CHUNK_BYTES = 1 << 24
"""Number of bytes to search at once."""
REPLACEMENT_MARK = b"\xef\xbf\xbd"
"""UTF-8 encoding of U+FFFD, which replaces bytes that are not text."""


def explain_half_precision(case: FileMismatch) -> Cause | None:
    """Detect 16-bit floats after the header."""
    header = case.file.header.size
    if case.size - header != 2 * case.needed_floats:
        return None
    halves = array("f")
    for start in range(header, case.size, CHUNK_BYTES):
        chunk = case.file.blob.data[start : start + CHUNK_BYTES]
        values = array("f", struct.unpack(f"<{len(chunk) // 2}e", chunk))
        if not is_finite(memoryview(values)):
            return None
        halves += values
    if is_plausible(memoryview(halves), case.entries) is False:
        return None
    message = "the file has half the expected bytes: its floats have 16 bits, expected 32"
    remedy = "save it in float32; for half precision call model.half() after loading"
    return Cause("half-precision", message, remedy, {"bytes_per_float": 2})


def explain_text_mode(case: FileMismatch) -> Cause | None:
    """Detect a copy in text mode, which converts line ends or replaces bytes that are not text."""
    expected_bytes = case.file.header.size + 4 * case.needed_floats
    remedy = "copy or download it again as binary (in ftp: `binary`; in git: `*.weights binary` in .gitattributes)"
    newlines, pairs = _count_pattern(case, b"\n"), _count_pattern(case, b"\r\n")
    if case.size - expected_bytes == pairs == newlines > 0:
        message = (
            f"the file was copied in text mode: each of {pairs:,} LF bytes has a CR before it, and without them the "
            f"size fits"
        )
        return Cause("text-mode", message, remedy, {"added_bytes": pairs})
    expected = expected_bytes / 65536  # number of CR LF pairs in uniformly distributed bytes
    missing = expected_bytes - case.size
    if not pairs and expected > 4 and 0 < missing < 8 * expected:
        message = (
            f"the file was copied in text mode, which joined CR and LF: about {expected:,.0f} pairs were expected, "
            f"none was found, and {missing:,} bytes are missing"
        )
        return Cause("text-mode", message, remedy, {"missing_bytes": missing})
    replaced = _count_pattern(case, REPLACEMENT_MARK)
    if replaced * 50 > case.size:
        message = f"the file was saved as text: {replaced:,} times, bytes were replaced with U+FFFD"
        return Cause("text-mode", message, f"{remedy}; this file cannot be repaired", {"replaced": replaced})
    return None


def _count_pattern(case: FileMismatch, pattern: bytes) -> int:
    """Count a pattern in the file, in chunks to save memory."""
    data, overlap = case.file.blob.data, len(pattern) - 1
    return sum(
        data[offset : offset + CHUNK_BYTES + overlap].tobytes().count(pattern)
        for offset in range(0, len(data), CHUNK_BYTES)
    )
