"""The detector and what it makes of an engine's numbers, with an engine that returns what the test says."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse import Detection, Detections, DetectionSettings, Detector
from darkparse.detect import postprocess
from darkparse.detect.engines.engine import Engine
from darkparse.errors import ImageError
from darkparse.network import Network
from tests.detect.reference import TINY, picture
from tests.detect.test_engines import RECURRENT

CLASSIFIER = "[net]\nwidth=8\nheight=6\nchannels=3\n[convolutional]\nfilters=4\nsize=1\n[avgpool]\n[softmax]\n"
GRID = (
    "[net]\nwidth=64\nheight=64\nchannels=3\n[connected]\noutput=44\nactivation=linear\n"
    "[detection]\nclasses=1\ncoords=4\nrescore=1\nside=2\nnum=2\nsoftmax=0\nsqrt=1\n"
)


class FakeEngine(Engine):
    """Returns given boxes or scores for every batch, and counts its calls."""

    name, use_class_map, batch = "fake", False, 2

    def __init__(self, text: str, *, dialect: str = "pjreddie") -> None:
        self.network: Network = darkparse.compile(text, dialect=dialect)
        self.inputs: list[Any] = []
        self.resets = 0
        self.scores = np.array([0.1, 0.4, 0.2, 0.3], np.float32)
        self.boxes: list[tuple[float, ...]] = []
        """Position in the batch, center, size, objectness, and the scores of the classes."""

    def class_scores(self, images: Any) -> Any:
        self.inputs.append(images)
        return np.stack([self.scores[:, None, None]] * len(images))

    def candidates(self, images: Any, threshold: float, hierarchy: float) -> list[Any]:
        self.inputs.append(images)
        boxes = [box for box in self.boxes if box[0] < len(images)]
        table = np.array(boxes, np.float32).reshape(len(boxes), 8)
        row, classes = np.nonzero(~(table[:, 6:] <= threshold))
        image, index = table[:, 0].astype(np.int64), np.arange(len(boxes))
        layer = np.full(len(boxes), self.network.heads[0])
        return [(image, layer, index, table[:, 1:5], table[:, 5], row, table[row, 6 + classes], classes)]

    def reset_state(self) -> None:
        self.resets += 1


def make(
    text: str = TINY, *boxes: tuple[float, ...], dialect: str = "pjreddie", **options: Any
) -> tuple[Any, Detector]:
    engine = FakeEngine(text, dialect=dialect)
    engine.boxes = list(boxes)
    return engine, Detector(engine, **options)


LEFT = (0, 0.25, 0.5, 0.2, 0.2, 0.9, 0.8, 0.0)
RIGHT = (0, 0.75, 0.5, 0.2, 0.2, 0.7, 0.3, 0.6)
SECOND = (1, 0.5, 0.5, 0.4, 0.4, 0.5, 0.0, 0.5)
SQUARE = np.zeros((32, 32, 3), np.uint8)


def list_scores(found: Sequence[Detection]) -> list[tuple[int, float]]:
    return [(d.class_id, round(d.score, 4)) for d in found]


@pytest.mark.parametrize("images", [[SQUARE] * 2, (SQUARE, SQUARE), np.stack([SQUARE] * 2), iter([SQUARE] * 2)])
def test_each_image_of_a_batch_gets_its_boxes(images: Any) -> None:
    engine, detector = make(TINY, RIGHT, SECOND, LEFT)
    is_iterator = hasattr(images, "__next__")
    first, second = list(detector.stream(images)) if is_iterator else detector.detect(images)
    assert list_scores(first) == [(0, 0.8), (1, 0.6), (0, 0.3)]
    assert list_scores(second) == [(1, 0.5)]
    assert [d.objectness for d in first] == pytest.approx([0.9, 0.7, 0.7])
    assert [d.anchor for d in first] == [2, 0, 0]
    assert [values.shape for values in engine.inputs] == [(2, 3, 32, 32)]
    assert second[0].box == pytest.approx((0.5, 0.5, 0.4, 0.4))


def test_single_image_is_not_a_list() -> None:
    engine, detector = make(TINY, LEFT)
    assert isinstance(detector.detect(SQUARE), Detections)
    batch: Any = SQUARE[None]
    assert detector.detect(batch) == [detector.detect(SQUARE)]
    assert detector.detect([]) == []
    assert detector.run([], DetectionSettings()) == []
    assert len(engine.inputs) == 3


@pytest.mark.parametrize(("batch", "sizes"), [(None, [2, 2, 1]), (1, [1] * 5), (3, [3, 2])])
def test_stream_runs_batches_of_the_engine_or_the_caller(batch: int | None, sizes: list[int]) -> None:
    engine, detector = make(TINY, LEFT, SECOND)
    assert len(list(detector.stream([SQUARE] * 5, batch=batch, workers=1))) == 5
    assert [len(values) for values in engine.inputs] == sizes


@pytest.mark.parametrize("images", ["a.png", b"png", Path("a.png")])
def test_stream_of_one_image_is_refused(images: Any) -> None:
    with pytest.raises(darkparse.DarkparseError, match="stream takes several images; detect takes one"):
        next(make()[1].stream(images))


@pytest.mark.parametrize("batch", [0, -1])
def test_stream_of_empty_batches_is_refused(batch: int) -> None:
    with pytest.raises(darkparse.DarkparseError, match=f"batch must be at least 1, got {batch}"):
        next(make()[1].stream([], batch=batch))


def test_stream_calls_back_or_raises_for_unreadable_images() -> None:
    _, detector = make(TINY, LEFT)
    calls: list[tuple[Any, str]] = []
    found = list(detector.stream([b"?", SQUARE], on_error=lambda image, problem: calls.append((image, str(problem)))))
    assert len(found) == 1
    assert [(image, message[:11]) for image, message in calls] == [(b"?", "these bytes")]
    with pytest.raises(ImageError, match="these bytes"):
        list(detector.stream([SQUARE, b"?"]))


def test_warm_up_runs_a_blank_image_without_leaving_state() -> None:
    engine, detector = make()
    assert detector.warm_up() is detector
    (values,) = engine.inputs
    assert values.shape == (1, 3, 32, 32)
    assert not values.any()
    assert engine.resets == 1
    detector.reset_state()
    assert engine.resets == 2


@pytest.mark.parametrize(("continuing", "resets"), [(False, 3), (True, 0)])
def test_recurrent_network_runs_images_one_by_one(continuing: bool, resets: int) -> None:
    engine, detector = make(RECURRENT)
    found = detector.run([detector.prepare(SQUARE)] * 3, DetectionSettings(), continuing=continuing)
    assert [values.shape for values in engine.inputs] == [(1, 3, 16, 16)] * 3
    assert engine.resets == resets
    assert found == [[], [], []]


@pytest.mark.parametrize(
    ("value", "column", "dropped"),
    [(np.inf, 1, 2), (np.nan, 3, 2), (np.inf, 5, 2), (np.nan, 5, 2), (np.inf, 7, 1), (np.nan, 6, 1)],
)
def test_detections_that_are_not_finite_are_dropped(value: float, column: int, dropped: int) -> None:
    bad = list(RIGHT)
    bad[column] = value
    _, detector = make(TINY, LEFT, tuple(bad))
    noun = "detection" if dropped == 1 else "detections"
    with pytest.warns(darkparse.DarkparseWarning, match=f"^this image: dropped {dropped} {noun} with NaN or infinite"):
        found = detector.detect(SQUARE)
    assert len(found) == 3 - dropped
    assert (0, 0.8) in list_scores(found)


@pytest.mark.parametrize(("limit", "warns"), [(2, True), (3, False)])
def test_many_boxes_are_warned_about(limit: int, warns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postprocess, "MAX_PLAUSIBLE_BOXES", limit)
    _, detector = make(TINY, LEFT, RIGHT)
    prepared = detector.prepare(SQUARE)
    message = "3 boxes above the threshold; is the network trained?"
    assert detector.run([prepared], DetectionSettings())[0].warnings == ((message,) if warns else ())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [(0, 0.8), (1, 0.6), (0, 0.55), (0, 0.3)]),
        ({"nms": 0}, [(0, 0.8), (0, 0.7), (1, 0.6), (0, 0.55), (0, 0.3)]),
        ({"classes": (1,)}, [(1, 0.6)]),
        ({"order": "nms"}, [(0, 0.3), (1, 0.6), (0, 0.8), (0, 0.55)]),
        ({"order": "nms", "nms": 0}, [(0, 0.7), (0, 0.55), (0, 0.3), (1, 0.6), (0, 0.8)]),
        ({"threshold": 0.56, "nms": 1}, [(0, 0.8), (0, 0.7), (1, 0.6)]),
    ],
)
def test_settings_select_and_order_detections(settings: Any, expected: list[tuple[int, float]]) -> None:
    """The first box is the last one a bit moved; Darknet's order is that of the last class that was sorted."""
    close = (0, 0.26, 0.5, 0.2, 0.2, 0.9, 0.7, 0.0)
    other = (0, 0.5, 0.1, 0.1, 0.1, 0.9, 0.55, 0.0)
    _, detector = make(TINY, close, other, RIGHT, LEFT)
    assert list_scores(detector.detect(SQUARE, DetectionSettings(**settings))) == expected


@pytest.mark.parametrize(
    ("text", "box"), [(TINY, (0.5, 0.75, 0.25, 0.5)), (GRID, (0.5, 0.625, 0.25, 0.25))], ids=["yolo", "detection"]
)
def test_boxes_of_letterbox_are_converted_to_the_image(text: str, box: tuple[float, ...]) -> None:
    """Darknet leaves those of [detection] as they are (detection_layer.c:225)."""
    _, detector = make(text, (0, 0.5, 0.625, 0.25, 0.25, 0.9, 0.8, 0.0), resize="letterbox")
    (found,) = detector.detect(np.zeros((20, 40, 3), np.uint8))
    assert found.box == pytest.approx(box)
    assert found.image_size == (20, 40)


def test_image_without_height_in_the_input_has_no_boxes() -> None:
    _, detector = make(TINY, LEFT, resize="letterbox")
    assert detector.detect(np.zeros((1, 1000, 3), np.uint8)) == []


def test_classifier_ranks_classes() -> None:
    engine, detector = make(CLASSIFIER, names=list("abcd"))
    engine.scores = np.array([0.2, 0.5, 0.2, 0.1], np.float32)
    found = detector.detect(picture(0), top=3)
    assert [(d.name, d.objectness, d.box) for d in found] == [(n, 1.0, (0.5, 0.5, 1.0, 1.0)) for n in "bac"]
    assert found.warnings == ()
    assert [values.shape for values in engine.inputs] == [(1, 3, 6, 8)]
    assert [d.name for d in detector.detect(picture(0), DetectionSettings(classes=("d", "a")))] == ["a", "d"]
    first, second = detector.detect([picture(0), picture(1)])
    assert list_scores(first) == list_scores(second)
    assert (first.width, first.height) == (56, 40)


def test_classifier_drops_scores_that_are_not_numbers() -> None:
    engine, detector = make(CLASSIFIER)
    engine.scores = np.array([np.nan, 0.5, np.inf, 0.1], np.float32)
    with pytest.warns(darkparse.DarkparseWarning, match="dropped 2 of 4 classes with NaN or infinite scores"):
        found = detector.detect(picture(0))
    assert list_scores(found) == [(1, 0.5), (3, 0.1)]


@pytest.mark.parametrize(
    ("dialect", "expected"), [("alexeyab", [0.8, 0.2, 0.4, 0.4, 0.1]), ("pjreddie", [0.0, 0.2, 0.0, 0.4, 0.1])]
)
def test_scores_of_a_tree_are_products_along_the_path(dialect: str, expected: list[float], tmp_path: Path) -> None:
    """pjreddie's fork sets those of parents to 0 (tree.c hierarchy_predictions, only_leaves)."""
    (tmp_path / "x.tree").write_text("a -1\nb -1\nc 0\nd 0\ne 2\n")
    (tmp_path / "x.cfg").write_text(f"{CLASSIFIER.replace('filters=4', 'filters=5')}tree=x.tree\n")
    engine = FakeEngine(str(tmp_path / "x.cfg"), dialect=dialect)
    detector = Detector(engine)
    engine.scores = np.array([0.8, 0.2, 0.5, 0.5, 0.25], np.float32)
    scores = {d.class_id: d.score for d in detector.detect(picture(0))}
    assert [scores[i] for i in range(5)] == pytest.approx(expected)
    assert engine.scores[2] == 0.5  # the engine's array is not changed


@pytest.mark.parametrize(
    ("resize", "classifies"), [("letterbox", False), ("stretch", False), ("crop", True), ("stretch", True)]
)
def test_resize_of_the_caller_is_used(resize: str, classifies: bool) -> None:
    assert make(CLASSIFIER if classifies else TINY, resize=resize)[1].resize == resize


def test_unknown_resize_is_refused() -> None:
    with pytest.raises(darkparse.DarkparseError, match="resize 'fit'; expected one of letterbox, stretch, crop"):
        make(CLASSIFIER, resize="fit")
    with pytest.raises(darkparse.DarkparseError, match="resize='crop' is for classifiers"):
        make(TINY, resize="crop")
    with pytest.raises(darkparse.DarkparseError, match=r"got engine fake, which runs a graph\nhint: Detector.load"):
        _ = make()[1].model


@pytest.mark.parametrize(("dialect", "is_cut"), [("pjreddie", True), ("alexeyab", False)])
def test_crop_follows_the_dialect(dialect: str, is_cut: bool) -> None:
    """pjreddie's Darknet cuts out the largest square first; the input here is not square."""
    _, detector = make(CLASSIFIER, dialect=dialect, resize="crop")
    prepared = detector.prepare(np.zeros((12, 24, 3), np.uint8))
    assert prepared.placement.scaled_size == ((6, 8) if is_cut else (8, 16))


def save_mirrored(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 2
    Image.fromarray(picture(0)).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("dialect", "exif", "applied"),
    [("alexeyab", "auto", 2), ("pjreddie", "auto", 1), ("pjreddie", "on", 2), ("alexeyab", "off", 1)],
)
def test_prepared_image_has_orientation_path_and_pixels(dialect: str, exif: Any, applied: int, tmp_path: Path) -> None:
    _, detector = make(dialect=dialect)
    path = save_mirrored(tmp_path / "a.png")
    prepared = detector.prepare(path, DetectionSettings(exif=exif), keep_pixels=True)
    assert (prepared.orientation, prepared.path, prepared.size) == (applied, os.fspath(path), (40, 56))
    assert len(prepared.warnings) == (applied == 1)
    expected = picture(0)[:, ::-1] if applied == 2 else picture(0)
    np.testing.assert_array_equal(prepared.pixels, expected)
    assert detector.prepare(str(path)).pixels is None
    assert detector.prepare(picture(0)).path is None
    swapped = detector.prepare(picture(0), DetectionSettings(channels="bgr"), keep_pixels=True)
    np.testing.assert_array_equal(swapped.pixels, picture(0)[..., ::-1])


def make_detections(*boxes: tuple[float, float, float, float], **options: Any) -> Detections:
    size = (100, 200)
    return Detections(
        [Detection(i, f"<{i}>", 0.5, 0.6, box, size) for i, box in enumerate(boxes)], height=100, width=200, **options
    )


@pytest.mark.parametrize(
    ("box", "edges"),
    [
        ((0.5, 0.5, 0.2, 0.4), (80, 30, 120, 70)),
        ((0.0, 0.0, 0.2, 0.4), (0, 0, 20, 20)),
        ((1.0, 1.0, 0.2, 0.4), (180, 80, 200, 100)),
        ((0.5, 0.5, 1.5, 1.5), (0, 0, 200, 100)),
        ((-0.5, 1.5, 0.2, 0.2), (0, 100, 0, 100)),
    ],
)
def test_edges_are_pixels_within_the_image(box: Any, edges: tuple[int, ...]) -> None:
    found = make_detections(box, box)
    assert found[0].xyxy == pytest.approx(edges)
    np.testing.assert_allclose(found.numpy(), [(*edges, 0.5, 0), (*edges, 0.5, 1)], atol=1e-4)
    assert make_detections().numpy().shape == (0, 6)


def test_dictionary_has_warnings_and_orientation_only_if_there_are_any() -> None:
    assert list(make_detections().to_dict()) == ["image", "width", "height", "detections"]
    values = make_detections(warnings=("odd",), orientation=2, path=Path("a.png")).to_dict()
    assert (values["warnings"], values["orientation"], values["image"]) == (["odd"], 2, "a.png")


def test_warnings_point_to_the_caller() -> None:
    with pytest.warns(darkparse.DarkparseWarning, match=r"^a\.png: dropped 1 detection with NaN") as caught:
        make_detections((np.nan, 0.5, 0.1, 0.1), path="a.png").to_dict()
    assert caught[0].filename == __file__
    image = save_frames_of_gif()
    with pytest.warns(darkparse.DarkparseWarning, match="only the first of 2 frames") as caught:
        make(TINY)[1].detect(image)
    assert caught[0].filename == __file__


def save_frames_of_gif() -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(0)).save(file, "gif", save_all=True, append_images=[Image.fromarray(picture(1))])
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 2])
def test_drawing_of_the_file_has_the_orientation_of_the_boxes(orientation: int, tmp_path: Path) -> None:
    path = save_mirrored(tmp_path / "a.png")
    found = Detections(height=40, width=56, path=path, orientation=orientation)
    expected = picture(0) if orientation == 1 else picture(0)[:, ::-1]
    np.testing.assert_array_equal(np.asarray(found.draw()), expected)
    np.testing.assert_array_equal(np.asarray(found.draw(picture(1))), picture(1))
    with pytest.raises(ValueError, match="detections have no image file; pass the image"):
        Detections(height=40, width=56).draw()
    assert Detections(height=40, width=56).draw(picture(1)).size == (56, 40)


@pytest.mark.parametrize(
    ("count", "more"), [(1, ""), (50, ""), (51, "<p>… and 1 more</p>"), (53, "<p>… and 3 more</p>")]
)
def test_notebook_table_has_fifty_rows(count: int, more: str) -> None:
    html = make_detections(*[(0.5, 0.5, 0.2, 0.4)] * count)._repr_html_()
    assert html.count("<tr><td>") == min(count, 50)
    row = "<tr><td>&lt;0&gt;</td><td>0.500</td><td>80.0</td><td>30.0</td><td>120.0</td><td>70.0</td></tr>"
    head = "<th>class</th><th>score</th><th>left</th><th>top</th><th>right</th><th>bottom</th>"
    assert html.startswith(f"<table><thead><tr>{head}</tr></thead><tbody>{row}")
    assert html.endswith(f"</tbody></table>{more}")
