"""The list `difficult=` of a `.data` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse.datasets.annotations import read_annotations


def write_data(folder: Path, difficult: str) -> Path:
    """Write a data set of two images, each with one object, and a list of difficult labels."""
    (folder / "set").mkdir()
    (folder / "difficult").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "set" / f"{name}.png")
        (folder / "set" / f"{name}.txt").write_text("0 .5 .5 .2 .2\n")
    (folder / "difficult" / "b.txt").write_text("1 .25 .25 .1 .1\n")
    (folder / "valid.txt").write_text("set/a.png\nset/b.png\n")
    (folder / "difficult.txt").write_text(difficult)
    (folder / "names.txt").write_text("cat\ndog\n")
    data = folder / "x.data"
    data.write_text("classes=2\nvalid=valid.txt\nnames=names.txt\ndifficult=difficult.txt\n")
    return data


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in the list's directory", "elsewhere"])
def test_read_annotations_of_data_file_adds_difficult_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    data = write_data(tmp_path, "difficult/a.png\ndifficult/b.png\n")
    if not elsewhere:
        monkeypatch.chdir(tmp_path)
    first, second = read_annotations(None, data, ["cat", "dog"]).truths
    assert (first.classes.tolist(), first.ignored.tolist()) == ([0], [False])
    assert (second.classes.tolist(), second.ignored.tolist()) == ([0, 1], [False, True])
    assert second.boxes[1].tolist() == pytest.approx([0.25, 0.25, 0.1, 0.1])


def test_read_annotations_of_a_list_ignores_difficult(tmp_path: Path) -> None:
    write_data(tmp_path, "difficult/a.png\ndifficult/b.png\n")
    truths = read_annotations(None, tmp_path / "valid.txt", ["cat", "dog"]).truths
    assert [len(truth.classes) for truth in truths] == [1, 1]


@pytest.mark.parametrize(
    ("difficult", "message"),
    [
        ("difficult/a.png\n", r"difficult.txt lists 1 images; expected 2, one for each image of valid"),
        ("difficult/a.png\nwrong/b.png\n", r"b.txt:1: unknown class 7"),
    ],
)
def test_read_annotations_with_wrong_difficult_list_raises(tmp_path: Path, difficult: str, message: str) -> None:
    data = write_data(tmp_path, difficult)
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "b.txt").write_text("7 .25 .25 .1 .1\n")
    with pytest.raises(darkparse.DarkparseError, match=message):
        read_annotations(None, data, ["cat", "dog"])


def test_read_annotations_with_missing_difficult_list_names_its_line(tmp_path: Path) -> None:
    data = write_data(tmp_path, "")
    (tmp_path / "difficult.txt").unlink()
    with pytest.raises(darkparse.DarkparseError, match=r"x.data:4:11: difficult = "):
        read_annotations(None, data, ["cat", "dog"])
