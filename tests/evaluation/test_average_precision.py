"""Average precision, beside a transcription of detector.c and with pycocotools."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse.cli import main
from darkparse.datasets.annotations import Annotations, ImageAnnotation, read_annotations
from darkparse.detect import Detection, Detections
from darkparse.evaluation.average_precision import ClassResult, Rule, darknet_map
from darkparse.evaluation.coco import coco_map
from tests.detect.reference import picture, tiny_weights
from tests.detect.test_nms import iou_in_c

NAMES = ("cat", "dog", "owl")


def found(rows: list[tuple[int, float, tuple[float, float, float, float]]]) -> Detections:
    ordered = sorted(rows, key=lambda row: -row[1])
    return Detections((Detection(c, NAMES[c], s, s, b, (100, 200)) for c, s, b in ordered), width=200, height=100)


def truth(
    rows: list[tuple[int, tuple[float, float, float, float]]], number: int = 1, ignored: tuple[bool, ...] = ()
) -> ImageAnnotation:
    boxes = np.array([b for _, b in rows], np.float32).reshape(-1, 4)
    flags = np.array(ignored or [False] * len(rows), np.bool_)
    return ImageAnnotation(
        Path(f"{number}.png"), number, (100, 200), boxes, np.array([c for c, _ in rows], np.int64), flags
    )


def random_pairs(seed: int) -> list[tuple[ImageAnnotation, Detections]]:
    """Pictures whose detections are the truth moved about, with some too many and some missing."""
    random = np.random.RandomState(seed)
    pairs = []
    for number in range(12):
        objects = [(random.randint(3), tuple(random.uniform(0.2, 0.8, 4))) for _ in range(random.randint(0, 5))]
        copies = [one for one in objects for _ in range(random.randint(0, 3))]
        rows: list[Any] = [
            (label, random.rand(), tuple(np.array(box) + random.uniform(-0.08, 0.08, 4))) for label, box in copies
        ]
        rows += [
            (random.randint(3), random.rand(), tuple(random.uniform(0.1, 0.9, 4))) for _ in range(random.randint(0, 3))
        ]
        pairs.append((truth(objects, number), found(rows)))
    return pairs


def area_in_c(pairs: list[tuple[ImageAnnotation, Detections]], iou: float, points: int) -> list[float]:
    """detector.c validate_detector_map with its table of all classes at all ranks."""
    everything, offset, counts = [], 0, [0] * 3
    for true, detections in pairs:
        for label in true.classes:
            counts[label] += 1
        for one in detections:
            best, at = 0.0, -1
            for j, box in enumerate(true.boxes):
                share = iou_in_c(one.box, box)
                if share > iou and true.classes[j] == one.class_id and share > best:
                    best, at = share, offset + j
            everything.append((one.score, one.class_id, at))
        offset += len(true.classes)
    everything.sort(key=lambda row: -row[0])
    tp, fp, taken = [0] * 3, [0] * 3, set()
    precision, recall = [[] for _ in NAMES], [[] for _ in NAMES]  # type: ignore[var-annotated]
    for _, label, at in everything:
        if at >= 0 and at not in taken:
            tp[label] += 1
            taken.add(at)
        else:
            fp[label] += 1
        for k in range(3):
            precision[k].append(tp[k] / (tp[k] + fp[k]) if tp[k] + fp[k] else 0.0)
            recall[k].append(tp[k] / counts[k] if counts[k] else 0.0)
    values = []
    for p, r in zip(precision, recall, strict=True):
        if points:
            levels = [i / (points - 1) for i in range(points)]
            values.append(
                sum(max([a for a, b in zip(p, r, strict=True) if b >= level], default=0.0) for level in levels) / points
            )
            continue
        last_r, last_p, total = r[-1], p[-1], 0.0
        for rank in range(len(p) - 2, -1, -1):
            delta, last_r = last_r - r[rank], r[rank]
            last_p = max(last_p, p[rank])
            total += delta * last_p
        values.append(total + last_r * last_p)
    return values


@pytest.mark.parametrize("seed", range(5))
def test_darknet_map_equals_darknets_loops(seed: int) -> None:
    pairs = random_pairs(seed)
    result = darknet_map(pairs, 3, iou=0.5)
    rules: tuple[tuple[Rule, int], ...] = (("area", 0), ("points11", 11), ("points101", 101))
    for rule, points in rules:
        assert [getattr(c, rule) for c in result.classes] == pytest.approx(area_in_c(pairs, 0.5, points)), rule
        assert result.mean_ap(rule) == pytest.approx(np.mean(area_in_c(pairs, 0.5, points)))


def counts_in_c(pairs: list[tuple[ImageAnnotation, Detections]], iou: float, threshold: float) -> tuple[list[int], ...]:
    """detector.c:1105-1180, the true and false detections over a score, and the summed IoU of the true ones."""
    true, false, overlap = [0] * 3, [0] * 3, [0.0] * 3
    for truth, detections in pairs:
        earlier: list[int] = []
        for one in detections:
            best, at = 0.0, -1
            for j, box in enumerate(truth.boxes):
                share = iou_in_c(one.box, box)
                if not truth.ignored[j] and truth.classes[j] == one.class_id and share > max(iou, best):
                    best, at = share, j
            if one.score > threshold:
                if at >= 0 and at not in earlier:
                    true[one.class_id] += 1
                    overlap[one.class_id] += best
                else:
                    false[one.class_id] += 1
            earlier.append(at)
    return true, false, overlap  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_darknet_counts_equal_darknets_loops(seed: int, threshold: float) -> None:
    random = np.random.RandomState(seed)
    pairs = []
    for true, detections in random_pairs(seed):
        shuffled = [detections[i] for i in random.permutation(len(detections))]
        ignored = replace(true, ignored=random.rand(len(true.classes)) < 0.3)
        pairs.append((ignored, Detections(shuffled, width=200, height=100)))
    result = darknet_map(pairs, 3, iou=0.5, score_threshold=threshold)
    true_positives, false_positives, overlap = counts_in_c(pairs, 0.5, threshold)
    assert sum(false_positives) > 0 < sum(true_positives)
    assert [c.darknet.true_positives for c in result.classes] == true_positives
    assert [c.darknet.false_positives for c in result.classes] == false_positives
    assert [c.darknet.overlap for c in result.classes] == pytest.approx(overlap, rel=1e-5)


def counts(result: ClassResult) -> tuple[tuple[int, int, int], ...]:
    return tuple((way.objects, way.true_positives, way.false_positives) for way in (result.darknet, result.by_score))


def test_darknet_map_counts_matches_per_class() -> None:
    box, far = (0.5, 0.5, 0.2, 0.2), (0.1, 0.1, 0.1, 0.1)
    pair = (truth([(0, box), (1, far)]), found([(0, 0.9, box), (0, 0.8, box), (0, 0.1, far), (2, 0.7, box)]))
    result = darknet_map([pair], 3, score_threshold=0.25)
    assert [counts(c)[0] for c in result.classes] == [(1, 1, 1), (1, 0, 0), (0, 0, 1)]
    assert result.darknet == result.by_score
    assert result.darknet.precision == pytest.approx(1 / 3)
    assert result.darknet.recall == 0.5
    assert result.darknet.mean_iou == pytest.approx(1 / 3)
    assert result.darknet.false_negatives == 1
    assert result.mean_ap("area") == pytest.approx(1 / 3)
    assert result.mean_ap("area", occurring=True) == 0.5


def test_darknet_counts_lose_an_object_behind_an_earlier_lower_score() -> None:
    box = (0.5, 0.5, 0.2, 0.2)
    detections = found([(0, 0.9, box), (0, 0.01, box)])
    pairs = [(truth([(0, box)]), Detections(reversed(detections), width=200, height=100))]
    result = darknet_map(pairs, 3, score_threshold=0.25)
    assert counts(result.classes[0]) == ((1, 0, 1), (1, 1, 0))
    assert result.classes[0].area == 1


def test_darknet_counts_take_scores_and_overlaps_as_float32() -> None:
    box = (0.5, 0.5, 0.2, 0.2)
    score = float(np.float32(0.05))  # over 0.05 in double precision
    result = darknet_map([(truth([(0, box)]), found([(0, score, box)]))], 3, score_threshold=0.05)
    assert counts(result.classes[0]) == ((1, 0, 0), (1, 0, 0))


def test_darknet_map_counts_detections_of_difficult_objects_as_darknet_does() -> None:
    box = (0.5, 0.5, 0.2, 0.2)
    result = darknet_map([(truth([(0, box)], ignored=(True,)), found([(0, 0.9, box)]))], 3)
    assert counts(result.classes[0]) == ((0, 0, 1), (0, 0, 0))
    other = truth([(0, box), (0, (0.1, 0.1, 0.1, 0.1))], ignored=(True, False))
    result = darknet_map([(other, found([(0, 0.9, box), (0, 0.8, (0.1, 0.1, 0.1, 0.1))]))], 3)
    assert counts(result.classes[0]) == ((1, 1, 1), (1, 1, 0))
    assert result.classes[0].area == 1


def test_darknet_map_of_selected_classes_ignores_the_others() -> None:
    box, far = (0.5, 0.5, 0.2, 0.2), (0.1, 0.1, 0.1, 0.1)
    result = darknet_map([(truth([(0, box), (2, far)]), found([(0, 0.9, box)]))], 3, selected=(0,))
    assert [counts(c) for c in result.classes] == [((1, 1, 0), (1, 1, 0))]
    assert result.mean_ap("area") == 1


def test_darknet_map_of_nothing_is_zero() -> None:
    for pairs in ([], [(truth([]), found([]))]):
        result = darknet_map(pairs, 3)
        assert [counts(c)[0] for c in result.classes] == [(0, 0, 0)] * 3
        assert (result.mean_ap("area"), result.darknet.f1, result.by_score.mean_iou) == (0, 0, 0)


def test_coco_map_of_known_boxes_has_expected_ap() -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools: pip install 'darkparse[evaluate]'")
    box = (0.5, 0.5, 0.2, 0.2)
    true = truth([(0, box), (1, (0.2, 0.2, 0.1, 0.1))])
    numbers = coco_map(Annotations((true,), (1, 2, 3)), [(true, found([(0, 0.9, box)]))])
    assert numbers["AP"] == pytest.approx(0.5, abs=1e-3)
    assert numbers["AR100"] == pytest.approx(0.5, abs=1e-3)
    assert coco_map(Annotations((true,), (1, 2, 3)), [(true, found([]))])["AP"] == 0


VOC = """<annotation><size><width>200</width><height>100</height></size>
<object><name>dog</name><difficult>{hard}</difficult>
<bndbox><xmin>21</xmin><ymin>11</ymin><xmax>61</xmax><ymax>31</ymax></bndbox></object>
<object><name>car</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>"""


def test_read_annotations_of_three_formats_agree(tmp_path: Path) -> None:
    images, voc, labels = (tmp_path / name for name in ("images", "voc", "labels"))
    for folder in (images, voc, labels):
        folder.mkdir()
    Image.fromarray(picture(0, 100, 200)).save(images / "7.png")
    (voc / "7.xml").write_text(VOC.format(hard=0), "utf-8")
    (labels / "7.txt").write_text("1 0.2 0.2 0.2 0.2\n", "utf-8")
    categories = [{"id": 30, "name": "cat"}, {"id": 20, "name": "dog"}]
    objects = [{"id": 1, "image_id": 5, "category_id": 20, "bbox": [20, 10, 40, 20], "area": 800, "iscrowd": 0}]
    data = {
        "images": [{"id": 5, "file_name": "7.png", "width": 200, "height": 100}],
        "annotations": objects,
        "categories": categories,
    }
    (tmp_path / "coco.json").write_text(json.dumps(data), "utf-8")
    for path in (voc, labels, tmp_path / "coco.json"):
        (one,) = read_annotations(path, images, NAMES).truths
        assert one.image == images / "7.png"
        assert one.classes.tolist() == [1]
        assert one.boxes[0].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.2], abs=1e-6)
        assert one.bboxes[0].tolist() == pytest.approx([20, 10, 40, 20], abs=1e-4)
    assert read_annotations(tmp_path / "coco.json", images, NAMES).categories[:2] == (30, 20)
    (voc / "7.xml").write_text(VOC.format(hard=1), "utf-8")
    assert read_annotations(voc, images, NAMES).truths[0].ignored.tolist() == [True]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{}", "not a COCO file"),
        ("a.json", "no", "not a COCO file"),
        ("l/7.txt", "dog 1 2 3 4\n", "7.txt:1: invalid label, got"),
        ("l/7.txt", "9 .1 .1 .1 .1\n", "7.txt:1: unknown class 9; expected 0 to 2"),
        ("l/7.txt", "1 .1 .1 .1 .1\n1 300 200 100 80\n", "7.txt:2: invalid box, got"),
        ("l/7.txt", "1 nan .1 .1 .1\n", "7.txt:1: invalid label, got"),
        ("l/7.txt", "1 .1 .1 .2 .1 .2 .3 .1 .3\n", "7.txt:1: invalid label, got"),
        ("l/7.xml", "<annotation>", "not a VOC annotation"),
        ("l/8.xml", VOC, "no .xml file has the name of an image"),
        ("l/readme.md", "", "expected VOC .xml files or Darknet .txt labels"),
    ],
)
def test_read_annotations_of_broken_file_names_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "images" / "7.png")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    with pytest.raises(darkparse.DarkparseError, match=message):
        read_annotations(path if path.suffix == ".json" else path.parent, tmp_path / "images", NAMES)


def test_read_annotations_reports_skipped_images(tmp_path: Path) -> None:
    images, voc, labels = (tmp_path / name for name in ("images", "voc", "labels"))
    for folder in (images, voc, labels):
        folder.mkdir()
    for number in (7, 8):
        Image.fromarray(picture(0, 100, 200)).save(images / f"{number}.png")
    (labels / "7.txt").write_text("1 0.2 0.2 0.2 0.2\n", "utf-8")
    (labels / "classes.txt").write_text("dog\n", "utf-8")
    found = read_annotations(labels, images, NAMES)
    assert [(one.image.name, len(one.classes)) for one in found.truths] == [("7.png", 1), ("8.png", 0)]
    assert found.warnings == (
        "1 of 2 images have no .txt file, so they count as images without objects, as in Darknet",
    )
    (voc / "7.xml").write_text(VOC.format(hard=0), "utf-8")
    found = read_annotations(voc, images, NAMES)
    assert len(found.truths) == 1
    assert found.warnings == (
        "1 of 2 images have no .xml file, skipped",
        "skipped classes that the network does not have: car (1)",
    )
    objects = [
        {"id": i, "image_id": 5, "category_id": i, "bbox": [20, 10, 40, 20], "area": 800, "iscrowd": 0} for i in (1, 2)
    ]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "car"}]
    pictures = [{"id": 5, "file_name": "7.png", "width": 200, "height": 100}]
    (tmp_path / "coco.json").write_text(
        json.dumps({"images": pictures, "annotations": objects, "categories": categories}), "utf-8"
    )
    found = read_annotations(tmp_path / "coco.json", images, NAMES)
    assert found.warnings == ("skipped classes that the network does not have: car (1)",)
    assert found.truths[0].classes.tolist() == [NAMES.index("dog")]


@pytest.mark.slow
def test_evaluate_command_prints_both_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools: pip install 'darkparse[evaluate]'")
    cfg, weights = tiny_weights(tmp_path)
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    detector = darkparse.Detector.load(cfg, weights)
    for number in range(3):
        Image.fromarray(picture(number)).save(images / f"{number}.png")
        best = detector.detect(images / f"{number}.png")[0]
        (labels / f"{number}.txt").write_text(f"{best.class_id} {' '.join(map(str, best.box))}\n", "utf-8")
    arguments = ["evaluate", str(cfg), str(weights), "--images", str(images), "--annotations", str(labels)]
    main([*arguments, "--json"])
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["images"] == 3
    assert numbers["darknet"]["recall"] == 1
    assert 0 < numbers["darknet"]["map_area"] <= 1
    assert numbers["coco"]["AP50"] > 0
    main(arguments)
    text = capsys.readouterr().out
    assert "COCO metrics" in text
    for name, counts in (("as Darknet counts", numbers["darknet"]), ("by score", numbers["darknet"]["by_score"])):
        (line,) = (line for line in text.splitlines() if line.startswith(name))
        true, false, missed = (counts[f"{kind}s"] for kind in ("true_positive", "false_positive", "false_negative"))
        assert f"TP {true}, FP {false}, FN {missed}, precision {counts['precision']:.2f}" in line
        assert true + missed == sum(one["objects"] for one in numbers["darknet"]["classes"])
    (images / "1.png").write_bytes(b"?")
    with pytest.raises(SystemExit):  # a broken picture is left out, whatever its label says
        main([*arguments, "--rule", "darknet"])
    assert "1 of 3 images could not be read" in capsys.readouterr().err
    (images / "1.png").unlink()
    main([*arguments, "--rule", "darknet"])
    assert f"1 of 3 .txt files have no image in {images}, skipped" in capsys.readouterr().err.replace("\n", " ")
    with pytest.raises(SystemExit) as stop:
        main([*arguments[:-1], str(tmp_path / "none")])
    assert stop.value.code == 2


def test_read_annotations_matches_images_by_path_before_name(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "val")):
        for kind in ("images", "labels"):
            (tmp_path / kind / part).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / part / "1.png")
        (tmp_path / "labels" / part / "1.txt").write_text(f"{number} .5 .5 .1 .1\n")
    annotations = read_annotations(tmp_path / "labels", tmp_path / "images", ["a", "b"])
    assert [truth.image.parent.name for truth in annotations.truths] == ["train", "val"]
    (tmp_path / "labels" / "val" / "1.txt").rename(tmp_path / "labels" / "1.txt")
    with pytest.raises(darkparse.DarkparseError, match="2 images have this name"):
        read_annotations(tmp_path / "labels", tmp_path / "images", ["a", "b"])


def test_coco_map_of_file_without_optional_fields_adds_them(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools: pip install 'darkparse[evaluate]'")
    boxes = [[20.0, 10.0, 40.0, 20.0], [100.0, 30.0, 60.0, 40.0]]
    data = {
        "images": [{"id": 7, "file_name": "7.png", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 1, "bbox": box} for box in boxes],
    }
    (tmp_path / "coco.json").write_text(json.dumps(data), "utf-8")
    Image.new("RGB", (200, 100)).save(tmp_path / "7.png")
    annotations = read_annotations(tmp_path / "coco.json", tmp_path, NAMES)
    detections = found([(0, 0.9, (0.2, 0.2, 0.2, 0.2)), (0, 0.8, (0.65, 0.5, 0.3, 0.4))])
    metrics = coco_map(annotations, [(annotations.truths[0], detections)])
    expected = {"AP": 1, "AR1": 0.5, "AR100": 1, "AP small": 1, "AP medium": 1, "AP large": -1}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_coco_map_without_pycocotools_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(darkparse.DarkparseError, match="COCO's metrics require pycocotools"):
        coco_map(Annotations((), ()), [])
