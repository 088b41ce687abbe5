"""The detector: what it takes, what it gives, what it refuses."""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import darkparse
from darkparse.datasets.names import find_names, shipped_names
from darkparse.detect import Detections, Detector
from darkparse.detect.images import open_image
from darkparse.errors import ImageError
from tests.detect.reference import TINY, picture, tiny_weights


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector.load(*tiny_weights(tmp_path_factory.mktemp("tiny")), names=["cat", "dog"])


def rows(found: Detections) -> list[tuple[float, ...]]:
    return [(d.class_id, d.score, *d.box) for d in found]


def test_detect_any_kind_of_image_returns_same_boxes(detector: Detector, tmp_path: Path) -> None:
    pixels = picture(0)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    want = rows(detector.detect(pixels))
    assert want
    tensor = torch.from_numpy(pixels).movedim(2, 0)
    floats = pixels.astype(np.float32) / np.float32(255)
    data = path.read_bytes()
    for same in (
        path,
        str(path),
        data,
        io.BytesIO(data),
        Image.fromarray(pixels),
        tensor,
        tensor.float() / 255,
        floats,
        floats.astype(np.float64),
    ):
        assert rows(detector.detect(same)) == want
    assert [rows(found) for found in detector.detect([path, pixels])] == [want, want]
    assert detector.detect([]) == []


def test_stream_in_batches_returns_results_of_single_images(detector: Detector) -> None:
    random = np.random.RandomState(0)  # noise, in which no two scores tie
    pictures = [random.randint(0, 256, (20 + n, 60 - n, 3)).astype(np.uint8) for n in range(7)]
    single = [detector.detect(p) for p in pictures]
    for batch in (1, 3, 16):
        for one, many in zip(single, detector.stream(pictures, batch=batch), strict=True):
            assert [d.class_id for d in one] == [d.class_id for d in many]
            assert np.allclose(one.numpy(), many.numpy(), atol=1e-3)


def test_detections_are_sorted_named_and_picklable(detector: Detector) -> None:
    found = detector.detect(picture(1, 40, 56), threshold=0.1)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    first = found[0]
    assert first.name == ["cat", "dog"][first.class_id]
    assert first.line == f"{first.name}: {first.score * 100:.0f}%"
    left, top, right, bottom = first.xyxy
    assert 0 <= left <= right <= 56
    assert 0 <= top <= bottom <= 40
    assert found.numpy().shape == (len(found), 6)
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert (again.width, again.height) == (56, 40)


def test_detect_threshold_and_nms_select_detections(detector: Detector) -> None:
    everything = detector.detect(picture(2), threshold=0.01, nms=0)
    assert len(detector.detect(picture(2), threshold=0.01)) < len(everything)
    high = detector.detect(picture(2), threshold=0.6, nms=0)
    assert rows(high) == [
        row for row in rows(everything) if row[1] > 0.6 and everything[rows(everything).index(row)].objectness > 0.6
    ]


def test_draw_returns_copy_and_keeps_pixels(detector: Detector) -> None:
    pixels = picture(3, 80, 90)
    before = pixels.copy()
    drawn = detector.detect(pixels).draw(pixels)
    assert np.array_equal(pixels, before)
    assert drawn.size == (90, 80)
    assert not np.array_equal(np.asarray(drawn), before)
    with pytest.raises(ValueError, match="pass the image"):
        detector.detect(pixels).draw()


@pytest.mark.parametrize(
    "bad", [np.zeros(3), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.int64), np.zeros((0, 4, 3), np.uint8)]
)
def test_detect_input_that_is_not_an_image_raises(detector: Detector, bad: Any) -> None:
    with pytest.raises(ImageError):
        detector.detect(bad)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image"),
        (b"no picture at all", "not an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "image|truncated"),
        (None, "No such file"),
    ],
)
def test_open_image_of_broken_file_names_path(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        open_image(path, apply_exif=False)
    assert str(path) in str(caught.value)


def test_open_image_of_truncated_file_raises(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ImageError, match=r"x\.png"):
        open_image(path, apply_exif=False)


def test_open_image_keeps_high_byte_and_drops_alpha(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert open_image(tmp_path / "deep.png", apply_exif=False).pixels[0, :, 0].tolist() == [0, 0, 1, 255]
    Image.fromarray(np.array([[[9, 8, 7, 0]]], np.uint8), "RGBA").save(tmp_path / "alpha.png")
    assert open_image(tmp_path / "alpha.png", apply_exif=False).pixels[0, 0].tolist() == [9, 8, 7]
    assert open_image(tmp_path / "alpha.png", 1, apply_exif=False).pixels[0, 0].tolist() == [
        (9 * 77 + 8 * 150 + 7 * 29) >> 8
    ]


def test_detect_path_without_pillow_names_extra(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(darkparse.DarkparseError, match=r"pip install 'darkparse\[detect\]'"):
        detector.detect("dog.png")
    assert detector.detect(picture(0))  # arrays need no Pillow


def test_stream_reads_only_few_images_ahead(detector: Detector) -> None:
    taken = 0

    def pictures() -> Any:
        nonlocal taken
        for seed in range(200):
            taken += 1
            yield picture(seed % 5)

    stream = detector.stream(pictures(), batch=2, workers=2)
    for done in range(1, 20):
        next(stream)
        assert taken <= done + 3 * 2 + 2
    stream.close()


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (1, 4), (3, 2), (7, None)])
def test_stream_with_any_workers_keeps_order(detector: Detector, batch: int, workers: int | None) -> None:
    pictures = [picture(seed % 5) for seed in range(23)]
    threads = torch.get_num_threads()
    want = [list(detector.detect(one)) for one in pictures]
    got = [list(found) for found in detector.stream(pictures, batch=batch, workers=workers)]
    assert [[d.class_id for d in found] for found in got] == [[d.class_id for d in found] for found in want]
    for a, b in zip(want, got, strict=True):
        np.testing.assert_allclose([d.score for d in b], [d.score for d in a], atol=1e-5)
    assert torch.get_num_threads() == threads


def test_stream_reports_unreadable_image(detector: Detector, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"?")
    problems: list[Any] = []
    found = list(
        detector.stream([picture(0), bad, picture(1)], on_error=lambda source, problem: problems.append(source))
    )
    assert len(found) == 2
    assert problems == [bad]
    with pytest.raises(ImageError):
        list(detector.stream([bad]))


def test_classifier_returns_classes_of_whole_image(tmp_path: Path) -> None:
    cfg = (
        "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\nsize=1\nactivation=linear\n[avgpool]\n"
        "[softmax]\n"
    )
    for dialect in ("pjreddie", "alexeyab"):
        model = darkparse.build(darkparse.compile(cfg, dialect=dialect), initialize=True)
        classifier = Detector(model, names=["a", "b", "c", "d"])
        assert (classifier.classifies, classifier.resize) == (True, "crop")
        found = classifier.detect(picture(0), top=3)
        assert len(found) == 3
        assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
        all_classes = classifier.detect(picture(0), darkparse.DetectionSettings(top=4))
        assert sum(d.score for d in all_classes) == pytest.approx(1)
        assert {d.box for d in found} == {(0.5, 0.5, 1.0, 1.0)}
        assert found.draw(picture(0)).size == (56, 40)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ("[net]\ninputs=4\n[connected]\noutput=3\n[softmax]\n", "takes a vector, not an image"),
        (
            "[net]\nwidth=8\nheight=8\nchannels=3\n[maxpool]\nsize=2\nstride=2\n",
            r"neither a detector nor a classifier: it ends with \[maxpool\]",
        ),
    ],
)
def test_detector_of_network_without_heads_raises(cfg: str, message: str) -> None:
    model = darkparse.build(darkparse.compile(cfg), initialize=True)
    with pytest.raises(darkparse.DarkparseError, match=message):
        Detector(model)


def test_detector_resize_follows_dialect_and_cfg(tmp_path: Path) -> None:
    cfg, weights = tiny_weights(tmp_path)
    assert Detector.load(cfg, weights, dialect="pjreddie").resize == "letterbox"
    assert Detector.load(cfg, weights, dialect="alexeyab").resize == "stretch"
    assert Detector.load(cfg, weights, dialect="alexeyab", resize="letterbox").resize == "letterbox"
    cfg.write_text(cfg.read_text("utf-8").replace("[net]", "[net]\nletter_box=1"), "utf-8")
    assert Detector.load(cfg, weights, dialect="alexeyab").resize == "letterbox"
    with pytest.raises(darkparse.DarkparseError, match="for classifiers"):
        Detector.load(cfg, weights, resize="crop")
    with pytest.raises(darkparse.DarkparseError, match="expected one of letterbox, stretch, crop"):
        Detector.load(cfg, weights, resize="squash")


def test_find_names_by_file_data_tree_and_class_count(tmp_path: Path) -> None:
    cfg, _ = tiny_weights(tmp_path)
    network = darkparse.compile(cfg)
    assert find_names(network, 2) == ("class 0", "class 1")
    assert find_names(network, 80)[16] == "dog"
    assert find_names(network, 20)[11] == "dog"
    (tmp_path / "t.tree").write_text("animal -1\nthing -1\ndog 0\n", "utf-8")
    tree = "[net]\nwidth=1\nheight=1\nchannels=3\n[softmax]\ntree=t.tree\n"
    (tmp_path / "tree.cfg").write_text(tree, "utf-8")
    assert find_names(darkparse.compile(tmp_path / "tree.cfg"), 3) == ("animal", "thing", "dog")
    (tmp_path / "pets.names").write_text("cat\ndog\n\n", "utf-8")
    assert find_names(network, 2) == ("cat", "dog")
    (tmp_path / "tiny.names").write_text("left\nright\n", "utf-8")
    assert find_names(network, 2) == ("left", "right")
    (tmp_path / "x.data").write_text("classes = 2\n#names = no\nnames = pets.names\n", "utf-8")
    assert find_names(network, 2, tmp_path / "x.data") == ("cat", "dog")
    with pytest.raises(darkparse.DarkparseError, match="got 2; expected 80"):
        find_names(network, 80, tmp_path / "pets.names")
    with pytest.raises(darkparse.DarkparseError, match="No such file"):
        find_names(network, 2, tmp_path / "none.names")


def test_shipped_names_have_expected_count() -> None:
    for count in (80, 20):
        names = shipped_names(count)
        assert names is not None
        assert len(set(names)) == count
        assert all(names)


def test_detect_floats_outside_0_to_1_raises(detector: Detector) -> None:
    for wrong in (np.full((8, 8, 3), 255.0), np.full((8, 8, 3), -1.0), np.full((8, 8, 3), np.nan)):
        with pytest.raises(ImageError, match=r"expected 0 to 1\nhint: scale them"):
            detector.detect(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "not an image, got NoneType; expected a path"),
        ({}, "got dict"),
        (b"no picture", "these bytes: not an image"),
        (io.BytesIO(b"no picture"), "this file: not an image"),
    ],
)
def test_detect_array_of_wrong_form_explains_why(detector: Detector, wrong: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        detector.detect(wrong)


def test_detection_settings_out_of_range_raise(detector: Detector) -> None:
    wrong: tuple[dict[str, Any], ...]
    wrong = {"threshold": 25}, {"threshold": float("nan")}, {"nms": -1}, {"hierarchy": "0.5"}, {"top": 0}
    for fields in wrong:
        with pytest.raises(darkparse.DarkparseError, match=f"{next(iter(fields))} must be "):
            darkparse.DetectionSettings(**fields)
    with pytest.raises(darkparse.DarkparseError, match="threshold must be "):
        detector.detect(picture(0), threshold=25)
    with pytest.raises(darkparse.DarkparseError, match="stream takes several images; detect takes one"):
        next(detector.stream("dog.png"))
    with pytest.raises(darkparse.DarkparseError, match="batch must be at least 1, got"):
        next(detector.stream([], batch=0))


def test_slice_of_detections_keeps_image_size(detector: Detector) -> None:
    shot = picture(0)
    found = detector.detect(shot)
    assert isinstance(found[:2], Detections)
    assert (found[:2].width, found[1].score) == (found.width, found[:2][1].score)
    sure = found.filter(lambda one: one.score > 0.5)
    assert [one.score for one in sure] == [one.score for one in found if one.score > 0.5]
    assert sure.draw(shot).size == (found.width, found.height)
    with pytest.raises(darkparse.DarkparseError, match="the size of the detections' image"):
        found.draw(shot[:-1])


def test_detect_image_scaled_to_nothing_is_empty(tmp_path: Path) -> None:
    detector = Detector.load(*tiny_weights(tmp_path), resize="letterbox")
    thin = np.zeros((3000, 3, 3), np.uint8)
    assert detector.detect(thin, threshold=0.0) == []
    assert (detector.prepare(thin).values == 0.5).all()


def test_detect_with_untrained_network_warns(tmp_path: Path) -> None:
    cfg, weights = tmp_path / "fresh.cfg", tmp_path / "fresh.weights"
    cfg.write_text(TINY.replace("filters=21", "filters=255").replace("classes=2", "classes=80"), "utf-8")
    torch.manual_seed(0)
    darkparse.save_weights(darkparse.build(darkparse.compile(cfg), initialize=True), weights)
    with pytest.warns(darkparse.DarkparseWarning, match="this image: .* is the network trained"):
        found = Detector.load(cfg, weights).detect(picture(0), threshold=0.2)
    (remark,) = found.warnings
    assert remark.endswith(" boxes above the threshold; is the network trained?")
    assert int(remark.split()[0].replace(",", "")) >= len(found) > 5000
    assert found.to_dict()["warnings"] == [remark]
    assert pickle.loads(pickle.dumps(found)).warnings == found[:3].warnings == found.warnings


def test_detector_load_of_container_needs_no_cfg(tmp_path: Path) -> None:
    cfg, weights = tiny_weights(tmp_path)
    darkparse.save(darkparse.load(cfg, weights), tmp_path / "tiny.npz")
    shot = picture(0)
    assert rows(Detector.load(tmp_path / "tiny.npz").detect(shot)) == rows(Detector.load(cfg, weights).detect(shot))
    with pytest.raises(darkparse.DarkparseError, match="a detector requires weights"):
        Detector.load(cfg)
