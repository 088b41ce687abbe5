"""COCO JSON files: images, categories and boxes, and the data set that one or two of them form."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

from darkparse.datasets.annotated_boxes import Row, check_box, check_size
from darkparse.datasets.dataset import Dataset, DatasetImage
from darkparse.datasets.image_files import Size
from darkparse.datasets.labels import Box, Label
from darkparse.diagnostics.source import Span, quote_safe, truncate
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import Dialect
from darkparse.syntax.files import describe_error, is_file, read_text

MAX_COCO_BYTES = 1 << 30
"""Maximum size of a COCO file; the file of COCO's 118,000 training images has 470 million bytes."""

TRAIN_WORDS, VALID_WORDS = ("train", "training"), ("valid", "val", "validation", "test")
"""Words in the name of a split's file or directory."""
SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join((*TRAIN_WORDS, *VALID_WORDS))})(?![a-z])")
SPLIT_FOLDER = re.compile(rf"({'|'.join((*TRAIN_WORDS, *VALID_WORDS))})[0-9]*")
NUM_TRIED = 10
"""Number of images of which one must be in the directory of images."""


class CocoImage(NamedTuple):
    """An image of a COCO file; classes of its rows are positions in the file's categories."""

    name: str
    image_id: int
    size: Size
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class CocoFile:
    """Contents of a COCO file.

    Attributes:
        path: The file.
        categories: ID and name of each category, in ascending order of the IDs.
        images: The images with their objects.
    """

    path: Path
    categories: tuple[tuple[int, str], ...]
    images: tuple[CocoImage, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.categories)


def read_coco(path: Path) -> CocoFile:
    """Read a COCO file; raise DarkparseError if it cannot be read or is invalid.

    Categories without objects that others name as their supercategory (Roboflow) are left out.
    """
    data: Any = {}
    try:
        data = json.loads(read_text(path, MAX_COCO_BYTES))
        objects, categories = data["annotations"], _list_categories(data)
        position = {identity: number for number, (identity, _) in enumerate(categories)}
        rows: dict[int, list[Row]] = {_check_id(image["id"]): [] for image in data["images"]}
        sizes = {p["id"]: check_size(p["height"], p["width"], f"image {p['id']}") for p in data["images"]}
        for annotation in objects:
            box = _convert_box(
                annotation["bbox"], sizes[annotation["image_id"]], f"annotation {quote_safe(str(annotation.get('id')))}"
            )
            row = (position[annotation["category_id"]], box, bool(annotation.get("iscrowd")))
            rows[annotation["image_id"]].append(row)
        images = tuple(
            CocoImage(_check_name(p["file_name"]), p["id"], sizes[p["id"]], tuple(rows[p["id"]]))
            for p in data["images"]
        )
    except KeyError as problem:
        missing = quote_safe(str(problem.args[0]))
        raise DarkparseError(f"{path}: not a COCO file: {missing} is missing or undefined") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        reason = describe_error(problem) if isinstance(data, dict) else f"got {type(data).__name__}; expected an object"
        raise DarkparseError(f"{path}: not a COCO file: {truncate(reason)}") from None
    return CocoFile(path, categories, images)


def _list_categories(data: Any) -> tuple[tuple[int, str], ...]:
    """Return ID and name of each category; raise ValueError, TypeError or KeyError if one is invalid."""
    used = {annotation["category_id"] for annotation in data["annotations"]}
    parents = {(c.get("supercategory"), c["name"]) for c in data["categories"]}
    names = {parent for parent, child in parents if parent != child}
    found = [(_check_id(c["id"]), _check_name(c["name"])) for c in data["categories"]]
    selected = [(identity, name) for identity, name in sorted(found) if identity in used or name not in names]
    return tuple(selected or sorted(found))


def _check_id(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"invalid id, got {quote_safe(str(value))}; expected an integer")
    return value


def _check_name(value: object) -> str:
    if type(value) is not str:
        raise ValueError(f"invalid name, got {quote_safe(str(value))}; expected a text")
    return value


def _convert_box(box: Any, size: Size, name: str) -> Box:
    """Convert left, top, width and height in pixels to a center box in fractions of the image."""
    x, y, w, h = box if isinstance(box, list) and len(box) == 4 else (nan,) * 4
    if not all(type(number) in (int, float) for number in (x, y, w, h)):
        raise ValueError(f"invalid box of {name}, got {quote_safe(str(box))}; expected four numbers")
    height, width = size
    return check_box(
        ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height), f"invalid box of {name}", str(box)
    )


def resolve_image(path: Path, images: Path, name: str) -> Path:
    """Return an image's path inside the image directory; raise DarkparseError if it is outside.

    Args:
        path: The COCO file.
        images: Directory of its images.
        name: Name of the image in the file.
    """
    image = Path(os.path.normpath(images / name))
    if not image.is_relative_to(os.path.normpath(images)) or "\0" in name:
        reason = f"file_name {quote_safe(name)} is outside the directory of images"
        raise DarkparseError(f"{path}: not a COCO file: {reason}")
    return image


@dataclass(frozen=True)
class CocoDataset(Dataset):
    """A COCO file, and the file of the other split beside it.

    The word `train`, `valid`, `val` or `test` in the name of the file, or else of its directory, decides which split it
    is; a file without one is `train`. Crowds are not trained.

    Attributes:
        files: The file of each split.
    """

    path: Path
    files: Mapping[str, Path]
    options: Mapping[str, Span] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> CocoDataset:
        """Find the splits that belong to a COCO file."""
        return cls(path, _find_splits(path))

    @property
    def keys(self) -> AbstractSet[str]:
        return {*self.files, "names"}

    @cached_property
    def _contents(self) -> dict[str, CocoFile]:
        return {}

    def contents(self, key: str) -> CocoFile:
        """Return the file of a split; raise DarkparseError if it is missing or invalid."""
        if key not in self._contents:
            self._contents[key] = read_coco(self.file(key))
        return self._contents[key]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return self.contents(next(key for key in ("train", "valid") if key in self.files)).names

    def file(self, key: str) -> Path:
        if key not in self.files:
            words = " or ".join(TRAIN_WORDS if key == "train" else VALID_WORDS)
            message = f"no COCO file of the split '{key}' beside it; expected {words} in its name"
            raise DarkparseError(f"{self.path}: {message}")
        return self.files[key]

    def images(self, key: str, dialect: Dialect, limit: int | None = None) -> list[DatasetImage]:
        file, folder = self.contents(key), self.find_folder(key)
        classes = [self._find_class(name, file) for name in file.names]
        images = [(image, resolve_image(file.path, folder, image.name)) for image in islice(file.images, limit)]
        return [DatasetImage(str(path), str(file.path), 0, _list_objects(image, classes)) for image, path in images]

    def _find_class(self, name: str, file: CocoFile) -> int:
        if name not in self.names:
            raise DarkparseError(f"{file.path}: category {quote_safe(name)} is missing in {self.file('train')}")
        return self.names.index(name)

    def find_folder(self, key: str) -> Path:
        """Return the directory of a split's images: the first usual one that has some of them."""
        file, path = self.contents(key), self.file(key)
        split = re.sub(r"^instances_", "", path.stem)
        subfolders = ("", "images", split, f"images/{split}", f"{split}/images")
        folders = [root / name for root in (path.parent, path.parent.parent) for name in subfolders]
        names = [image.name for image in file.images[:NUM_TRIED] if "\0" not in image.name]
        return next((folder for folder in folders if any(is_file(folder / name) for name in names)), path.parent)


def _list_objects(image: CocoImage, classes: list[int]) -> tuple[Label, ...]:
    return tuple(Label(0, classes[number], box) for number, box, is_crowd in image.rows if not is_crowd)


def _find_splits(path: Path) -> dict[str, Path]:
    """Return the file of each split, by the words in their names."""
    folder = path.absolute().parent
    in_name, in_folder = SPLIT_WORD.search(path.stem), SPLIT_FOLDER.fullmatch(folder.name)
    match = in_name or in_folder
    if match is None:
        return {"train": path}
    key, other, words = ("train", "valid", VALID_WORDS) if match[1] in TRAIN_WORDS else ("valid", "train", TRAIN_WORDS)
    siblings = [match.string[: match.start(1)] + word + match.string[match.end(1) :] for word in words]
    places = [
        path.with_name(f"{name}{path.suffix}") if in_name else folder.with_name(name) / path.name for name in siblings
    ]
    place = next(filter(is_file, places), None)
    return {key: path} if place is None else {key: path, other: place}
