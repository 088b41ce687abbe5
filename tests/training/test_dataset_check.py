"""A data set with faults is told each of them and no other; a sound one nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkparse.cli import main
from darkparse.datasets import DataFile
from darkparse.datasets.formats import open_dataset
from darkparse.diagnostics.codes import DATA_CODES
from darkparse.layers import DIALECTS
from darkparse.network import compile
from darkparse.training.data import dataset_check
from darkparse.training.data.dataset_check import check_data

CFG = """[net]
batch=2
width=32
height=32
channels=3
{net}
[convolutional]
filters=7
size=1
activation=linear
[yolo]
classes=2
num=1
mask=0
anchors=4,4
"""
SOUND = "0 .5 .5 .3 .3\n1 .25 .75 .5 .5\n"


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def plant(folder: Path) -> None:
    """Eight pictures to train with, two to measure with, each with two objects."""
    for name in range(10):
        Image.new("RGB", (20, 10)).save(folder / f"{name}.png")
        write(folder / f"{name}.txt", SOUND)
    write(folder / "train.txt", "".join(f"{folder}/{i}.png\n" for i in range(8)))
    write(folder / "valid.txt", "".join(f"{folder}/{i}.png\n" for i in (8, 9)))
    write(folder / "my.names", "cat\ndog\n")
    write(folder / "my.data", "classes = 2\ntrain = train.txt\nvalid = valid.txt\nnames = my.names\n")


def line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1 : number] = [text]
    write(path, "\n".join(lines))


def elsewhere(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "images").mkdir()
    (folder / "3.png").rename(folder / "images" / "3.png")
    (folder / "3.txt").rename(folder / "labels" / "3.txt")
    line(folder / "train.txt", 4, f"{folder}/images/3.png")


# For every code what is done to the sound set, and where it is told.
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "data-file": (
        lambda f: line(f / "my.data", 3, "valid = none.txt"),
        "my.data:3:9: error: valid = 'none.txt': no such",
    ),
    "class-names": (
        lambda f: write(f / "my.names", "cat\n"),
        "my.data:1:11: error: 1 from names =, 2 from classes =, 2 from",
    ),
    "no-image": (
        lambda f: (f / "1.png").unlink(),
        "train.txt:2:1: error: 1 of 10 images: the image does not exist",
    ),
    "bad-image": (
        lambda f: write(f / "1.png", "no"),
        "train.txt:2:1: error: 1 of 10 images: the file is not an image",
    ),
    "no-label": (lambda f: (f / "9.txt").unlink(), "valid.txt:2:1: warning: 1 of 10 images ("),
    "label-elsewhere": (elsewhere, "train.txt:4:1: error: 1 of 10 images ("),
    "label-line": (
        lambda f: write(f / "5.txt", SOUND + "0 .5 .5\n"),
        "5.txt:3:1: error: 1 of 10 images: a line of a label file",
    ),
    "label-class": (
        lambda f: write(f / "5.txt", SOUND + "2 .5 .5 .1 .1\n"),
        "5.txt:3:1: error: 1 of 21 objects: the class",
    ),
    "box-outside": (lambda f: write(f / "6.txt", "0 .9 .5 .3 .3\n"), "6.txt:1:1: warning: 1 of 19 objects: the box "),
    "box-size": (
        lambda f: write(f / "6.txt", SOUND + "1 .9 .5 0 .3"),
        "6.txt:3:1: warning: 1 of 21 objects: the width",
    ),
    "box-tiny": (
        lambda f: write(f / "6.txt", SOUND + "1 .9 .5 .03 .3"),
        "6.txt:3:1: warning: 1 of 21 objects: the box ",
    ),
    "no-object": (
        lambda f: [(f / f"{i}.txt").write_text("") for i in range(8)],
        "train.txt:1:1: error: 1 of 1 list: the labels of the list",
    ),
    "overlap": (
        lambda f: line(f / "valid.txt", 1, f"{f}/2.png"),
        "valid.txt:1:1: warning: 1 of 10 images: the image is in both",
    ),
}


def test_check_of_correct_data_set_finds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(tmp_path)
    write(tmp_path / "my.cfg", CFG.format(net=""))
    with pytest.raises(SystemExit) as stop:
        main(["check", str(tmp_path / "my.data"), str(tmp_path / "my.cfg"), "--strict", "--dialect", "alexeyab"])
    assert stop.value.code == 0
    pictures = "10 images (not decoded; --decode finds truncated ones)"
    held = f"{pictures}, 20 objects, label paths of AlexeyAB/darknet"
    assert capsys.readouterr().out == f"{tmp_path}/my.data: 0 errors, 0 warnings; {held}\n"


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "ppm"])
def test_check_decode_finds_truncated_image(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    plant(tmp_path)
    path = tmp_path / f"5.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    line(tmp_path / "train.txt", 6, str(path))
    check = ("check", str(tmp_path / "my.data"), "--dialect", "alexeyab")
    assert _status(*check, "--decode") == 0
    assert "10 images, 20 objects" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert _status(*check) == 0
    assert "10 images (not decoded; --decode finds truncated ones), " in capsys.readouterr().out
    assert _status(*check, "--decode", "--format", "json") == 2
    (told,) = json.loads(capsys.readouterr().out)["datasets"]
    assert told["decoded"]
    (finding,) = told["findings"]
    assert (finding["code"], finding["line"]) == ("bad-image", 6)
    assert finding["message"].startswith(f"1 of 10 images ({path}: ")


def _status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.parametrize("code", FAULTS)
def test_check_data_reports_planted_fault_alone(code: str, tmp_path: Path) -> None:
    plant(tmp_path)
    make, told = FAULTS[code]
    make(tmp_path)
    network = compile(CFG.format(net=""), dialect="alexeyab")
    found = check_data(DataFile.read(tmp_path / "my.data"), network=network).diagnostics
    assert [one.code for one in found] == [code]
    assert str(found[0]).startswith(f"{tmp_path}/{told}")


def test_check_reports_all_planted_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(tmp_path)
    together = FAULTS.keys() - {"no-object", "data-file", "no-image", "label-line", "box-size", "box-outside"}
    for code in sorted(together):
        FAULTS[code][0](tmp_path)
    (tmp_path / "0.png").unlink()
    write(tmp_path / "7.txt", "0 .9 .5 .3 .3\n0 .1\n0 .5 .5 .2 0\n" * 5)
    write(tmp_path / "my.cfg", CFG.format(net="policy=sig"))
    with pytest.raises(SystemExit) as stop:
        main(["check", f"{tmp_path}/my.data", f"{tmp_path}/my.cfg", "--format", "json", "--dialect", "alexeyab"])
    assert stop.value.code == 2
    document = json.loads(capsys.readouterr().out)
    (cfg,), (data,) = document["cfgs"], document["datasets"]
    assert [one["code"] for one in cfg["findings"]] == ["training"]
    assert {one["code"] for one in data["findings"]} == FAULTS.keys() - {"no-object", "data-file"}
    outside = next(one for one in data["findings"] if one["code"] == "box-outside")
    assert outside["message"].startswith("5 of ")
    assert outside["file"] == f"{tmp_path}/7.txt"
    assert [note["line"] for note in outside["notes"]] == [4, 7]


def test_findings_equal_golden_text(
    tmp_path: Path, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All findings with their counts, places, details and further places."""
    monkeypatch.chdir(tmp_path)
    folder = Path()
    plant(folder)
    together = FAULTS.keys() - {"no-object", "data-file", "no-image", "label-line", "box-size", "box-outside"}
    for code in sorted(together):
        FAULTS[code][0](folder)
    Path("0.png").unlink()
    write(Path("7.txt"), "0 .9 .5 .3 .3\n0 .1\n0 .5 .5 .2 0\n" * 5)
    network = compile(CFG.format(net="max_batches=10"), dialect="alexeyab")
    report = check_data(DataFile.read("my.data"), network=network)
    totals = f"{report.images} images, {report.objects} objects\n"
    golden("dataset_check.txt", totals + "".join(f"{one}\n" for one in report.diagnostics))


BOXES: list[tuple[tuple[float, ...], str | None]] = [
    ((0.5, 0.5, 1, 1), None), ((0.5, 0.5, 1.019, 1.019), None), ((0.5, 0.5, 1.03, 1), "box-outside"),
    ((0.5, 0.5, 1, 1.03), "box-outside"), ((0.1, 0.5, 0.2, 1), None), ((0.09, 0.5, 0.22, 1), "box-outside"),
    ((0.5, 0.91, 1, 0.22), "box-outside"), ((0.5, 0.9, 1, 0.2), None), ((0.9, 0.5, 0.219, 1), None),
    ((0, 0.5, 0.01, 0.1), "box-outside"), ((0.5, 0, 0.1, 0.01), "box-outside"), ((0.001, 0.5, 0.1, 0.1), "box-outside"),
    ((1, 1, 0.01, 0.01), "box-tiny"), ((1.001, 0.5, 0.01, 0.1), "box-outside"), ((0.5, 1.001, 0.1, 0), "box-size"),
    ((0.5, 1.001, 0.1, 0.01), "box-outside"),
    ((0.5, 0.5, 0, 0.1), "box-size"), ((0.5, 0.5, 0.1, 0), "box-size"), ((0.5, 0.5, -0.1, 0.1), "box-size"),
    ((0.5, 0.5, 0.125, 0.0625), None), ((0.5, 0.5, 0.124, 0.1), "box-tiny"), ((0.5, 0.5, 0.2, 0.0624), "box-tiny"),
    ((0.5, 0.5, 0.004, 0.005), "box-tiny"),
]  # fmt: skip


def test_box_is_reported_outside_without_size_or_below_a_pixel(tmp_path: Path) -> None:
    """The input has 8 columns and 16 rows; a hundredth of the image outside is due to rounding."""
    plant(tmp_path)
    cfg = CFG.format(net="").replace("width=32\nheight=32", "width=8\nheight=16")
    network = compile(cfg, dialect="alexeyab")
    for box, code in BOXES:
        write(tmp_path / "3.txt", f"0 {' '.join(map(str, box))}\n")
        without_network = [(None, None)] if code == "box-tiny" else []
        for net, expected in [(network, code), *without_network]:
            report = check_data(DataFile.read(tmp_path / "my.data"), DIALECTS["alexeyab"], net)
            assert [one.code for one in report.diagnostics] == ([expected] if expected else []), box
            assert report.objects == 19


@pytest.mark.parametrize(("number", "classes", "is_reported"), [
    (-1, 2, True), (0, 2, False), (1, 2, False), (2, 2, True), (2, None, False), (-1, None, True),
])  # fmt: skip
def test_class_is_reported_outside_those_that_are_known(
    number: int, classes: int | None, is_reported: bool, tmp_path: Path
) -> None:
    plant(tmp_path)
    write(tmp_path / "3.txt", f"{number} .5 .5 .3 .3\n")
    write(tmp_path / "my.data", f"train = train.txt\n{f'classes = {classes}' if classes else ''}\n")
    report = check_data(DataFile.read(tmp_path / "my.data"), DIALECTS["alexeyab"])
    assert [one.code for one in report.diagnostics] == (["label-class"] if is_reported else [])
    assert (report.images, report.objects) == (8, 15)


@pytest.mark.parametrize(("options", "found"), [
    ("classes = 2\nnames = my.names", []), ("names = my.names", []), ("classes = 2", []), ("", []),
    ("classes = 3", ["my.data:3:11: error: 3 from classes =, 2 from"]),
    ("classes = 3\nnames = my.names", ["my.data:3:11: error: 2 from names =, 3 from classes =, 2 from"]),
    ("names = one.names", ["my.data:3:9: error: 1 from names =, 2 from"]),
    ("classes = x", ["my.data:3:11: error: classes must be an integer, got 'x'"]),
    ("names = no.names", ["my.data:3:9: error: names = 'no.names': no such file"]),
])  # fmt: skip
def test_numbers_of_classes_that_differ_are_reported_where_they_are(
    options: str, found: list[str], tmp_path: Path
) -> None:
    plant(tmp_path)
    write(tmp_path / "one.names", "cat\n")
    write(tmp_path / "my.data", f"train = train.txt\nvalid = valid.txt\n{options}\n")
    report = check_data(DataFile.read(tmp_path / "my.data"), network=compile(CFG.format(net=""), dialect="alexeyab"))
    texts = [str(one).removeprefix(f"{tmp_path}/") for one in report.diagnostics]
    assert len(texts) == len(found)
    assert all(text.startswith(start) for text, start in zip(texts, found, strict=True)), texts


@pytest.mark.parametrize(("max_batches", "end"), [(0, None), (500, 500)])
def test_length_of_training_is_reported_where_the_cfg_states_it(
    max_batches: int, end: int | None, tmp_path: Path
) -> None:
    plant(tmp_path)
    network = compile(CFG.format(net=f"max_batches={max_batches}"), dialect="alexeyab")
    report = check_data(DataFile.read(tmp_path / "my.data"), network=network)
    assert (report.length and report.length.end) == end
    assert check_data(DataFile.read(tmp_path / "my.data")).length is None
    invalid = compile(CFG.format(net="momentum=x"), dialect="alexeyab")
    assert [
        "momentum" in str(one) for one in check_data(DataFile.read(tmp_path / "my.data"), network=invalid).diagnostics
    ]
    write(tmp_path / "train.txt", "")
    assert check_data(DataFile.read(tmp_path / "my.data"), network=network).length is None


def test_check_data_of_binary_label_reports_line(tmp_path: Path) -> None:
    plant(tmp_path)
    (tmp_path / "4.txt").write_bytes(b"\xff\xfe0")
    write(tmp_path / "5.txt", "0 1e300 .5 .1 nan\n")
    found = check_data(DataFile.read(tmp_path / "my.data")).diagnostics
    assert [(one.code, len(one.notes)) for one in found] == [("label-line", 1)]
    assert found[0].message.startswith(
        f"2 of 10 images ({tmp_path}/4.txt: not a UTF-8 text file): a line of a label file"
    )


def test_check_data_missing_label_severity_follows_dialect(tmp_path: Path) -> None:
    plant(tmp_path)
    (tmp_path / "9.txt").unlink()
    for name, severity in (("pjreddie", "error"), ("alexeyab", "warning")):
        found = check_data(DataFile.read(tmp_path / "my.data"), DIALECTS[name]).diagnostics
        assert [(one.code, one.severity) for one in found] == [("no-label", severity)]


def test_check_data_of_classifier_reports_paths_without_one_label(tmp_path: Path) -> None:
    for name in ("cat1", "dog1", "cow", "catdog"):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    write(tmp_path / "list", "".join(f"{tmp_path}/{name}.png\n" for name in ("cat1", "dog1", "cow", "catdog")))
    write(tmp_path / "labels", "cat\ndog")
    write(tmp_path / "c.data", "classes=2\ntrain=list\nlabels=labels\n")
    checked = check_data(DataFile.read(tmp_path / "c.data"))
    assert [one.code for one in checked.diagnostics] == ["path-label"]
    assert checked.diagnostics[0].message.startswith("2 of 4 images (0 labels in it): the path of a classifier's image")


@pytest.mark.parametrize(("options", "codes"), [
    ("labels = two\n", []), ("labels = two\nnames = three\n", []), ("labels = three\nnames = two\n", ["class-names"]),
    ("labels = none\n", ["data-file", "path-label"]),
])  # fmt: skip
def test_check_data_of_classifier_compares_its_labels(options: str, codes: list[str], tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "cat1.png")
    write(tmp_path / "list", f"{tmp_path}/cat1.png\n" * 2)
    write(tmp_path / "two", "cat\ndog\n")
    write(tmp_path / "three", "cat\ndog\ncow\n")
    write(tmp_path / "c.data", f"classes=2\ntrain=list\n{options}")
    report = check_data(DataFile.read(tmp_path / "c.data"))
    assert [one.code for one in report.diagnostics] == codes
    assert (report.images, report.objects) == (2, 0)


def test_check_that_is_given_up_decodes_no_more_images(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []

    def decode(image: int) -> None:
        time.sleep(0.001)
        decoded.append(image)

    monkeypatch.setattr(dataset_check, "_decode", decode)
    images: Any = range(60)
    results = dataset_check._decode_all(images)
    next(results)
    results.close()  # type: ignore[attr-defined]
    before = len(decoded)
    time.sleep(0.01)
    assert 0 < len(decoded) == before < 60


def test_check_data_of_other_formats_names_the_image_of_an_object(tmp_path: Path) -> None:
    """All objects are in one file, whose line does not tell the image."""
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    boxes = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in ((1, [2, 2, 5, 5]), (2, [8, 8, 9, 9]))
    ]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 10, "height": 10}],
        "categories": [{"id": 1, "name": "cat"}], "annotations": boxes,
    }  # fmt: skip
    write(tmp_path / "train.json", json.dumps(document))
    (finding,) = check_data(open_dataset(tmp_path / "train.json")).diagnostics
    assert finding.code == "box-outside"
    assert finding.message.startswith(f"1 of 2 objects ({tmp_path}/")
    assert "a.png" in finding.message.partition(":")[0]


def test_check_data_chooses_dialect_that_finds_labels(tmp_path: Path) -> None:
    plant(tmp_path)
    assert check_data(DataFile.read(tmp_path / "my.data")).dialect.name == "pjreddie"
    (tmp_path / "images").mkdir()
    for i in range(10):
        for ending in ("png", "txt"):
            (tmp_path / f"{i}.{ending}").rename(tmp_path / "images" / f"{i}.{ending}")
    for name in ("train.txt", "valid.txt"):
        write(tmp_path / name, (tmp_path / name).read_text().replace(f"{tmp_path}/", f"{tmp_path}/images/"))
    checked = check_data(DataFile.read(tmp_path / "my.data"))
    assert (checked.dialect.name, checked.diagnostics) == ("alexeyab", [])


def test_planted_faults_cover_every_code() -> None:
    assert {*FAULTS, "path-label"} == DATA_CODES.keys()
