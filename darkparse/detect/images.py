"""Pictures to arrays of pixels. Pillow is needed to read files, not for arrays that are already at hand."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darkparse.errors import DarkparseError, ImageError
from darkparse.syntax.reading import reason

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Pixels = NDArray[Any]
"""(H, W, C): RGB or grey, uint8 in 0…255 or float32 in 0…1."""

BEYOND = 0.5
"""By so much floats may lie outside 0…1: scaling and noise overshoot."""

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
"""Files that a folder is searched for."""

PLENTY = 96 << 20
"""Values that any picture may have: 33 million pixels of RGB."""
RATIO = 200
"""So many times the size of its file a larger one may; photographs unpack to ten or twenty times."""

BROKEN = (
    *(ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, struct.error, zlib.error),
)
"""What Pillow's decoders raise for broken files, besides OSError."""


def pillow() -> Any:
    """The `PIL.Image` module. Raises DarkparseError with what to install if Pillow is missing."""
    try:
        from PIL import Image
    except ImportError:
        raise DarkparseError("reading and drawing pictures needs Pillow: pip install 'darkparse[detect]'") from None
    return Image


def read_image(path: str | os.PathLike[str] | IO[bytes], channels: int = 3, *, name: str | None = None) -> Pixels:
    """Read a picture as Darknet does: its pixels as they are stored, without turning them by the camera's EXIF note.

    Args:
        path: any file that Pillow reads, open or not; of several frames the first.
        channels: 3 for RGB, 1 for grey.
        name: what errors call the file, by default its path.

    Returns:
        (H, W, channels), uint8.

    Raises:
        ImageError: there is no such file, it is no picture, or it is broken.
    """
    image, name = pillow(), name or str(path)
    try:
        size = _bytes_of(path)
        with image.open(path) as file:
            unpacked = file.width * file.height * len(file.getbands())
            if unpacked > max(PLENTY, RATIO * size):
                raise ImageError(f"{name}: {size:,} bytes that unpack to {unpacked:,}, more than {RATIO} times as many")
            return from_pillow(file, channels)
    except image.UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture, or of a kind that Pillow cannot read") from None
    except image.DecompressionBombError as problem:
        raise ImageError(f"{name}: {reason(problem)}") from None
    except OSError as problem:
        raise ImageError(f"{name}: {reason(problem)}") from None
    except BROKEN as problem:
        raise ImageError(f"{name}: a broken picture: {reason(problem)}") from None


def _bytes_of(file: str | os.PathLike[str] | IO[bytes]) -> int:
    """Size of a file, 0 of a pipe. Raises ImageError for a device."""
    if isinstance(file, str | os.PathLike):
        status = os.stat(file)  # noqa: PTH116 - Path.stat says no more
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise ImageError(f"{file}: a device, not a picture")
        return status.st_size
    try:
        start, end = file.tell(), file.seek(0, os.SEEK_END)
        file.seek(start)
    except (AttributeError, OSError):
        return 0
    return end - start


def from_pillow(image: PillowImage, channels: int = 3) -> Pixels:
    """The pixels of a Pillow image, (H, W, channels), uint8."""
    if image.mode.startswith("I;16"):
        # stb_image keeps the high byte of 16 bits; Pillow would clip at 255.
        return _with_channels((np.asarray(image) >> 8).astype(np.uint8)[..., None], channels)
    if image.mode == "I":
        array = np.asarray(image)
        return _with_channels((array >> (8 if array.max(initial=0) > 255 else 0)).astype(np.uint8)[..., None], channels)
    if image.mode == "F":
        raise ImageError("a picture of floating point numbers, whose white is not known; pass an array in 0…1")
    if channels == 1 and image.mode == "L":
        return np.asarray(image)[..., None]
    return _with_channels(np.asarray(image.convert("RGB")), channels)


def as_pixels(image: Any, channels: int = 3) -> Pixels:
    """The pixels of whatever `detect` takes: a path, an open file or its bytes, a Pillow image, an array (H, W, C) or
    (H, W), a tensor (C, H, W).

    Raises:
        ImageError: the file cannot be read, or the value is no picture.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image, channels)
    if isinstance(image, bytes | bytearray | memoryview):
        return read_image(io.BytesIO(image), channels, name="these bytes")
    if hasattr(image, "read"):
        return read_image(image, channels, name=str(getattr(image, "name", "this file")))
    if hasattr(image, "convert") and hasattr(image, "mode"):
        try:
            return from_pillow(image, channels)
        except (OSError, *BROKEN) as problem:
            raise ImageError(f"a broken picture: {reason(problem)}") from None
    if hasattr(image, "detach"):
        image = image.detach().cpu()
        image = image.float() if image.is_floating_point() else image
        array = image.movedim(0, -1).numpy() if image.dim() == 3 else image.numpy()
    else:
        array = np.asarray(image)
    if array.dtype.kind not in "buif":
        raise ImageError(
            f"a picture is a path, a file, an image, an array or a tensor, not {type(image).__name__}; several come as "
            "a list"
        )
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 4:
        raise ImageError(f"this is a batch, {array.shape}: pass it as a list of pictures, list(batch)")
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ImageError(
            f"a picture is an array (height, width, 1 or 3) or a tensor (1 or 3, height, width), not {array.shape}"
        )
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        least, most = array.min(), array.max()
        if not (least >= -BEYOND and most <= 1 + BEYOND):
            raise ImageError(
                f"a picture of floats has values from 0 to 1, this one {least:g} to {most:g}: scale it (by 1/255, "
                "say), or pass uint8"
            )
    elif array.dtype != np.uint8:
        raise ImageError(f"a picture has uint8 pixels, or floats from 0 to 1, not {array.dtype}")
    return _with_channels(array[..., :3], channels)


def _with_channels(array: Pixels, channels: int) -> Pixels:
    if array.shape[2] == channels:
        return array
    if channels == 3:
        return np.repeat(array, 3, axis=2)
    if channels != 1:
        raise ImageError(f"the network takes {channels} channels; a picture has 3, or 1")
    red, green, blue = (array[..., i] for i in range(3))
    if array.dtype != np.uint8:
        return (0.299 * red + 0.587 * green + 0.114 * blue).astype(np.float32)[..., None]
    # stb_image.h stbi__compute_y
    return ((red.astype(np.uint16) * 77 + green.astype(np.uint16) * 150 + blue.astype(np.uint16) * 29) >> 8).astype(
        np.uint8
    )[..., None]


def find_images(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders below it, sorted;
    hidden files are none (`._x.jpg`, half-written ones)."""
    return sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in SUFFIXES and path.is_file())
