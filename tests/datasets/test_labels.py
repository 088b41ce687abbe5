"""Darknet's workflow: labels written and read back, lists and .data files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

import darkparse
from darkparse.datasets.annotations import read_annotations
from darkparse.datasets.labels import find_label
from darkparse.detect.batch.labels import save_labels
from tests.conftest import ROOT
from tests.detect.reference import TINY, picture, tiny_weights
from tests.detect.test_command import run

SIZE = (48, 64)


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, str]:
    cfg, weights = tiny_weights(tmp_path)
    return str(cfg), str(weights)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "set" / "images"
    for number in range(3):
        path = folder / "ab"[number > 1] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, *SIZE)).save(path)
    return folder


@pytest.mark.parametrize(
    ("form", "within", "pictures"),
    [
        pytest.param("yolo", 1e-4, True, id="yolo beside the drawings"),
        pytest.param("voc", 1.01 / 48, False, id="voc without drawings"),
        pytest.param("yolo", 1e-4, False, id="yolo without drawings", marks=pytest.mark.slow),
        pytest.param("voc", 1.01 / 48, True, id="voc beside the drawings", marks=pytest.mark.slow),
    ],
)
def test_saved_labels_are_read_back_as_annotations(
    model: tuple[str, str], images: Path, tmp_path: Path, form: str, within: float, pictures: bool
) -> None:
    detector, out = darkparse.Detector.load(*model), tmp_path / "out"
    how = [] if pictures else ["--no-images"]
    assert run("detect", *model, images, "--out", out, "--save", form, *how) == 0
    truths = {one.image: one for one in read_annotations(out, images, detector.names).truths}
    assert len(truths) == 3
    for path, truth in truths.items():
        every = detector.detect(path)
        best = {one.box: one for one in reversed(every)}
        found = every if form == "voc" else [one for one in every if best[one.box] is one]
        assert len(found) > 1
        assert truth.classes.tolist() == [one.class_id for one in found]
        edges = np.array([one.xyxy for one in found]) / ([*SIZE[::-1]] * 2)
        read = np.concatenate(
            (truth.boxes[:, :2] - truth.boxes[:, 2:] / 2, truth.boxes[:, :2] + truth.boxes[:, 2:] / 2), 1
        )
        assert np.abs(read.clip(0, 1) - edges).max() <= within
        assert (path.parent.name == "b") == (out / "b" / path.name).with_suffix(
            ".txt" if form == "yolo" else ".xml"
        ).exists()


def test_save_labels_writes_darknets_line(tmp_path: Path) -> None:
    inside = {"class_id": 1, "name": "dog", "score": 0.9, "box": [0.5, 0.25, 0.123456, 0.4], "xyxy": [0, 0, 0, 0]}
    again = inside | {"class_id": 0, "score": 0.5}
    beyond = inside | {"class_id": 2, "box": [0.4, 0.5, 1.2, 0.5], "xyxy": [0, 25, 200, 75]}
    record = {"image": "shots/7.png", "width": 200, "height": 100, "detections": [inside, again, beyond]}
    save_labels(lambda: iter([record, record | {"image": "b.mp4", "frame": 3, "drawing": "f/b.mp4"}]), "yolo", tmp_path)
    text = "1 0.5000 0.2500 0.1235 0.4000\n2 0.5000 0.5000 1.0000 0.5000\n"
    assert {p.name: p.read_text() for p in tmp_path.rglob("*.txt")} == {"7.txt": text, "b_000003.txt": text}


@pytest.mark.slow
def test_detect_and_evaluate_accept_lists_and_data_files(
    model: tuple[str, str],
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, labels = tmp_path / "out", images.parent / "labels"
    assert run("detect", *model, images, "--out", out, "--save", "yolo") == 0
    for number in range(3):
        target = labels / "ab"[number > 1] / f"{number}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((out / "ab"[number > 1] / f"{number}.txt").read_bytes())
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set" / "valid.txt").write_text("set/images/a/0.png\nset/images/b/2.png\n")
    (tmp_path / "set" / "obj.names").write_text("cow\nhen\n")
    (tmp_path / "set" / "obj.data").write_text("classes= 2\nvalid  = set/valid.txt\nnames = set/obj.names\n")
    measured = []
    for where in (["set/images"], ["set/valid.txt"], ["set/obj.data"], ["set/obj.data", "--annotations", "set/labels"]):
        assert run("evaluate", *model, "--images", *where, "--rule", "darknet", "--json") == 0
        measured.append(json.loads(capsys.readouterr().out))
    assert [one["images"] for one in measured] == [3, 2, 2, 2]
    assert measured[1]["darknet"]["recall"] == measured[0]["darknet"]["recall"] == 1
    assert measured[2] == measured[3]
    assert [one["name"] for one in measured[2]["darknet"]["classes"]] == ["cow", "hen"]
    assert run("detect", *model, "set/obj.data") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["set/images/a/0.png:", "set/images/b/2.png:"]
    assert {line.split(":")[0].strip() for line in lines if line.startswith(" ")} <= {"cow", "hen"}
    for wrong, message in (("set/none.txt", "does not exist"), ("out/detections.jsonl", "label")):
        assert run("evaluate", *model, "--images", wrong) == 2
        assert message in capsys.readouterr().err
    assert run("evaluate", *model, "--images", "set/valid.txt", "--annotations", "set/obj.data") == 2
    assert "a COCO file requires the directory of its images" in capsys.readouterr().err.replace("\n", " ")


def test_find_label_searches_where_darknet_looks(tmp_path: Path) -> None:
    picture = tmp_path / "images" / "set" / "JPEGImages" / "1.jpg"
    far = tmp_path / "images" / "set" / "labels" / "1.txt"
    far.parent.mkdir(parents=True)
    picture.parent.mkdir(parents=True)
    assert find_label(picture) is None
    for path in (far, picture.with_suffix(".txt")):
        path.touch()
        assert find_label(picture) == path


PAGE = (ROOT / "docs" / "darknet.md").read_text("utf-8")


def test_darknet_page_names_existing_commands_and_options() -> None:
    import click

    from darkparse.cli.main import darkparse as program

    shown = re.findall(r"`darkparse (\w+) ([^`]*)`", PAGE)
    assert len(shown) > 8
    for name, rest in shown:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        known = {option for one in command.params for option in one.opts}
        assert set(re.findall(r"(?<= )--?[a-z]+", f" {rest}")) <= known, name


def test_darknet_page_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.replace('load("shapes", "shapes.weights")', "load(cfg, weights)")  # of a small network
    rescale, denormalize = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    cfg = TINY.replace("size=3\n", "size=3\nbatch_normalize=1\n")
    for text, name in ((TINY, "plain.weights"), (cfg, "c.weights")):
        darkparse.save_weights(darkparse.build(text, initialize=True), name)
    known: dict[str, Any] = {"darkparse": darkparse, "torch": torch, "re": re}

    exec(rescale, known | {"cfg": TINY, "weights": "plain.weights"})
    x = torch.rand(1, 3, 32, 32)
    old, new = (darkparse.load(TINY, name).layers[0] for name in ("plain.weights", "out.weights"))
    within = (..., slice(1, None), slice(1, None))  # padding is 0, whatever 0 stands for
    assert torch.allclose(old(x * 2 - 1)[within], new(x.flip(1))[within], atol=1e-5)

    exec(denormalize, made := known | {"cfg": cfg, "weights": "c.weights"})
    assert not any("norm" in key for key in made["plain"].state_dict())
    assert torch.allclose(made["plain"].eval()(x)[0], darkparse.load(cfg, "c.weights")(x)[0], atol=1e-5)


def test_save_voc_names_image_and_its_size(tmp_path: Path) -> None:
    record = {"image": "shots/7.png", "width": 200, "height": 100, "detections": []}
    save_labels(lambda: iter([record]), "voc", tmp_path)
    (path,) = tmp_path.rglob("*.xml")
    root = ElementTree.fromstring(path.read_text("utf-8"))
    found = {name: root.findtext(name) for name in ("filename", "size/width", "size/height", "size/depth")}
    assert found == {"filename": "7.png", "size/width": "200", "size/height": "100", "size/depth": "3"}


@pytest.mark.parametrize(
    ("drawing", "images", "names"),
    [
        ({}, ("a/b/1.png", "a/c/2.png"), ["b/1.txt", "c/2.txt"]),
        ({}, ("a/b/1.png", "a/b/2.png"), ["1.txt", "2.txt"]),
        ({"drawing": "x/y.png"}, ("a/b/1.png",), ["x/y.txt"]),
    ],
)
def test_labels_lie_as_drawings_or_as_images_below_their_common_folder(
    drawing: dict[str, str], images: tuple[str, ...], names: list[str], tmp_path: Path
) -> None:
    size = {"width": 200, "height": 100, "detections": []}
    save_labels(lambda: iter([{"image": image} | size | drawing for image in images]), "yolo", tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt")) == names
