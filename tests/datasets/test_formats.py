"""COCO JSON and VOC XML are read as data sets by every command that takes one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from darkparse.cli import main
from darkparse.datasets import open_dataset
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import DIALECTS
from tests.training.small_network import cfg

image = pytest.importorskip("PIL.Image")
DIALECT = DIALECTS["alexeyab"]
SIZE = (64, 48)
BOXES = {"dog": (16, 12, 32, 24), "cat": (4, 6, 12, 12)}
"""Left, top, width and height in pixels of the objects of each image."""


def _save(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new("RGB", SIZE, (80 * number, 9, 9)).save(path)
    return path


def _coco(names: list[str], supercategory: bool = False) -> dict[str, list[dict[str, object]]]:
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    if supercategory:  # as Roboflow writes it
        categories = [{"id": 0, "name": "pets"}, *(one | {"supercategory": "pets"} for one in categories)]
    ids = {str(one["name"]): one["id"] for one in categories}
    objects = [(number, name, box) for number in range(len(names)) for name, box in BOXES.items()]
    return {
        "images": [
            {"id": 10 + number, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for number, name in enumerate(names)
        ],
        "annotations": [
            {"id": i, "image_id": 10 + number, "category_id": ids[name], "bbox": list(box), "iscrowd": 0, "area": 9}
            for i, (number, name, box) in enumerate(objects)
        ],
        "categories": categories,
    }


def _voc(name: str, difficult: str = "0") -> str:
    objects = "".join(
        f"<object><name>{kind}</name><difficult>{difficult if kind == 'cat' else 0}</difficult><bndbox>"
        f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w + 1}</xmax><ymax>{y + h + 1}</ymax></bndbox></object>"
        for kind, (x, y, w, h) in BOXES.items()
    )
    size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></size>"
    return f"<annotation><filename>{name}</filename>{size}{objects}</annotation>"


def _make_coco(folder: Path) -> Path:
    for split in ("train", "val"):
        names = [_save(folder / f"{split}2017" / f"{split}{n}.png", n).name for n in range(3)]
        path = folder / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(_coco(names)))
    return folder / "annotations" / "instances_train2017.json"


def _make_roboflow_coco(folder: Path) -> Path:
    for split in ("train", "valid"):
        names = [_save(folder / split / f"{split}{n}.png", n).name for n in range(3)]
        (folder / split / "_annotations.coco.json").write_text(json.dumps(_coco(names, supercategory=True)))
    return folder / "train" / "_annotations.coco.json"


def _make_voc(folder: Path) -> Path:
    for kind in ("Annotations", "ImageSets/Main"):
        (folder / kind).mkdir(parents=True)
    for split in ("train", "val"):
        for number in range(3):
            name = _save(folder / "JPEGImages" / f"{split}{number}.png", number).name
            (folder / "Annotations" / f"{split}{number}.xml").write_text(_voc(name))
        (folder / "ImageSets/Main" / f"{split}.txt").write_text("".join(f"{split}{n}\n" for n in range(3)))
    return folder


def _make_roboflow_voc(folder: Path) -> Path:
    for split in ("train", "valid"):
        for number in range(3):
            path = _save(folder / split / f"{split}{number}.png", number)
            path.with_suffix(".xml").write_text(_voc(path.name))
    return folder


MAKERS = (_make_coco, _make_roboflow_coco, _make_voc, _make_roboflow_voc)


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("make", MAKERS)
def test_open_dataset_of_each_layout_lists_images_objects_and_names(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = open_dataset(make(tmp_path / "set"))
    assert (data.names, data.count_classes(is_detector=True)) == (("cat", "dog"), 2)
    assert set(data.keys) == {"train", "valid", "names"}
    for key, word in (("train", "train"), ("valid", "val")):
        images = data.images(key, DIALECT)
        assert [Path(one.path).name[: len(word)] for one in images] == [word] * 3
        for one in images:
            assert Path(one.path).is_file()
            boxes = {label.number: label.box for label in one.read_labels()}
            assert boxes[1] == pytest.approx((0.5, 0.5, 0.5, 0.5))
            assert boxes[0] == pytest.approx((10 / 64, 12 / 48, 12 / 64, 12 / 48))
    assert len(data.images("train", DIALECT, limit=2)) == 2


@pytest.mark.parametrize("make", MAKERS)
def test_commands_read_each_layout(
    tmp_path: Path, make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, base = str(make(tmp_path / "set")), str(cfg(tmp_path, classes=4))
    main(["edit", base, "--data", data, "--batches", "3", "--set", "batch=2", "-o", "my.cfg"])
    assert "classes=2" in Path("my.cfg").read_text()
    with pytest.raises(SystemExit) as stop:
        main(["check", data, "my.cfg"])
    out = capsys.readouterr().out
    assert stop.value.code == 0, out
    assert "6 images" in out
    assert "12 objects" in out
    assert "label paths" not in out
    main(["anchors", data, "--clusters", "2"])
    main(["train", data, "my.cfg", "--batches", "1", "--workers", "0", "--map", "--val-loss"])
    capsys.readouterr()
    main(["evaluate", "my.cfg", "backup/my_last.weights", "--images", data, "--rule", "darknet", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == 3
    assert [(one["name"], one["objects"]) for one in result["darknet"]["classes"]] == [("cat", 3), ("dog", 3)]


def test_crowds_and_difficult_objects_are_not_trained(tmp_path: Path) -> None:
    coco, voc = _make_coco(tmp_path / "coco"), _make_voc(tmp_path / "voc")
    values = json.loads(coco.read_text())
    values["annotations"][0]["iscrowd"] = 1
    coco.write_text(json.dumps(values))
    (voc / "Annotations" / "train0.xml").write_text(_voc("train0.png", difficult="1"))
    for path, left in ((coco, 0), (voc, 1)):
        first, second, _ = open_dataset(path).images("train", DIALECT)
        assert [label.number for label in first.read_labels()] == [left]
        assert len(second.read_labels()) == 2


def test_check_of_coco_and_voc_names_image_of_each_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco, voc = _make_coco(tmp_path / "coco"), _make_voc(tmp_path / "voc")
    values = json.loads(coco.read_text())
    values["annotations"][0]["bbox"] = [60, 10, 30, 10]
    coco.write_text(json.dumps(values))
    (tmp_path / "coco" / "train2017" / "train1.png").unlink()
    (voc / "JPEGImages" / "val2.png").unlink()
    with pytest.raises(SystemExit) as stop:
        main(["check", str(coco), str(voc), "--json"])
    assert stop.value.code == 2
    first, second = json.loads(capsys.readouterr().out)["datasets"]
    messages = {one["code"]: one["message"] for one in first["findings"]}
    assert set(messages) == {"box-outside", "no-image"}
    assert "train0.png" in messages["box-outside"]
    assert "train1.png" in messages["no-image"]
    assert ["val2.png" in one["message"] for one in second["findings"]] == [True]


@pytest.mark.parametrize(("text", "message"), [
    ("[1]", "not a COCO file: got list; expected an object"),
    ("{", "not a COCO file"),
    ('{"images": [], "annotations": [], "categories": [{"id": "a", "name": "b"}]}', "invalid id, got 'a'"),
    ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": 2}]}', "invalid name, got '2'"),
    ('{"images": [], "annotations": []}', "'categories' is missing"),
    ('{"images": [{"id": 1, "file_name": "../../a.png", "width": 9, "height": 9}], "annotations": [], "categories": '
     '[{"id": 1, "name": "b"}]}', "'../../a.png' is outside the directory of images"),
])  # fmt: skip
@pytest.mark.parametrize("words", ["check X", "train X my.cfg", "anchors X", "evaluate my.cfg my.weights --images X"])
def test_bad_coco_file_exits_2_with_one_error(
    tmp_path: Path, text: str, message: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import darkparse

    path = tmp_path / "train.json"
    path.write_text(text)
    cfg(tmp_path, name="my", classes=1)
    darkparse.save_weights(darkparse.build(darkparse.compile("my.cfg"), initialize=True), "my.weights")
    with pytest.raises(SystemExit) as stop:
        main(words.replace("X", str(path)).split())
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert message in (out + err).replace("\n", " ")


def test_bad_voc_file_and_missing_split_name_their_place(tmp_path: Path) -> None:
    voc = _make_voc(tmp_path / "voc")
    (voc / "Annotations" / "train1.xml").write_text("<annotation>")
    with pytest.raises(DarkparseError, match=r"train1\.xml: not a VOC annotation"):
        open_dataset(voc).images("train", DIALECT)
    (voc / "Annotations" / "train1.xml").unlink()
    with pytest.raises(DarkparseError, match=r"train1\.xml: No such file"):
        open_dataset(voc).images("train", DIALECT)
    lone = tmp_path / "lone.json"
    lone.write_text(json.dumps(_coco([])))
    with pytest.raises(DarkparseError, match="no COCO file of the split 'valid' beside it"):
        open_dataset(lone).images("valid", DIALECT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DarkparseError, match=r"no data set in this directory; expected VOC \.xml files"):
        open_dataset(tmp_path / "empty")
