"""What detections know and how they leave: origin of a box, chosen classes, pandas, supervision, notebooks."""

from __future__ import annotations

import base64
import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse import Detection, Detections, DetectionSettings, Detector
from darkparse.cli.detector import DetectorOptions, load_detector
from darkparse.cli.main import main
from darkparse.datasets.names import find_class_ids, find_shipped_origin
from darkparse.detect.notebook import MAX_SIDE
from darkparse.network.compile_options import CompileOptions
from tests.detect.reference import picture, tiny_weights
from tests.detect.test_engines import stored


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    cfg, weights = tiny_weights(tmp_path_factory.mktemp("tiny"))
    return Detector.load(cfg, weights, names=["cat", "dog"])


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_detection_origin_decodes_to_its_box(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine)
    cfg, weights = tiny_weights(tmp_path)
    detector = Detector.load(cfg, weights, resize="stretch", engine=engine)
    found = detector.detect(picture(2), threshold=0.01, nms=0)
    assert len(found) > 3
    heads = detector.network.heads
    for detection in found:
        assert detection.layer in heads
        assert detection.cell is not None
        assert detection.anchor is not None
        node = detector.network.nodes[detection.layer]
        row, column = detection.cell
        x, y, width, height = detection.box
        # Sigmoids keep a center in its cell, and exp() stretches an anchor.
        assert column <= x * node.out_shape.w <= column + 1
        assert row <= y * node.out_shape.h <= row + 1
        assert detection.anchor in node.layer.indices
        assert width > 0
        assert height > 0


def test_classifier_detection_has_no_origin() -> None:
    detection = Detection(0, "cat", 0.5, 1.0, (0.5, 0.5, 1.0, 1.0), (10, 10))
    assert (detection.layer, detection.cell, detection.anchor) == (None, None, None)


@pytest.mark.parametrize("classes", [("dog",), (1,), ("1",), ("dog", 1)])
def test_detect_classes_returns_only_these(detector: Detector, classes: tuple[int | str, ...]) -> None:
    everything = detector.detect(picture(2), threshold=0.01)
    chosen = detector.detect(picture(2), DetectionSettings(threshold=0.01, classes=classes))
    assert {d.name for d in everything} == {"cat", "dog"}
    assert list(chosen) == [d for d in everything if d.name == "dog"]


@pytest.mark.parametrize("classes", [("bird",), (2,), (-1,), ("2",)])
def test_detect_unknown_class_is_named(detector: Detector, classes: tuple[int | str, ...]) -> None:
    with pytest.raises(
        darkparse.DarkparseError, match=r"unknown class .*; expected a class name or a number from 0 to 1"
    ):
        detector.detect(picture(2), DetectionSettings(threshold=0.01, classes=classes))


def test_find_class_ids_prefers_a_name_of_digits() -> None:
    assert find_class_ids(["7", "cat", "cat"], ["7", "cat", 2]) == (0, 1, 2)
    with pytest.raises(darkparse.DarkparseError, match="did you mean 'person'"):
        find_class_ids(["person", "car"], ["persn"])


@pytest.mark.parametrize("classes", ["dog", ()])
def test_detection_settings_classes_of_wrong_type_raise(classes: Any) -> None:
    with pytest.raises(darkparse.DarkparseError, match="classes must be a tuple of class names or numbers"):
        DetectionSettings(classes=classes)


def test_to_df_has_one_row_per_detection(detector: Detector) -> None:
    pytest.importorskip("pandas")
    found = detector.detect(picture(2), threshold=0.01)
    frame = found.to_df()
    assert len(frame) == len(found) > 0
    assert frame["name"].tolist() == [d.name for d in found]
    assert frame[["left", "top", "right", "bottom"]].to_numpy() == pytest.approx(found.numpy()[:, :4], abs=1e-4)
    assert list(found[:0].to_df().columns) == list(frame.columns)


def test_supervision_receives_pixels_scores_and_names(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("supervision")
    module.Detections = lambda **arguments: arguments
    monkeypatch.setitem(sys.modules, "supervision", module)
    found = detector.detect(picture(2), threshold=0.01)
    exported: Any = found.supervision()
    assert exported["xyxy"].shape == (len(found), 4)
    assert exported["confidence"] == pytest.approx([d.score for d in found])
    assert exported["class_id"].tolist() == [d.class_id for d in found]
    assert exported["data"]["class_name"].tolist() == [d.name for d in found]


def test_supervision_returns_detections_of_package(detector: Detector) -> None:
    supervision = pytest.importorskip("supervision", reason="needs supervision: pip install supervision")
    found = detector.detect(picture(2), threshold=0.01)
    exported = found.supervision()
    assert isinstance(exported, supervision.Detections)
    assert len(exported) == len(found)


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_df"), ("supervision", "supervision")])
def test_to_df_and_supervision_without_package_name_it(
    monkeypatch: pytest.MonkeyPatch, package: str, method: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(darkparse.DarkparseError, match=f"pip install {package}"):
        getattr(Detections([], width=1, height=1), method)()


def test_notebook_shows_image_and_escaped_table(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    box = (0.5, 0.5, 0.2, 0.4)
    found = Detections([Detection(0, "<b>cat", 0.9, 0.9, box, (20, 30))], width=30, height=20, path=path)
    html = found._repr_html_()
    assert "data:image/png;base64," in html
    assert "&lt;b&gt;cat" in html
    assert "<b>cat" not in html
    path.unlink()
    assert "data:image" not in found._repr_html_()
    assert "no detections" in Detections([], width=1, height=1)._repr_html_()


def _run_detect(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[list[str], str]:
    """Run `darkparse detect --json` in this process; return the class names and standard error."""
    main(["detect", *map(str, arguments), "--threshold", "0.01", "--json"])
    captured = capsys.readouterr()
    return [d["name"] for d in json.loads(captured.out)["images"][0]["detections"]], captured.err


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.fromarray(picture(2)).save(path)
    return path


def test_detect_command_classes_prints_only_these(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, weights = tiny_weights(tmp_path)
    (tmp_path / "my.names").write_text("cat\ndog\n")
    every, _ = _run_detect(capsys, cfg, weights, image)
    for classes in ("dog", "1", " dog , 1 "):
        chosen, _ = _run_detect(capsys, cfg, weights, image, "--classes", classes)
        assert chosen == [name for name in every if name == "dog"] != every


@pytest.mark.parametrize("classes", ["dgo", "2", "dog,bird"])
def test_detect_command_unknown_class_exits_2(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str], classes: str
) -> None:
    cfg, weights = tiny_weights(tmp_path)
    with pytest.raises(SystemExit) as exit_info:
        main(["detect", str(cfg), str(weights), str(image), "--classes", classes])
    assert exit_info.value.code == 2
    assert "unknown class" in capsys.readouterr().err


@pytest.mark.parametrize(("dialect", "hides"), [("alexeyab", True), ("hank-ai", True), ("pjreddie", False)])
def test_detect_command_dont_show_hides_class_by_dialect(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str], dialect: str, hides: bool
) -> None:
    cfg, weights = tiny_weights(tmp_path)
    names = tmp_path / "hide.names"
    names.write_text("dont_show cat\ndog\n")
    found, _ = _run_detect(capsys, cfg, weights, image, "--names", names, "--dialect", dialect)
    assert set(found) == ({"dog"} if hides else {"dont_show cat", "dog"})


def test_detect_command_all_classes_hidden_exits_2(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, weights = tiny_weights(tmp_path)
    names = tmp_path / "hide.names"
    names.write_text("dont_show cat\ndont_show dog\n")
    with pytest.raises(SystemExit) as exit_info:
        main(["detect", str(cfg), str(weights), str(image), "--names", str(names), "--dialect", "alexeyab"])
    assert exit_info.value.code == 2
    assert "no class to detect: the names of all selected classes start with 'dont_show'" in capsys.readouterr().err


@pytest.mark.parametrize(("classes", "origin"), [(80, "COCO"), (20, "Pascal VOC"), (2, None)])
def test_find_shipped_origin_depends_on_class_count(tmp_path: Path, classes: int, origin: str | None) -> None:
    cfg = tmp_path / "own.cfg"
    cfg.write_text(CFG.format(filters=classes + 5, classes=classes))
    network = darkparse.compile(cfg)
    assert find_shipped_origin(network, classes) == origin
    (tmp_path / "own.names").write_text("".join(f"own {i}\n" for i in range(classes)))
    assert find_shipped_origin(network, classes) is None


def test_detect_command_without_names_reports_shipped_names(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "own.cfg"
    cfg.write_text(CFG.format(filters=25, classes=20))
    weights = stored(cfg)
    _, err = _run_detect(capsys, cfg, weights, image)
    assert "note: using the class names of Pascal VOC, which also has 20 classes; to use others: --names FILE\n" in err
    (tmp_path / "x.names").write_text("".join(f"own {i}\n" for i in range(20)))
    _, err = _run_detect(capsys, cfg, weights, image, "--names", tmp_path / "x.names")
    assert "class names" not in err


def test_load_detector_for_command_without_names_prints_no_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "own.cfg"
    cfg.write_text(CFG.format(filters=25, classes=20))
    options = DetectorOptions(str(cfg), str(stored(cfg)), CompileOptions(), resize=None, device="cpu")
    assert load_detector(options, fold=False).network.name == "own"
    assert "class names" not in capsys.readouterr().err


CFG = """[net]
width=32
height=32
channels=3
[convolutional]
filters={filters}
size=1
stride=1
activation=linear
[yolo]
mask=0
anchors=8,8
classes={classes}
num=1
"""


def test_onnx_nms_with_classes_detects_only_these(tmp_path: Path, image: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    cfg, weights = tiny_weights(tmp_path)
    (tmp_path / "my.names").write_text("cat\ndog\n")
    rows = {}
    for name, options in {"all": [], "dog": ["--classes", "dog"], "both": ["--classes", "cat,1"]}.items():
        out = tmp_path / f"{name}.onnx"
        main(["convert", str(cfg), str(weights), "-o", str(out), "--heads", "nms", "--threshold", "0.01", *options])
        session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
        prepared = Detector.load(cfg, weights).prepare(image)
        (rows[name],) = session.run(None, {"image": prepared.values[None]})
    assert set(rows["all"][:, 1]) == {0, 1}
    np.testing.assert_array_equal(rows["dog"], rows["all"][rows["all"][:, 1] == 1])
    np.testing.assert_array_equal(rows["both"], rows["all"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "bird", "--heads", "nms"], "unknown class 'bird'"),
        (["--classes", "dog"], "--classes requires --heads nms"),
    ],
)
def test_convert_command_with_classes_that_do_not_apply_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    cfg, weights = tiny_weights(tmp_path)
    with pytest.raises(SystemExit) as exit_info:
        main(["convert", str(cfg), str(weights), "-o", str(tmp_path / "x.onnx"), *options])
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()


def test_evaluate_command_with_classes_measures_only_these(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights = tiny_weights(tmp_path)
    (tmp_path / "my.names").write_text("cat\ndog\n")
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        Image.fromarray(picture(number)).save(images / f"{number}.png")
        (images / f"{number}.txt").write_text("0 .5 .5 .4 .4\n1 .3 .3 .4 .4\n")
    results = {}
    for classes in (None, "dog"):
        options = ["--classes", classes] if classes else []
        main(["evaluate", str(cfg), str(weights), "--images", str(images), "--rule", "darknet", "--json", *options])
        results[classes] = json.loads(capsys.readouterr().out)["darknet"]
    assert [row["name"] for row in results[None]["classes"]] == ["cat", "dog"]
    assert results["dog"]["classes"] == results[None]["classes"][1:]
    assert results["dog"]["map_area"] == results[None]["classes"][1]["ap_area"]


def test_to_dict_rounds_fractions_to_6_and_pixels_to_2_digits() -> None:
    detection = Detection(3, "cat", 2 / 3, 1 / 7, (1 / 3, 2 / 3, 1 / 7, 1 / 6), (100, 70))
    assert detection.to_dict() == {
        "class_id": 3,
        "name": "cat",
        "score": 0.666667,
        "objectness": 0.142857,
        "box": [0.333333, 0.666667, 0.142857, 0.166667],
        "xyxy": [18.33, 58.33, 28.33, 75.0],
    }


def test_notebook_shrinks_large_images(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (3000, 1500)).save(path)
    html = Detections([], width=3000, height=1500, path=path)._repr_html_()
    content = html.partition("base64,")[2].partition('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (MAX_SIDE, MAX_SIDE // 2)
