"""Classes of a classifier's images, which stand in their paths."""

from __future__ import annotations

from pathlib import Path

import pytest

import darkparse
from darkparse.datasets.classified_images import (
    NO_CLASS,
    find_label_class,
    read_classified_images,
    read_path_labels,
)


def write_images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_find_label_class_returns_first_label_in_path() -> None:
    labels = ["cat", "dog", "catfish"]
    assert find_label_class("catfish/1.png", labels) == 0
    assert find_label_class("dog_and_catfish.png", labels) == 0
    assert find_label_class("dog.png", labels) == 1
    assert find_label_class("owl.png", labels) == NO_CLASS


def test_read_classified_images_of_directory_ignores_parents(tmp_path: Path) -> None:
    folder = tmp_path / "dogs" / "valid"
    write_images(folder, "cat/1.png", "dog/1.png", "owl/1.png")
    images = read_classified_images(folder, ["dog", "cat"])
    assert [(image.path.parent.name, image.label) for image in images] == [("cat", 1), ("dog", 0), ("owl", NO_CLASS)]


def test_read_classified_images_of_list_uses_the_path_as_written(tmp_path: Path) -> None:
    folder = tmp_path / "dogs"
    write_images(folder, "cat/1.png", "dog/1.png")
    (folder / "valid.txt").write_text("cat/1.png\ndog/1.png\ncat/1.png\n")
    (folder / "x.data").write_text("valid = valid.txt\n")
    for source in ("valid.txt", "x.data"):
        images = read_classified_images(folder / source, ["dog", "cat"])
        assert [image.label for image in images] == [1, 0, 1]
        assert all(image.path.is_file() for image in images)


def test_read_path_labels_prefers_labels_of_data_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("n01\nn02\n")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    data = tmp_path / "x.data"
    data.write_text("labels = labels.txt\nnames = names.txt\n")
    assert read_path_labels(data, ("a", "b")) == ("n01", "n02")
    data.write_text("names = names.txt\n")
    assert read_path_labels(data, ("a", "b")) == ("cat", "dog")
    assert read_path_labels(tmp_path, ("a", "b")) == ("a", "b")
    with pytest.raises(darkparse.DarkparseError, match=r"got 2 labels; expected 3"):
        read_path_labels(data, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "no images found"), (("owl/1.png",), r"no path of an image contains a label, got .*owl/1.png")],
)
def test_read_classified_images_without_labels_raises(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    write_images(tmp_path, *names)
    with pytest.raises(darkparse.DarkparseError, match=message):
        read_classified_images(tmp_path, ["dog", "cat"])
