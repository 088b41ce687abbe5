"""What `darkparse train` cannot use ends it in one line, before the first batch where that can be known."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from PIL import Image

import darkparse
from darkparse.cli import main
from darkparse.training import Trainer
from tests.training.small_network import trainer

CFG = """[net]
batch=4
subdivisions=2
width=32
height=32
channels=3
max_batches=2000

[convolutional]
filters=14
size=1
stride=8
activation=linear

[yolo]
mask=0,1
anchors=4,4, 10,10
classes=2
num=2
"""
CLASSIFIER = CFG.partition("[convolutional]")[0] + "[convolutional]\nfilters=2\nsize=1\n[avgpool]\n[softmax]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One image, with its label where both Darknets look."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save("0.png")
    for name, text in {
        "tiny.cfg": CFG,
        "0.txt": "0 .5 .5 .3 .3\n",
        "train.txt": "0.png\n",
        "a.names": "cat\ndog\n",
        "a.data": "train = train.txt\nnames = a.names\nbackup = backup\n",
    }.items():
        Path(name).write_text(text)
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return the error of a training that ends with status 2: its last line, and a hint after it."""
    with pytest.raises(SystemExit) as stop:
        main(["train", "a.data", "tiny.cfg", "--batches", "1", "--workers", "0", *options])
    assert stop.value.code == 2
    assert not Path("backup/tiny.backup").exists()
    lines = capsys.readouterr().err.splitlines()
    return "\n".join(lines[-2:] if lines[-1].startswith("hint: ") else lines[-1:])


@pytest.mark.parametrize("number", ["1" * 400, "1" * 5000, "-" + "1" * 40, "1e400", "0x1", "nan", str(10**6)])
def test_invalid_class_in_label_names_line(folder: Path, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("0.txt").write_text(f"0 .5 .5 .3 .3\n{number} .5 .5 .3 .3\n")
    assert fails(capsys).startswith("darkparse: error: 0.txt:2: invalid label, got '")


@pytest.mark.parametrize("seed", ["-1", "1e30", "1" + 30 * "0", str(2**63), "x", ""])
def test_seed_out_of_range_is_refused(folder: Path, seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "--seed", seed).startswith("Error: Invalid value for '--seed': ")


@pytest.mark.parametrize("device", ["foo", "meta", "", "cuda:x", "cuda:99", "hpu", "lazy", "xla:0", "cpu:-1", "9" * 30])
def test_device_that_cannot_compute_is_refused(folder: Path, device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "--device", device).startswith(f"darkparse: error: device {device.partition(':')[0]}")
    with pytest.raises(darkparse.DarkparseError, match=rf"device {device}: "):
        darkparse.load("tiny.cfg", device=device)


def test_name_with_nul_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.data").write_text("train = train.txt\nbackup = a\0b\n")
    assert fails(capsys) == "darkparse: error: a.data:2:10: invalid name backup = 'a?b'; it must not contain NUL"


def test_backup_that_is_a_file_is_reported_before_first_batch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("backup").write_text("")
    assert fails(capsys) == "darkparse: error: backup: File exists"


@pytest.mark.parametrize(("dialect", "image", "label", "told"), [
    ("alexeyab", "images/0.png", "labels/0.txt", "images/0.txt does not exist\nhint: use --dialect pjreddie, which "
                                                 "finds labels/0.txt"),
    ("pjreddie", "images/0.bmp", "images/0.txt", "labels/0.bmp does not exist\nhint: use --dialect alexeyab, which "
                                                 "finds images/0.txt"),
    ("alexeyab", "x/images/y/0.png", "x/labels/y/0.txt", "use --dialect pjreddie, which finds x/labels/y/0.txt"),
    ("pjreddie", "photos/0.jpeg", "labels/0.txt", "an empty file marks an image without objects"),
    ("pjreddie", "photos/0.bmp", "photos/0.txt", "use --dialect alexeyab, which finds photos/0.txt"),
    ("alexeyab", "0.png", "other.txt", "0.txt does not exist\nhint: an empty file marks an image without objects"),
])  # fmt: skip
def test_training_without_any_label_stops_before_first_batch(
    folder: Path, dialect: str, image: str, label: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, old in ((image, "0.png"), (label, "0.txt")):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(old).rename(name)
    Path("train.txt").write_text(f"{image}\n" * 3)
    line = fails(capsys, "--dialect", dialect)
    assert line.startswith("darkparse: error: train.txt: no label for the first 3 images: ")
    assert line.endswith(told)


@pytest.mark.parametrize(("labeled", "is_told"), [(49, True), (50, False), (100, False)])
def test_training_with_few_labels_warns(folder: Path, labeled: int, is_told: bool) -> None:
    Path("train.txt").write_text("0.png\n" * labeled + "1.png\n" * (100 - labeled) + "1.png\n" * 400)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        trainer(Path("a.data"), Path("tiny.cfg"))
    messages = [str(one.message) for one in found]
    told = "train.txt: 51 of the first 100 images have no label; `darkparse check` lists them"
    assert messages == ([told] if is_told else [])
    assert {Path(one.filename).name for one in found} <= {"small_network.py"}, "where the trainer is created"


def test_classifier_without_any_label_stops_before_first_batch(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tiny.cfg").write_text(CLASSIFIER)
    Path("a.data").write_text("train = train.txt\nlabels = a.names\nbackup = backup\n")
    error = "darkparse: error: train.txt: no path of the first 1 image contains a label of a.names"
    assert fails(capsys) == error
    Path("0.png").rename("cat.png")
    Path("train.txt").write_text("cat.png\n")
    assert isinstance(trainer(Path("a.data"), Path("tiny.cfg")), Trainer)
