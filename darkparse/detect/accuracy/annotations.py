"""Annotated pictures: COCO's JSON, Pascal VOC's XML, Darknet's own labels."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from darkparse.detect.images import find_images, pillow
from darkparse.detect.names import read_text
from darkparse.detect.preprocess import Floats, Size
from darkparse.syntax import DarkparseError


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a picture by those who annotated it; K objects."""

    image: Path
    image_id: int
    size: Size
    """Height and width in pixels."""
    boxes: Floats
    """(K, 4): centre x, y, width, height as fractions of the picture."""
    classes: NDArray[np.int64]
    """(K,): the network's class of each object."""
    ignored: NDArray[np.bool_]
    """(K,): objects that need not be found: `difficult` in VOC, crowds in COCO."""

    @property
    def bboxes(self) -> Floats:
        """(K, 4): left, top, width, height in pixels."""
        scale = np.array([self.size[1], self.size[0]] * 2, np.float32)
        pixels = self.boxes * scale
        return np.concatenate((pixels[:, :2] - pixels[:, 2:] / 2, pixels[:, 2:]), 1)


@dataclass(frozen=True, slots=True)
class Annotations:
    """Annotated pictures, and where they come from."""

    truths: tuple[Truth, ...]
    categories: tuple[int, ...]
    """The category of each of the network's classes, in the numbering of the annotations."""
    coco: Path | None = None
    """The file, if it is COCO's."""
    remarks: tuple[str, ...] = ()
    """What of the annotations or of the pictures was left out."""


def read_annotations(path: Path, images: Path, names: Sequence[str]) -> Annotations:
    """Read annotations; which kind they are is told by the files.

    Args:
        path: a COCO `.json` file, a folder of VOC `.xml` files, or a folder of Darknet's `.txt` labels.
        images: the folder of the pictures.
        names: the network's classes.

    Raises:
        DarkparseError: a file is missing or broken, or the classes do not fit.
    """
    if not images.is_dir():
        raise DarkparseError(f"{images}: no such folder of pictures")
    if path.is_file():
        return _coco(path, images, names)
    if not path.is_dir():
        raise DarkparseError(f"{path}: no such file or folder")
    for suffix, read in ((".xml", _voc), (".txt", _labels)):
        files = sorted(file for file in path.rglob(f"*{suffix}") if file.name != CLASSES)
        if files:
            pictures = find_images(images)
            paired = _paired(files, pictures, images)
            if not paired:
                raise DarkparseError(f"{path}: none of its {suffix} files has a picture of its name in {images}")
            remarks = []
            if len(paired) < len(files):
                remarks.append(
                    f"{len(files) - len(paired)} of {len(files)} {suffix} files have no picture in {images}: left out"
                )
            truths = read(paired, pictures, names, remarks)
            return Annotations(tuple(truths), tuple(range(1, len(names) + 1)), remarks=tuple(remarks))
    raise DarkparseError(f"{path}: neither VOC's .xml files nor Darknet's .txt labels in this folder")


SLACK = 1e-3
"""By so much a label may lie outside the picture: programs round."""

CLASSES = "classes.txt"
"""The list of names that programs for labelling leave among the labels."""

Row = tuple[int, Any, bool]
"""An object: its class, its box as fractions of the picture, and whether it need not be found."""


def _truth(image: Path, number: int, size: Size, rows: list[Row]) -> Truth:
    boxes = np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4)
    classes = np.array([c for c, _, _ in rows], np.int64)
    return Truth(image, number, size, boxes, classes, np.array([i for _, _, i in rows], np.bool_))


def _coco(path: Path, images: Path, names: Sequence[str]) -> Annotations:
    data: Any = {}
    try:
        data = json.loads(read_text(path))
        categories = sorted(data["categories"], key=lambda c: c["id"])
        pictures, objects = data["images"], data["annotations"]
        classes = _matched([c["name"] for c in categories], names, path)
        class_of = {c["id"]: k for c, k in zip(categories, classes, strict=True)}
        strange = Counter(
            c["name"]
            for one in objects
            for c in categories
            if c["id"] == one["category_id"] and class_of[c["id"]] is None
        )
        rows: dict[int, list[Row]] = {picture["id"]: [] for picture in pictures}
        sizes = {picture["id"]: (picture["height"], picture["width"]) for picture in pictures}
        for one in objects:
            x, y, w, h = one["bbox"]
            height, width = sizes[one["image_id"]]
            box = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            label = class_of[one["category_id"]]
            if label is not None:
                rows[one["image_id"]].append((label, box, bool(one.get("iscrowd"))))
        truths = [_truth(images / p["file_name"], p["id"], sizes[p["id"]], rows[p["id"]]) for p in pictures]
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as problem:
        reason = problem if isinstance(data, dict) else f"it holds a {type(data).__name__}, not an object"
        raise DarkparseError(f"{path}: not a COCO file: {reason}") from None
    except KeyError as problem:
        raise DarkparseError(f"{path}: not a COCO file: {problem} is missing, or named and never defined") from None
    category_of = {k: c["id"] for c, k in zip(categories, classes, strict=True)}
    known = tuple(category_of.get(k, -1 - k) for k in range(len(names)))
    return Annotations(tuple(truths), known, path, remarks=tuple(_left_out(strange)))


def _left_out(strange: Counter[str]) -> list[str]:
    """A remark about objects of classes that the network has not, if there are any."""
    if not strange:
        return []
    return [
        "no classes of the network, left out: "
        f"{', '.join(f'{name} ({count})' for name, count in strange.most_common())}"
    ]


def _matched(categories: list[str], names: Sequence[str], path: Path) -> list[int | None]:
    """The network's class of each category:
    by name, or in order where only the spelling differs and the numbers agree."""
    index = {name: i for i, name in enumerate(names)}
    if all(category in index for category in categories):
        return [index[category] for category in categories]
    if len(categories) == len(names) and all(index.get(category, i) == i for i, category in enumerate(categories)):
        return list(range(len(names)))
    if not any(category in index for category in categories):
        raise DarkparseError(
            f"{path}: none of its {len(categories)} categories is one of the network's {len(names)} classes"
        )
    return [index.get(category) for category in categories]


def _paired(files: list[Path], pictures: list[Path], images: Path) -> dict[Path, Path]:
    """The file of annotations of each picture that has one: at the same place in its folder, or else of the same name.

    Raises:
        DarkparseError: several pictures have the name, and none stands at the file's place.
    """
    at_place = {path.relative_to(images).with_suffix(""): path for path in pictures}
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in pictures:
        by_name[path.stem].append(path)
    root = Path(os.path.commonpath([file.parent for file in files]))
    paired: dict[Path, Path] = {}
    for file in files:
        place = file.relative_to(root).with_suffix("")
        named = [at_place[place]] if place in at_place else by_name[file.stem]
        if len(named) > 1:
            raise DarkparseError(f"{file}: {len(named)} pictures have this name, {named[0]} and {named[1]} among them")
        if named:
            paired[named[0]] = file
    return paired


def _voc(paired: dict[Path, Path], pictures: list[Path], names: Sequence[str], remarks: list[str]) -> list[Truth]:
    index = {name: i for i, name in enumerate(names)}
    truths: list[Truth] = []
    strange: Counter[str] = Counter()
    for picture, file in paired.items():
        try:
            root = ElementTree.fromstring(file.read_bytes())
            size = (int(_text(root, "size/height")), int(_text(root, "size/width")))
            strange.update(name for one in root.iter("object") if (name := _text(one, "name")) not in index)
            rows = [_voc_object(one, size, index) for one in root.iter("object") if _text(one, "name") in index]
        except (ElementTree.ParseError, ValueError, ZeroDivisionError) as problem:
            raise DarkparseError(f"{file}: not an annotation of VOC's: {problem}") from None
        truths.append(_truth(picture, len(truths) + 1, size, rows))
    if len(paired) < len(pictures):
        remarks.append(f"{len(pictures) - len(paired)} of {len(pictures)} pictures have no .xml file: left out")
    remarks += _left_out(strange)
    return truths


def _voc_object(one: ElementTree.Element, size: Size, index: dict[str, int]) -> Row:
    """VOC counts pixels from 1."""
    left, top, right, bottom = (float(_text(one, f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
    height, width = size
    # scripts/voc_label.py convert
    box = (
        ((left + right) / 2 - 1) / width,
        ((top + bottom) / 2 - 1) / height,
        (right - left) / width,
        (bottom - top) / height,
    )
    return index[_text(one, "name")], box, one.findtext("difficult", "0").strip() == "1"


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"<{path}> is missing")
    return text.strip()


def _labels(paired: dict[Path, Path], pictures: list[Path], names: Sequence[str], remarks: list[str]) -> list[Truth]:
    """Darknet's labels, a file a picture; a picture without one has no objects (data.c read_boxes)."""
    if len(paired) < len(pictures):
        bare = len(pictures) - len(paired)
        remarks.append(
            f"{bare} of {len(pictures)} pictures have no .txt file: taken to hold no object, as Darknet does"
        )
    return [
        _truth(picture, number, _size(picture), list(_label_rows(paired[picture], names)) if picture in paired else [])
        for number, picture in enumerate(pictures, start=1)
    ]


def _label_rows(file: Path, names: Sequence[str]) -> Iterator[Row]:
    """`class x y width height` a line, fractions of the picture."""
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        parts = line.split()
        if not parts:
            continue
        try:
            label, (x, y, w, h) = int(parts[0]), map(float, parts[1:])
        except ValueError:
            raise DarkparseError(
                f"{file}:{number}: a label's line is a class and four numbers, this is {line!r}"
            ) from None
        if not 0 <= label < len(names):
            raise DarkparseError(
                f"{file}:{number}: there is no class {label}; the network has classes 0 to {len(names) - 1}"
            )
        if not (-SLACK <= x <= 1 + SLACK and -SLACK <= y <= 1 + SLACK and 0 < w <= 1 + SLACK and 0 < h <= 1 + SLACK):
            raise DarkparseError(
                f"{file}:{number}: a box is its centre, width and height as fractions of the picture, this is {line!r}"
            )
        yield label, (x, y, w, h), False


def _size(picture: Path) -> Size:
    """Height and width, from the file's head; one that cannot be read is reported when it is to be detected in."""
    try:
        with pillow().open(picture) as opened:
            width, height = opened.size
    except (OSError, ValueError, SyntaxError):
        return 1, 1
    return height, width
