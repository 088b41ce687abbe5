"""Images, networks and directories that cannot be used end in one error that names the cause."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse.datasets.sources import InputFile
from darkparse.detect.batch.drawings import plan_drawings
from darkparse.detect.detection import Detection
from darkparse.detect.images import as_image, open_image
from darkparse.detect.task import check_detector, class_count, is_classifier
from tests.conftest import DATA
from tests.detect.reference import TINY

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
YOLO = "[convolutional]\nfilters={}\n[yolo]\nclasses={}\nnum=1\nmask=0\nanchors=1,1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[net]\ninputs=4\n[connected]\noutput=3\n[softmax]\n", "takes a vector, not an image"),
        (NET + "[convolutional]\nfilters=3\n[iseg]\nclasses=2\nids=1\n", r"ends with \[iseg\], a head without boxes"),
        (
            NET + YOLO.format(7, 2) + "[route]\nlayers=-2\n" + YOLO.format(8, 3),
            "heads have different numbers of classes",
        ),
        (
            NET + "[maxpool]\nsize=2\nstride=2\n",
            r"neither a detector nor a classifier: it ends with \[maxpool\], a map of 4×4×3",
        ),
    ],
)
def test_network_that_neither_detects_nor_classifies_raises(text: str, message: str) -> None:
    network = darkparse.compile(text)
    for check in (lambda: is_classifier(network), lambda: check_detector(network, None, use_class_map=False)):
        with pytest.raises(darkparse.DarkparseError, match=message):
            check()


def test_network_that_ends_with_one_cell_is_a_classifier() -> None:
    network = darkparse.compile(NET + "[maxpool]\nsize=4\nstride=8\n")
    assert is_classifier(network)
    assert check_detector(network, ["a", "b", "c"], use_class_map=False) == ("a", "b", "c")


def test_class_count_with_class_map_counts_its_lines(tmp_path: Path) -> None:
    (tmp_path / "x.map").write_text("2\n0\n")
    head = "[convolutional]\nfilters=8\n[region]\nclasses=3\nnum=1\ncoords=4\nanchors=1,1\n"
    (tmp_path / "x.cfg").write_text(f"{NET}{head}map=x.map\n")
    network = darkparse.compile(tmp_path / "x.cfg")
    assert [class_count(network, use_class_map=use) for use in (False, True)] == [3, 2]
    assert class_count(darkparse.compile(NET + head), use_class_map=False) == 3
    with pytest.raises(darkparse.DarkparseError, match="head without map="):
        class_count(darkparse.compile(NET + head), use_class_map=True)
    for layers, classes in (("", 3), ("[convolutional]\nfilters=4\nsize=1\n", 4)):
        assert class_count(darkparse.compile(f"{NET}{layers}[avgpool]\n[softmax]\n"), use_class_map=False) == classes


def _make_png(mode: str, size: tuple[int, int], *, fill: int = 0) -> io.BytesIO:
    file = io.BytesIO()
    Image.new(mode, size, fill).save(file, "png")
    return file


def test_image_that_unpacks_to_too_much_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    file = _make_png("RGB", (300, 200))
    monkeypatch.setattr("darkparse.detect.images.MAX_VALUES", 180_000)
    monkeypatch.setattr("darkparse.detect.images.MAX_EXPANSION", 2)
    assert open_image(file, apply_exif=False).pixels.shape == (200, 300, 3)
    monkeypatch.setattr("darkparse.detect.images.MAX_VALUES", 179_999)
    with pytest.raises(darkparse.ImageError, match=r"\d+ bytes unpack to 180,000; expected at most 2 times the size"):
        open_image(file, apply_exif=False)


@pytest.mark.parametrize(
    ("mode", "fill", "value"), [("I;16", 0x1234, 0x12), ("I", 0x1234, 0x12), ("I", 0x34, 0x34), ("L", 7, 7)]
)
def test_image_of_16_bits_keeps_the_high_byte(mode: str, fill: int, value: int) -> None:
    image = Image.new(mode, (4, 2), fill)
    for channels in (1, 3):
        pixels = as_image(image, channels, apply_exif=False).pixels
        assert (pixels.shape, set(pixels.ravel().tolist())) == ((2, 4, channels), {value})


@pytest.mark.parametrize(
    ("mode", "fill", "kind"), [("F", 1, "floating point"), ("I", 0x10000, "32-bit"), ("I", -1, "32-bit")]
)
def test_image_without_white_value_raises(mode: str, fill: int, kind: str) -> None:
    with pytest.raises(darkparse.ImageError, match=f"{kind} pixels have no defined white value"):
        as_image(Image.new(mode, (4, 2), fill), 3, apply_exif=False)


def test_gray_of_colors_has_the_weights_of_stb_image() -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50]]], np.uint8)
    gray = as_image(pixels, 1, apply_exif=False).pixels
    assert gray.ravel().tolist() == [
        255 * 77 >> 8,
        255 * 150 >> 8,
        255 * 29 >> 8,
        (200 * 77 + 100 * 150 + 50 * 29) >> 8,
    ]
    floats = as_image(pixels.astype(np.float32) / 255, 1, apply_exif=False).pixels
    np.testing.assert_allclose(floats.ravel()[:3], (0.299, 0.587, 0.114), rtol=1e-6)


def test_image_with_other_channels_raises() -> None:
    with pytest.raises(darkparse.ImageError, match="wrong number of image channels, got 5; expected 3"):
        as_image(np.zeros((2, 4, 5), np.uint8), 3, apply_exif=False)


def test_damaged_pillow_image_raises() -> None:
    path = DATA / "images" / "exif6_upright.jpg"
    image = Image.open(io.BytesIO(path.read_bytes()[:2000]))
    with pytest.raises(darkparse.ImageError, match="damaged image: "):
        as_image(image, 3, apply_exif=False)


def test_device_is_not_an_image() -> None:
    device = Path("/dev/null")
    if not device.is_char_device():
        pytest.skip("needs /dev/null: run it on Linux or macOS")
    with pytest.raises(darkparse.ImageError, match="/dev/null: not an image, got a device"):
        open_image(device, apply_exif=False)


def test_drawing_that_would_overwrite_its_image_raises(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.gif"):
        (tmp_path / name).touch()
    source = InputFile(tmp_path / "b.gif", tmp_path)
    assert plan_drawings([source], tmp_path, set()) == {tmp_path / "b.gif": "b.gif.png"}
    assert plan_drawings([source], tmp_path, {"b.gif.png"}) == {tmp_path / "b.gif": "b (2).png"}
    with pytest.raises(darkparse.DarkparseError, match="the drawing would overwrite the image; choose another --out"):
        plan_drawings([InputFile(tmp_path / "a.jpg", tmp_path)], tmp_path, set())


def test_video_without_pyav_names_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from darkparse.detect.video import import_pyav

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(darkparse.DarkparseError, match=r"pip install 'darkparse\[video\]'"):
        import_pyav()


@pytest.mark.parametrize(
    ("text", "noun"), [(TINY, "2 classes in boxes"), (NET + "[avgpool]\n[softmax]\n", "3 classes")]
)
def test_repr_of_detector_states_its_task(text: str, noun: str) -> None:
    detector = darkparse.Detector(darkparse.build(text, initialize=True))
    assert f", {noun}, " in repr(detector)


def test_detection_is_whole_if_its_box_is() -> None:
    boxes: list[Any] = [(0.5, 0.5, 1.0, 1.0), (0.5, 0.5, 1.0, 0.9)]
    detections = [Detection(0, "cat", 0.9337, 1.0, box, (10, 10)) for box in boxes]
    assert [d.is_whole for d in detections] == [True, False]
    assert [d.line for d in detections] == ["cat: 93.37%", "cat: 93%"]


def test_classifier_reports_five_classes_by_default() -> None:
    """As Darknet's `classifier predict` does (classifier.c: top=5)."""
    text = NET + "[connected]\noutput=8\nactivation=linear\n[softmax]\n"
    detector = darkparse.Detector(darkparse.build(text, initialize=True), names=list("abcdefgh"))
    pixels = np.zeros((8, 8, 3), np.uint8)
    assert len(detector.detect(pixels)) == 5
    assert len(detector.detect(pixels, top=7)) == 7
