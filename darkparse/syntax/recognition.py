"""Recognition of files that are not cfgs, by their first bytes or lines."""

from __future__ import annotations

import re

MAX_INSPECTED = 4096
"""Number of bytes or characters to inspect."""

# Patterns for the text after leading comments and blank lines, with the file type and a hint. The first match wins.
_TEXT_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"version https://git-lfs", "a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (r"(?i)<(!doctype html|html|head|body)", "an HTML page; download the raw file instead of the web page"),
    (r"<", "XML or HTML; download the raw file instead of the web page"),
    (r"\{|\[\s*[\[{\"'0-9-]", "JSON"),
    (r"(import|from) [\w.]+", "Python code"),
    (r"\w+\s*:\s*\"|layer\s*\{", "a Caffe prototxt file"),
    (r"---|%YAML|\w[\w. -]*:(\s|$)", "a YAML file without `layers`, e.g. a model or a data set of YOLOv5 and later"),
    (r"(classes|train|valid|names|backup|eval)\s*=", "a .data file, which describes a data set; pass the cfg instead"),
    (r"([^=\[\]{}:]*\n)*[^=\[\]{}:]*\Z", "plain text that looks like a .names list; pass the cfg instead"),
)
_MAGIC_PATTERNS: tuple[tuple[bytes, str], ...] = (
    (rb"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint"),
    (rb"\x80[\x02-\x05]", "a pickle, such as an old PyTorch checkpoint"),
    (rb"\x89HDF", "an HDF5 file, such as a Keras checkpoint"),
    (rb"\x89PNG|\xff\xd8\xff", "an image"),
    (rb"[^\0].{7}\{\"", "a safetensors file"),
    (rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42\x72]", "an ONNX model"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc|Rar!", "an archive; unpack it first"),
    (rb"[\x00-\x09]\0\0\0[\x00-\x0f]\0\0\0", "a .weights file; pass the cfg first, then the weights"),
)
_PREFACE = re.compile(r"\ufeff?(?:\s*(?:[#;][^\n]*)?\n)*[ \t]*")
"""Leading blank lines and comments."""


def detect_encoding(data: bytes) -> str:
    """Return `utf-16-le` or `utf-16-be` for data with a byte order mark or a zero in every other byte, else `utf-8`."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16-le" if data[0] == 0xFF else "utf-16-be"
    odd, even = data[1:200:2], data[0:200:2]
    if len(odd) > 2 and not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if len(odd) > 2 and not any(even) and all(odd) else "utf-8"


def describe_foreign_bytes(data: bytes) -> str:
    """Describe the type of a binary file."""
    return next(
        (description for magic, description in _MAGIC_PATTERNS if re.match(magic, data, re.DOTALL)), "a binary file"
    )


def skip_preface(text: str) -> str:
    """Return a text without its leading blank lines and comments."""
    return text[_PREFACE.match(text).end() :]  # type: ignore[union-attr]


def describe_foreign_text(text: str) -> str | None:
    """Describe the type of a text that does not begin with a section; return None if it may be a cfg."""
    start = skip_preface(text[:MAX_INSPECTED])
    if not start or re.match(r"\[\s*[A-Za-z_]", start):
        return None
    return next((description for pattern, description in _TEXT_PATTERNS if re.match(pattern, start)), None)
