"""Decoding of images to pixel arrays. Pillow is needed only for files."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.image_files import DECODER_ERRORS, import_pillow, open_with_pillow
from darkparse.errors import ImageError
from darkparse.syntax.files import describe_error

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Pixels = NDArray[Any]
"""(H, W, C): RGB, gray or any other channels of a network, uint8 in [0, 255] or float32 in [0, 1]."""

FLOAT_TOLERANCE = 0.5
"""Tolerance for float values outside [0, 1], because resizing and noise overshoot."""

MAX_VALUES = 96 << 20
"""Maximum number of values that any image may have: 33 million RGB pixels."""
MAX_EXPANSION = 200
"""Maximum ratio of decoded to file size for larger images; photographs expand ten- to twentyfold."""


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded image."""

    pixels: Pixels
    warnings: tuple[str, ...] = ()
    """Warnings about the image: an EXIF orientation that was not applied, pages that were skipped."""
    orientation: int = 1
    """EXIF orientation that was applied, 1 to 8; 1 means the stored orientation."""


def open_image(
    path: str | os.PathLike[str] | IO[bytes],
    channels: int | None = 3,
    *,
    apply_exif: bool,
    bgr: bool = False,
    name: str | None = None,
) -> Image:
    """Read an image file as Darknet does.

    Args:
        path: Any file that Pillow reads, as a path or open file, or an array file of `numpy.save`; the first of several
            frames is used.
        channels: 3 for RGB, 1 for gray; for another number the file must have as many channels, whose order is kept.
            None: RGB for display, from the first three of more channels, or the first of two.
        apply_exif: Apply the EXIF orientation.
        bgr: The first three channels of an array are blue, green and red.
        name: Name of the file in error messages; by default its path.

    Returns:
        The image, with pixels (H, W, channels) in uint8; for array files also in float32 in [0, 1].

    Raises:
        ImageError: The file does not exist, is not an image, or is corrupt.
    """
    pillow, name = import_pillow(), name or str(path)
    try:
        size, head = _read_head(path)
        if head.startswith(b"\x93NUMPY"):
            return Image(from_array(_load_array(path), channels, bgr=bgr))
        if channels is not None and channels > 4 and head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
            return Image(from_array(_load_bands(path), channels))
        with open_with_pillow(path) as file:
            unpacked_size = file.width * file.height * len(file.getbands())
            if unpacked_size > max(MAX_VALUES, MAX_EXPANSION * size):
                raise ImageError(
                    f"{size:,} bytes unpack to {unpacked_size:,}; expected at most {MAX_EXPANSION} times the size"
                )
            return from_pillow(file, channels, apply_exif=apply_exif)
    except ImageError as problem:
        raise ImageError(f"{name}: {problem}") from None
    except pillow.UnidentifiedImageError:
        raise ImageError(f"{name}: not an image that Pillow can read") from None
    except (pillow.DecompressionBombError, OSError) as problem:
        raise ImageError(f"{name}: {describe_error(problem)}") from None
    except DECODER_ERRORS as problem:
        raise ImageError(f"{name}: damaged image: {describe_error(problem)}") from None


def _load_array(file: str | os.PathLike[str] | IO[bytes]) -> Pixels:
    if isinstance(file, str | os.PathLike):
        array: Pixels = np.load(file, mmap_mode="r", allow_pickle=False)  # fails if the header declares more data
        return array
    return np.lib.format.read_array(file, allow_pickle=False)


def _load_bands(file: str | os.PathLike[str] | IO[bytes]) -> Pixels:
    """Return the bands of a TIFF as (H, W, bands); Pillow reads at most four."""
    try:
        import tifffile
    except ImportError:
        raise ImageError(
            "reading a TIFF with more than four bands requires tifffile\nhint: pip install 'darkparse[tiff]'"
        ) from None
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        unpacked_size = page.nbytes
        if unpacked_size > max(MAX_VALUES, MAX_EXPANSION * tiff.filehandle.size):
            raise ImageError(f"{tiff.filehandle.size:,} bytes unpack to {unpacked_size:,}, which is too large")
        array: Pixels = page.asarray()
        planes = page.axes.startswith("S")
    array = np.moveaxis(array, 0, -1) if planes else array
    return (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array


def _read_head(file: str | os.PathLike[str] | IO[bytes]) -> tuple[int, bytes]:
    """Return the size and the first bytes of a file; raise ImageError for a device.

    A pipe cannot be read twice, so its first bytes are not read.
    """
    if isinstance(file, str | os.PathLike):
        status = os.stat(file)  # noqa: PTH116 - file may be a str
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise ImageError("not an image, got a device")
        if not stat.S_ISREG(status.st_mode):
            return status.st_size, b""
        with open(file, "rb") as stream:
            return _read_head(stream)
    try:
        start, end = file.tell(), file.seek(0, os.SEEK_END)
        file.seek(start)
        head = file.read(8)
        file.seek(start)
    except (AttributeError, OSError):
        return 0, b""
    return end - start, head


ORIENTATIONS = {
    2: "mirrored",
    3: "rotated by 180°",
    4: "rotated by 180° and mirrored",
    5: "rotated by 90° and mirrored",
    6: "rotated by 90°",
    7: "rotated by 270° and mirrored",
    8: "rotated by 270°",
}
"""Transforms by which EXIF orientations are displayed; angles are clockwise."""


def from_pillow(image: PillowImage, channels: int | None = 3, *, apply_exif: bool = False) -> Image:
    """Convert a Pillow image; see `open_image`."""
    pixels = _to_array(image, channels)
    # The other frames of a camera's MPO are previews. An image at a later frame was deliberately moved there.
    frames = 1 if image.format == "MPO" or image.tell() else getattr(image, "n_frames", 1)
    page = "page" if image.format == "TIFF" else "frame"
    messages = [f"only the first of {frames} {page}s is used"] if frames > 1 else []
    orientation = _read_orientation(image)
    if orientation in ORIENTATIONS and not apply_exif:
        messages.append(f'EXIF orientation "{ORIENTATIONS[orientation]}" was not applied')
        orientation = 1
    return Image(apply_orientation(pixels, orientation), tuple(messages), orientation)


def _read_orientation(image: PillowImage) -> int:
    """Return the EXIF orientation; 1 if it is missing or invalid."""
    try:
        tag: Any = image.getexif().get(0x0112, 1)
    except (OSError, *DECODER_ERRORS):
        return 1
    return tag if isinstance(tag, int) and tag in ORIENTATIONS else 1


def apply_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Transform pixels (H, W, C) by an EXIF orientation."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _to_array(image: PillowImage, channels: int | None) -> Pixels:
    """Convert a Pillow image to an array (H, W, channels) of uint8."""
    if image.mode.startswith("I;16"):
        # Like stb_image, use the high byte of 16-bit values; Pillow would clip at 255.
        return _convert_channels((np.asarray(image) >> 8).astype(np.uint8)[..., None], channels)
    if image.mode in ("I", "F"):
        array = np.asarray(image)
        maximum = array.max(initial=0)
        if image.mode == "F" or array.min(initial=0) < 0 or maximum > 0xFFFF:
            number_type = "floating point" if image.mode == "F" else "32-bit"
            raise ImageError(f"{number_type} pixels have no defined white value; expected an array from 0 to 1")
        return _convert_channels((array >> (8 if maximum > 255 else 0)).astype(np.uint8)[..., None], channels)
    if channels == 1 and image.mode == "L":
        return np.asarray(image)[..., None]
    if image.mode == "P":  # convert("RGB") would warn about transparency
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if channels in (1, 3, None):
        return _convert_channels(np.asarray(image.convert("RGB")), channels)
    if channels == 4 and image.has_transparency_data and image.mode != "LA":
        return np.asarray(image.convert("RGBA"))
    array = np.asarray(image)
    return _convert_channels(array[..., None] if array.ndim == 2 else array, channels)


def as_image(
    image: Any, channels: int | None = 3, *, apply_exif: bool, bgr: bool = False, name: str | None = None
) -> Image:
    """Convert any input of `detect`: a path, an open file or its bytes, a Pillow image, an array or a tensor.

    Args:
        image: The image; arrays are (H, W, C) or (H, W), tensors (C, H, W).
        channels: Number of channels of the network.
        apply_exif: Apply the EXIF orientation.
        bgr: The first three channels of an array or a tensor are blue, green and red, as in OpenCV.
        name: Name in error messages for a file that has none.

    Raises:
        ImageError: The file cannot be read, or the value is not an image with these channels.
    """
    if isinstance(image, str | os.PathLike):
        return open_image(image, channels, apply_exif=apply_exif, bgr=bgr, name=name)
    if isinstance(image, bytes | bytearray | memoryview):
        return open_image(io.BytesIO(image), channels, apply_exif=apply_exif, bgr=bgr, name=name or "these bytes")
    if hasattr(image, "read"):
        name = name or str(getattr(image, "name", "this file"))
        return open_image(image, channels, apply_exif=apply_exif, bgr=bgr, name=name)
    if hasattr(image, "convert") and hasattr(image, "mode"):
        try:
            return from_pillow(image, channels, apply_exif=apply_exif)
        except (OSError, *DECODER_ERRORS) as problem:
            raise ImageError(f"damaged image: {describe_error(problem)}") from None
    if hasattr(image, "detach"):
        image = image.detach().cpu()
        image = image.float() if image.is_floating_point() else image
        array = image.movedim(0, -1).numpy() if image.dim() == 3 else image.numpy()
    else:
        array = np.asarray(image)
    if array.dtype.kind not in "buif":
        raise ImageError(
            f"not an image, got {type(image).__name__}; expected a path, file, Pillow image, array or tensor, or a "
            "list of them"
        )
    return Image(from_array(array, channels, bgr=bgr))


def from_array(array: Pixels, channels: int | None = 3, *, bgr: bool = False) -> Pixels:
    """Convert an array (H, W, C) or (H, W) to pixels (H, W, channels), uint8, or float32 in [0, 1]."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not array.size:
        raise ImageError(f"invalid image shape, got {array.shape}; expected an array (H, W, C) or a tensor (C, H, W)")
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        minimum, maximum = array.min(), array.max()
        if not (minimum >= -FLOAT_TOLERANCE and maximum <= 1 + FLOAT_TOLERANCE):
            raise ImageError(
                f"invalid values of a floating point image, got {minimum:g} to {maximum:g}; expected 0 to 1\n"
                "hint: scale them, e.g. by 1/255, or pass uint8"
            )
    elif array.dtype != np.uint8:
        raise ImageError(
            f"invalid image dtype, got {array.dtype}; expected uint8, or floating point values from 0 to 1"
        )
    if bgr and array.shape[2] >= 3:
        array = np.concatenate((array[..., 2::-1], array[..., 3:]), 2)
    return _convert_channels(array, channels)


def _convert_channels(array: Pixels, channels: int | None) -> Pixels:
    """Convert pixels to the network's channels: gray to RGB, RGB to gray, and without alpha for 1 or 3 channels."""
    if channels is None:
        array, channels = array[..., : 3 if array.shape[2] >= 3 else 1], 3
    num_channels = array.shape[2]
    if num_channels == channels:
        return array
    if channels not in (1, 3) or num_channels not in (1, 3, 4):
        raise ImageError(f"wrong number of image channels, got {num_channels}; expected {channels} for the network")
    if channels == 3:
        return np.repeat(array, 3, axis=2) if num_channels == 1 else array[..., :3]
    red, green, blue = (array[..., i] for i in range(3))
    if array.dtype != np.uint8:
        return (0.299 * red + 0.587 * green + 0.114 * blue).astype(np.float32)[..., None]
    # stb_image.h stbi__compute_y
    return ((red.astype(np.uint16) * 77 + green.astype(np.uint16) * 150 + blue.astype(np.uint16) * 29) >> 8).astype(
        np.uint8
    )[..., None]
