"""`data.yaml` of ultralytics and Roboflow is read as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkparse.cli import main
from darkparse.datasets.formats import open_dataset
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import DIALECTS
from tests.training.small_network import cfg

image = pytest.importorskip("PIL.Image")
DIALECT = DIALECTS["alexeyab"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for part in ("train", "valid"):
        for kind in ("images", "labels"):
            (tmp_path / "set" / part / kind).mkdir(parents=True)
        for number in range(3):
            image.new("RGB", (64, 48), (80 * number, 9, 9)).save(f"set/{part}/images/{part}{number}.png")
            Path(f"set/{part}/labels/{part}{number}.txt").write_text("1 .5 .5 .4 .4\n0 .3 .3 .2 .2\n")
    return tmp_path


@pytest.mark.parametrize("text", [
    "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n",
    "path: set\ntrain: train/images\nval: valid/images\nnames:\n  0: cat\n  1: dog\n",
    "train: [train/images]  # one\nval: list.txt\nnames: [cat, dog]\n",
])  # fmt: skip
def test_data_yaml_of_each_layout_lists_images_labels_and_names(folder: Path, text: str) -> None:
    Path("set/data.yaml").write_text(text)
    Path("set/list.txt").write_text("".join(f"./valid/images/valid{n}.png\n" for n in range(3)))
    data = open_dataset("set/data.yaml")
    assert (data.names, data.count_classes(is_detector=True)) == (("cat", "dog"), 2)
    for key in ("train", "valid"):
        images = data.images(key, DIALECT)
        assert [Path(one.path).name for one in images] == [f"{key}{n}.png" for n in range(3)]
        assert all(Path(one.path).is_file() and Path(one.label).is_file() for one in images)


def test_commands_read_data_yaml(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("set/data.yaml").write_text("train: train/images\nval: valid/images\nnc: 2\nnames: [cat, dog]\n")
    path = str(cfg(folder, classes=2))
    main(["edit", path, "--data", "set/data.yaml", "--batches", "3", "--set", "batch=2", "-o", "my.cfg"])
    with pytest.raises(SystemExit) as stop:
        main(["check", "set/data.yaml", "my.cfg"])
    assert stop.value.code == 0
    assert "0 errors" in capsys.readouterr().out
    main(["anchors", "set/data.yaml", "--clusters", "2"])
    main(["train", "set/data.yaml", "my.cfg", "--batches", "2", "--workers", "0", "--map"])
    weights = "backup/my_last.weights"
    capsys.readouterr()
    main(["evaluate", "my.cfg", weights, "--images", "set/data.yaml", "--rule", "darknet"])
    out = capsys.readouterr().out
    assert "cat" in out
    assert "dog" in out


@pytest.mark.parametrize(("text", "message"), [
    ("[1, 2]", "expected a mapping with train, val and names, got a list"),
    ("a: [", "not valid YAML"),
    ("train: none\nnames: [a]\n", "train: 'none': no such directory or list beside data.yaml"),
    ("val: valid/images\nnames: [a]\n", "missing line 'train: …'"),
])  # fmt: skip
def test_bad_data_yaml_is_refused(folder: Path, text: str, message: str) -> None:
    Path("set/data.yaml").write_text(text)
    with pytest.raises(DarkparseError) as raised:
        open_dataset("set/data.yaml").images("train", DIALECT)
    assert message in str(raised.value)


@pytest.mark.parametrize("names", ["names: 3", "names: {1: a}", "names: []", "x: 1"])
def test_data_yaml_with_bad_names_is_refused(folder: Path, names: str) -> None:
    Path("set/data.yaml").write_text(f"train: train/images\n{names}\n")
    with pytest.raises(DarkparseError, match="names must be a list of class names"):
        _ = open_dataset("set/data.yaml").names
