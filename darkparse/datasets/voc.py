"""Pascal VOC XML files, and the data set that a directory of them forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from darkparse.datasets.annotated_boxes import check_box, check_size
from darkparse.datasets.coco import TRAIN_WORDS, VALID_WORDS
from darkparse.datasets.data_file import read_lines
from darkparse.datasets.dataset import Dataset, DatasetImage
from darkparse.datasets.image_files import Size, find_images
from darkparse.datasets.labels import Box, Label
from darkparse.diagnostics.source import Span, truncate
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import Dialect
from darkparse.syntax.files import describe_error, is_file, read_bytes

ANNOTATION_FOLDERS = ("Annotations", "annotations")
IMAGE_FOLDERS = ("JPEGImages", "images")
IMAGE_SETS = Path("ImageSets", "Main")
SET_PAIRS = (("trainval", "test"), ("train", "val"))
"""Lists of images for training and validation; the first pair that exists counts."""


class VocObject(NamedTuple):
    """An object of an image."""

    name: str
    box: Box
    is_difficult: bool


class VocImage(NamedTuple):
    """Contents of a VOC file."""

    file_name: str
    size: Size
    objects: tuple[VocObject, ...]


def read_voc(file: Path) -> VocImage:
    """Read a VOC file; raise DarkparseError if it cannot be read or is invalid."""
    try:
        root = ElementTree.fromstring(read_bytes(file))
        size = check_size(int(_find_text(root, "size/height")), int(_find_text(root, "size/width")), "the image")
        objects = tuple(_read_object(element, size) for element in root.iter("object"))
    except (ElementTree.ParseError, ValueError, LookupError, OverflowError) as problem:
        raise DarkparseError(f"{file}: not a VOC annotation: {truncate(describe_error(problem))}") from None
    return VocImage(root.findtext("filename", "").strip(), size, objects)


def _read_object(element: ElementTree.Element, size: Size) -> VocObject:
    """Convert an object, whose pixel coordinates start at 1."""
    left, top, right, bottom = (float(_find_text(element, f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
    height, width = size
    # scripts/voc_label.py convert
    box = (
        ((left + right) / 2 - 1) / width,
        ((top + bottom) / 2 - 1) / height,
        (right - left) / width,
        (bottom - top) / height,
    )
    sides = f"{left:g}, {top:g}, {right:g}, {bottom:g}"
    return VocObject(
        _find_text(element, "name"),
        check_box(box, "invalid box", sides),
        element.findtext("difficult", "0").strip() == "1",
    )


def _find_text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"<{path}> is missing")
    return text.strip()


@dataclass(frozen=True)
class VocDataset(Dataset):
    """A directory of VOC files, with images beside them, in `JPEGImages` or in `images`.

    Splits are the lists in `ImageSets/Main`, or the directories `train` and `valid`, `val` or `test`; without them all
    files are `train`. Classes are the names of all objects, in alphabetical order. Difficult objects are not trained
    (scripts/voc_label.py).

    Attributes:
        splits: The annotation files of each split.
    """

    path: Path
    splits: Mapping[str, tuple[Path, ...]]
    options: Mapping[str, Span] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> VocDataset | None:
        """Find the annotation files of a directory; return None if it has none."""
        splits = {key: tuple(files) for key, files in _find_splits(path).items() if files}
        return cls(path, splits) if splits else None

    @property
    def keys(self) -> AbstractSet[str]:
        return {*self.splits, "names"}

    @cached_property
    def contents(self) -> dict[Path, VocImage]:
        """Contents of each annotation file. Raises DarkparseError if one is invalid."""
        return {file: read_voc(file) for files in self.splits.values() for file in files}

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({one.name for image in self.contents.values() for one in image.objects}))

    def file(self, key: str) -> Path:
        if key not in self.splits:
            expected = "ImageSets/Main/train.txt" if key == "train" else "ImageSets/Main/val.txt or a directory valid"
            raise DarkparseError(f"{self.path}: no VOC files of the split '{key}'; expected {expected}")
        return self.path

    def images(self, key: str, dialect: Dialect, limit: int | None = None) -> list[DatasetImage]:
        self.file(key)
        number = {name: position for position, name in enumerate(self.names)}
        found = []
        for file in islice(self.splits[key], limit):
            content = self.contents[file]
            objects = tuple(Label(0, number[one.name], one.box) for one in content.objects if not one.is_difficult)
            found.append(DatasetImage(str(self.find_image(file)), str(file), 0, objects))
        return found

    def find_image(self, file: Path) -> Path:
        """Return the image of an annotation file, or where it should be."""
        name = Path(self.contents[file].file_name or f"{file.stem}.jpg").name
        found = (images.get(file.stem) for images in self._images(file))
        return next((image for image in found if image is not None), self._image_folder(file) / name)

    def _images(self, file: Path) -> Iterator[Mapping[str, Path]]:
        for folder in (file.parent, *(self.path / name for name in IMAGE_FOLDERS)):
            if folder not in self._listed:
                self._listed[folder] = {path.stem: path for path in find_images(folder)} if folder.is_dir() else {}
            yield self._listed[folder]

    @cached_property
    def _listed(self) -> dict[Path, dict[str, Path]]:
        """Images of each directory by their stem."""
        return {}

    def _image_folder(self, file: Path) -> Path:
        return next((folder for name in IMAGE_FOLDERS if (folder := self.path / name).is_dir()), file.parent)


def _find_splits(path: Path) -> dict[str, list[Path]]:
    """Return the annotation files of each split."""
    annotations = next((path / name for name in ANNOTATION_FOLDERS if (path / name).is_dir()), None)
    if annotations is not None:
        return _read_image_sets(path / IMAGE_SETS, annotations) or {"train": _list_files(annotations)}
    folders = {
        key: next((path / word for word in words if (path / word).is_dir()), None)
        for key, words in (("train", TRAIN_WORDS), ("valid", VALID_WORDS))
    }
    splits = {key: _list_files(folder) for key, folder in folders.items() if folder is not None}
    return splits if any(splits.values()) else {"train": sorted(path.glob("*.xml"))}


def _list_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.xml") if file.is_file())


def _read_image_sets(folder: Path, annotations: Path) -> dict[str, list[Path]]:
    """Return the annotation files that the lists name, whose lines are names of images without suffix."""
    for pair in SET_PAIRS:
        lists = {key: folder / f"{name}.txt" for key, name in zip(("train", "valid"), pair, strict=True)}
        if all(map(is_file, lists.values())):
            return {
                key: [annotations / f"{line.split()[0]}.xml" for line in read_lines(file) if line]
                for key, file in lists.items()
            }
    return {}
