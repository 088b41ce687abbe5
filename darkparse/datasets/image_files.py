"""Image files on disk: file extensions and image headers, without decoding pixels."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

from darkparse.errors import DarkparseError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Size = tuple[int, int]
"""Height and width in pixels."""

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".npy"))
"""Extensions of the images that a directory is searched for."""

VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"))
"""Extensions of files that are read as videos."""

DECODER_ERRORS = (
    *(ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, struct.error, zlib.error),
)
"""Exceptions that Pillow's decoders raise for corrupt files, besides OSError."""


def import_pillow() -> Any:
    """Return the `PIL.Image` module; raise DarkparseError with an install command if Pillow is missing."""
    try:
        from PIL import Image
    except ImportError:
        raise DarkparseError(
            "reading and drawing images requires Pillow\nhint: pip install 'darkparse[detect]'"
        ) from None
    return Image


_QUIET = Lock()
"""Locked while warnings are suppressed, because warning filters apply to all threads."""


def open_with_pillow(path: str | os.PathLike[str] | IO[bytes]) -> PillowImage:
    """Open an image without Pillow's warning about large images; darkparse has its own limit."""
    image = import_pillow()
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return image.open(path)  # type: ignore[no-any-return]


def read_image_size(path: Path) -> Size | None:
    """Read height and width from an image's header; return None if Pillow cannot read the file."""
    try:
        with open_with_pillow(path) as file:
            return file.height, file.width
    except (OSError, import_pillow().DecompressionBombError, *DECODER_ERRORS):
        return None


def find_images(folder: Path) -> list[Path]:
    """Return the images in a directory and its subdirectories, sorted, without hidden and unfinished files."""
    return sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
