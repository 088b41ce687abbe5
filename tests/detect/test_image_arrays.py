"""Pixels of arrays, tensors and Pillow images in the channels of a network, and what is refused."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import darkparse
from darkparse.detect import images
from darkparse.detect.images import as_image, open_image
from tests.detect.reference import picture

GRAY = (10 * 77 + 20 * 150 + 30 * 29) >> 8


def read_pixel(image: Any, channels: int | None, **options: Any) -> list[int]:
    """Return the values of the last pixel."""
    pixels = as_image(image, channels, apply_exif=False, **options).pixels
    assert pixels.ndim == 3
    values: list[int] = pixels[-1, -1].tolist()
    return values


def make_array(*values: int) -> Any:
    """Return an image of 2×3 pixels, the last of which has the values."""
    array = np.zeros((2, 3, len(values)), np.uint8)
    array[-1, -1] = values
    return array


@pytest.mark.parametrize(
    ("values", "channels", "expected"),
    [
        ((7,), 1, [7]),
        ((7,), 3, [7, 7, 7]),
        ((7,), None, [7, 7, 7]),
        ((7, 8), 2, [7, 8]),
        ((7, 8), None, [7, 7, 7]),
        ((10, 20, 30), 1, [GRAY]),
        ((10, 20, 30), 3, [10, 20, 30]),
        ((10, 20, 30), None, [10, 20, 30]),
        ((10, 20, 30, 40), 1, [GRAY]),
        ((10, 20, 30, 40), 3, [10, 20, 30]),
        ((10, 20, 30, 40), 4, [10, 20, 30, 40]),
        ((10, 20, 30, 40), None, [10, 20, 30]),
        ((1, 2, 3, 4, 5), 5, [1, 2, 3, 4, 5]),
        ((1, 2, 3, 4, 5), None, [1, 2, 3]),
    ],
)
def test_array_is_converted_to_channels(values: tuple[int, ...], channels: int | None, expected: list[int]) -> None:
    array = make_array(*values)
    assert read_pixel(array, channels) == expected
    assert read_pixel(torch.from_numpy(array).movedim(2, 0), channels) == expected
    floats = as_image(array / np.float32(255), channels, apply_exif=False).pixels
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats[-1, -1] * 255, expected, atol=0.9)


@pytest.mark.parametrize(
    ("count", "channels"), [(2, 3), (2, 1), (5, 3), (5, 1), (3, 4), (1, 4), (1, 2), (4, 2), (3, 5)]
)
def test_array_of_other_channels_is_refused(count: int, channels: int) -> None:
    message = f"wrong number of image channels, got {count}; expected {channels} for the network"
    with pytest.raises(darkparse.ImageError, match=message):
        read_pixel(make_array(*range(count)), channels)


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1, 2, 3), [3, 2, 1]), ((1, 2, 3, 4), [3, 2, 1, 4]), ((1, 2, 3, 4, 5), [3, 2, 1, 4, 5]), ((1, 2), [1, 2])],
)
def test_bgr_swaps_the_first_three_channels(values: tuple[int, ...], expected: list[int]) -> None:
    assert read_pixel(make_array(*values), len(values), bgr=True) == expected
    file = io.BytesIO()
    np.save(file, make_array(*values))
    assert read_pixel(file.getvalue(), len(values), bgr=True) == expected


def test_gray_images_need_no_axis_for_channels(tmp_path: Path) -> None:
    gray = make_array(9)[..., 0]
    np.save(tmp_path / "a.npy", gray)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")  # a memmap has a mode, as Pillow's images have
    for image in (gray, torch.from_numpy(gray), mapped, tmp_path / "a.npy", Image.fromarray(gray)):
        assert read_pixel(image, 1) == [9]
        assert read_pixel(image, 3) == [9, 9, 9]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensor_of_any_floats_becomes_float32(dtype: torch.dtype) -> None:
    pixels = as_image(torch.full((3, 2, 4), 0.5, dtype=dtype, requires_grad=True), apply_exif=False).pixels
    assert (pixels.shape, pixels.dtype.name, float(pixels.max())) == ((2, 4, 3), "float32", 0.5)


def test_arrays_are_not_copied_without_need() -> None:
    for array in (make_array(1, 2, 3), np.zeros((2, 3, 3), np.float32)):
        assert np.shares_memory(as_image(array, apply_exif=False).pixels, array)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(3, np.uint8), "invalid image shape, got (3,); expected an array (H, W, C) or a tensor (C, H, W)"),
        (np.zeros((1, 2, 2, 3), np.uint8), "invalid image shape, got (1, 2, 2, 3)"),
        (np.zeros((0, 2, 3), np.uint8), "invalid image shape, got (0, 2, 3)"),
        (torch.zeros((2, 3, 4, 4)), "invalid image shape, got (2, 3, 4, 4)"),
        (np.zeros((2, 2, 3), np.int64), "invalid image dtype, got int64; expected uint8, or floating point values"),
        (np.zeros((2, 2, 3), np.uint16), "invalid image dtype, got uint16"),
        (np.zeros((2, 2, 3), np.bool_), "invalid image dtype, got bool"),
        (np.zeros((2, 2, 3), np.complex64), "not an image, got ndarray; expected a path, file, Pillow image, array"),
        ({"a": 1}, "not an image, got dict"),
        (np.full((2, 2, 3), 1.51), "invalid values of a floating point image, got 1.51 to 1.51; expected 0 to 1\nhint"),
        (np.full((2, 2, 3), -0.51), "got -0.51 to -0.51"),
        (np.full((2, 2, 3), np.nan), "got nan to nan"),
    ],
)
def test_value_that_is_not_an_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(darkparse.ImageError, match=re.escape(message)):
        as_image(image, 3, apply_exif=False)


def test_floats_may_overshoot_by_a_half() -> None:
    array = np.array([[-0.5, 1.5]], np.float32)
    np.testing.assert_array_equal(as_image(array, 1, apply_exif=False).pixels[..., 0], array)


def make_pillow(mode: str, color: Any, **info: Any) -> Image.Image:
    image = Image.new(mode, (3, 2), color)
    image.info.update(info)
    return image


@pytest.mark.parametrize(
    ("image", "channels", "expected"),
    [
        (make_pillow("L", 9), 1, [9]),
        (make_pillow("L", 9), 3, [9, 9, 9]),
        (make_pillow("LA", (9, 8)), 2, [9, 8]),
        (make_pillow("LA", (9, 8)), 1, [9]),
        (make_pillow("LA", (9, 8)), 3, [9, 9, 9]),
        (make_pillow("RGB", (10, 20, 30)), 1, [GRAY]),
        (make_pillow("RGB", (10, 20, 30)), None, [10, 20, 30]),
        (make_pillow("RGB", (10, 20, 30), transparency=(10, 20, 30)), 4, [10, 20, 30, 0]),
        (make_pillow("RGB", (10, 20, 30), transparency=(1, 2, 3)), 4, [10, 20, 30, 255]),
        (make_pillow("RGBA", (1, 2, 3, 4)), 4, [1, 2, 3, 4]),
        (make_pillow("RGBA", (1, 2, 3, 4)), 3, [1, 2, 3]),
        (make_pillow("CMYK", (1, 2, 3, 4)), 4, [1, 2, 3, 4]),
        (make_pillow("1", 1), 1, [255]),
        (make_pillow("1", 1), 3, [255, 255, 255]),
        (make_pillow("I", 255), 1, [255]),
        (make_pillow("I", 256), 1, [1]),
        (make_pillow("I", 0), 3, [0, 0, 0]),
        (make_pillow("I", 0xFFFF), 3, [255, 255, 255]),
        (make_pillow("I;16", 0xFEFF), 1, [254]),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_pillow_image_is_converted_to_channels(image: Image.Image, channels: int | None, expected: list[int]) -> None:
    assert read_pixel(image, channels) == expected


@pytest.mark.parametrize(
    ("mode", "channels", "got"), [("RGB", 4, 3), ("LA", 4, 2), ("L", 4, 1), ("P", 4, 3), ("L", 2, 1), ("RGB", 2, 3)]
)
def test_pillow_image_of_other_channels_is_refused(mode: str, channels: int, got: int) -> None:
    with pytest.raises(darkparse.ImageError, match=f"got {got}; expected {channels} for the network"):
        read_pixel(Image.new(mode, (3, 2)), channels)


def test_palette_with_transparency_has_four_channels() -> None:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.info["transparency"] = 1
    assert read_pixel(image, 4) == [10, 20, 30, 0]
    assert read_pixel(image, 3) == [10, 20, 30]


def save_frames(form: str, count: int) -> io.BytesIO:
    first, *others = (Image.fromarray(picture(seed)) for seed in range(count))
    file = io.BytesIO()
    first.save(file, form, save_all=True, append_images=others)
    return file


@pytest.mark.parametrize(
    ("form", "count", "moved", "warning"),
    [
        ("GIF", 3, 0, "only the first of 3 frames is used"),
        ("TIFF", 2, 0, "only the first of 2 pages is used"),
        ("GIF", 3, 2, None),
        ("TIFF", 1, 0, None),
        ("MPO", 2, 0, None),
    ],
)
def test_only_skipped_frames_are_warned_about(form: str, count: int, moved: int, warning: str | None) -> None:
    with Image.open(save_frames(form, count)) as image:
        assert image.format == form
        image.seek(moved)
        assert as_image(image, 3, apply_exif=False).warnings == (() if warning is None else (warning,))
    assert as_image(Image.fromarray(picture(0)), 3, apply_exif=False).warnings == ()


@pytest.mark.parametrize("tag", ["6", (6, 6), 0, 9, 257, SyntaxError("damaged")])
def test_invalid_exif_orientation_is_ignored(tag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(picture(0))

    def read_tags() -> dict[int, Any]:
        if isinstance(tag, Exception):
            raise tag
        return {0x0112: tag}

    monkeypatch.setattr(image, "getexif", read_tags)
    for apply_exif in (False, True):
        result = as_image(image, 3, apply_exif=apply_exif)
        assert (result.orientation, result.warnings) == (1, ())
        np.testing.assert_array_equal(result.pixels, picture(0))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_image_may_expand_by_its_size_in_the_file(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new(mode, (60, 50)).save(file, "png")
    size, values = len(file.getvalue()), 60 * 50 * len(mode)
    monkeypatch.setattr(images, "MAX_VALUES", 1)
    monkeypatch.setattr(images, "MAX_EXPANSION", values / size)
    assert open_image(io.BytesIO(file.getvalue()), None, apply_exif=False).pixels.shape == (50, 60, 3)
    monkeypatch.setattr(images, "MAX_EXPANSION", (values - 1) / size)
    with pytest.raises(darkparse.ImageError, match=f"{size} bytes unpack to {values:,}; expected at most"):
        open_image(io.BytesIO(file.getvalue()), None, apply_exif=False)


class NamedBytes(io.BytesIO):
    name = "upload.png"


@pytest.mark.parametrize(
    ("image", "name", "start"),
    [
        (b"?", None, "these bytes: not an image that Pillow can read"),
        (memoryview(b"?"), "a.png", "a.png: not an image"),
        (io.BytesIO(b"?"), None, "this file: not an image"),
        (NamedBytes(b"?"), None, "upload.png: not an image"),
        (NamedBytes(b"?"), "b.png", "b.png: not an image"),
        ("none.png", None, "none.png: No such file or directory"),
        ("none.png", "c.png", "c.png: No such file or directory"),
        (b"\x93NUMPY?", None, "these bytes: damaged image: "),
    ],
)
def test_error_names_the_file(image: Any, name: str | None, start: str) -> None:
    with pytest.raises(darkparse.ImageError, match=f"^{re.escape(start)}"):
        as_image(image, 3, apply_exif=False, name=name)


def test_arrays_of_objects_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object))
    for source in (tmp_path / "a.npy", (tmp_path / "a.npy").read_bytes()):
        with pytest.raises(darkparse.ImageError, match=r"damaged image: .*(Object|object|pickle)"):
            as_image(source, 3, apply_exif=False)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_of_five_bands_keeps_the_high_byte(planes: str, dtype: str, byteorder: str, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile: pip install 'darkparse[tiff]'")
    pixels = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5) * 8
    stored = pixels.astype(dtype) * (257 if dtype == "uint16" else 1)
    stored = np.moveaxis(stored, 2, 0) if planes == "separate" else stored
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=byteorder) as file:
        for page in (stored, stored // 2):
            file.write(page, photometric="minisblack", planarconfig=planes, contiguous=False)
    result = open_image(tmp_path / "a.tif", 5, apply_exif=False)
    np.testing.assert_array_equal(result.pixels, pixels)
    assert result.pixels.dtype == np.uint8


def test_tiff_of_five_bands_may_not_unpack_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile: pip install 'darkparse[tiff]'")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 30, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    size = path.stat().st_size
    monkeypatch.setattr(images, "MAX_VALUES", 3000)
    monkeypatch.setattr(images, "MAX_EXPANSION", 0)
    assert open_image(path, 5, apply_exif=False).pixels.shape == (20, 30, 5)
    monkeypatch.setattr(images, "MAX_VALUES", 2999)
    with pytest.raises(darkparse.ImageError, match=f"{size:,} bytes unpack to 3,000, which is too large"):
        open_image(path, 5, apply_exif=False)
    monkeypatch.setattr(images, "MAX_EXPANSION", 3000 / size)
    assert open_image(path, 5, apply_exif=False).pixels.shape == (20, 30, 5)


def test_tiff_of_five_bands_without_tifffile_names_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(20))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(darkparse.ImageError, match=r"requires tifffile\nhint: pip install 'darkparse\[tiff\]'"):
        open_image(tmp_path / "a.tif", 5, apply_exif=False)
    with pytest.raises(darkparse.ImageError, match="not an image that Pillow can read"):
        open_image(tmp_path / "a.tif", 4, apply_exif=False)  # Pillow reads four bands
