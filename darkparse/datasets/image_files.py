"""Image files on disk: which files are images, and what their headers say; pixels are read elsewhere."""

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
"""Files that a folder is searched for."""

VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"))
"""Files that are read as videos."""

DECODER_ERRORS = (
    *(ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, struct.error, zlib.error),
)
"""What Pillow's decoders raise for broken files, besides OSError."""


def import_pillow() -> Any:
    """The `PIL.Image` module. Raises DarkparseError with what to install if Pillow is missing."""
    try:
        from PIL import Image
    except ImportError:
        raise DarkparseError("reading and drawing pictures needs Pillow: pip install 'darkparse[detect]'") from None
    return Image


_QUIET = Lock()
"""Held while warnings are left out, which is for all threads."""


def open_with_pillow(path: str | os.PathLike[str] | IO[bytes]) -> PillowImage:
    """Open an image without Pillow's warning of large images: darkparse has a limit of its own."""
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
    """Return the images in a folder and its subfolders, sorted, without hidden files (`._x.jpg`, unfinished ones)."""
    return sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
