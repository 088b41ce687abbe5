"""Annotated images: COCO JSON, Pascal VOC XML, Darknet labels."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.difficult import find_difficult_labels
from darkparse.datasets.image_files import Size, find_images, read_image_size
from darkparse.datasets.labels import Box, find_label, read_labels
from darkparse.datasets.sources import find_sources, locate_input
from darkparse.diagnostics.source import MAX_QUOTE_LENGTH, quote_safe, truncate
from darkparse.errors import DarkparseError
from darkparse.syntax.files import describe_error, read_bytes, read_text

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImageAnnotation:
    """The K annotated objects of an image."""

    image: Path
    image_id: int
    size: Size
    """Height and width in pixels."""
    boxes: Floats
    """(K, 4): center x, center y, width, height, as fractions of the image."""
    classes: NDArray[np.int64]
    """(K,): network class of each object."""
    ignored: NDArray[np.bool_]
    """(K,): whether a detector may miss the object: `difficult` in VOC, crowds in COCO."""

    @property
    def bboxes(self) -> Floats:
        """(K, 4): left, top, width, height in pixels."""
        scale = np.array([self.size[1], self.size[0]] * 2, np.float32)
        pixels = self.boxes * scale
        return np.concatenate((pixels[:, :2] - pixels[:, 2:] / 2, pixels[:, 2:]), 1)


@dataclass(frozen=True, slots=True)
class Annotations:
    """Annotated images and the source of their annotations."""

    truths: tuple[ImageAnnotation, ...]
    categories: tuple[int, ...]
    """Category ID of each network class in the annotations' own numbering."""
    coco: Path | None = None
    """Path of the COCO file, if that is the source."""
    warnings: tuple[str, ...] = ()
    """Messages about skipped annotations and images."""
    has_sizes: bool = True
    """Whether the image sizes come from the annotations rather than from the image files."""


def read_annotations(path: Path | None, images: Path, names: Sequence[str]) -> Annotations:
    """Read annotations and detect their format from the files; add the difficult objects of a `.data` file.

    Args:
        path: A COCO `.json` file, a directory of VOC `.xml` files or a directory of Darknet `.txt` labels. None: use
            the labels that `find_label` finds for each image.
        images: Directory of the images, list of them, or `.data` file whose `valid` names such a list.
        names: Class names of the network.

    Raises:
        DarkparseError: A file is missing or corrupt, or the classes do not match.
    """
    if not images.exists():
        raise DarkparseError(f"{images}: no such directory, list or .data file of images")
    annotations, labels = _read_format(path, images, names), find_difficult_labels(images)
    truths = (_add_difficult(truth, labels.get(locate_input(str(truth.image))), names) for truth in annotations.truths)
    return replace(annotations, truths=tuple(truths))


def _add_difficult(truth: ImageAnnotation, file: Path | None, names: Sequence[str]) -> ImageAnnotation:
    """Return an annotation with the objects of a label file added; a detector may miss these."""
    if file is None:
        return truth
    rows = [(label, box, True) for label, box, _ in _label_rows(file, names)]
    added = _build_annotation(truth.image, truth.image_id, truth.size, rows)
    columns: dict[str, Any] = {
        name: np.concatenate((getattr(truth, name), getattr(added, name))) for name in ("boxes", "classes", "ignored")
    }
    return replace(truth, **columns)


def _read_format(path: Path | None, images: Path, names: Sequence[str]) -> Annotations:
    if path is not None and path.is_file():
        if not images.is_dir():
            raise DarkparseError(f"{path}: a COCO file requires the directory of its images, got {images}")
        return _read_coco(path, images, names)
    if path is None:
        return _read_darknet(images, names)
    if not path.is_dir():
        raise DarkparseError(f"{path}: no such file or directory")
    for suffix, read_files in ((".xml", _read_voc), (".txt", _read_darknet_labels)):
        files = sorted(file for file in path.rglob(f"*{suffix}") if file.name != CLASSES_FILE and file.is_file())
        if files:
            image_files = _list_images(images)
            annotation_files = _pair_files(files, image_files, images)
            if not annotation_files:
                raise DarkparseError(f"{path}: no {suffix} file has the name of an image in {images}")
            warnings = []
            if len(annotation_files) < len(files):
                unmatched = len(files) - len(annotation_files)
                warnings.append(f"{unmatched} of {len(files)} {suffix} files have no image in {images}, skipped")
            truths = read_files(annotation_files, image_files, names, warnings)
            return _build_annotations(truths, names, warnings, knows_sizes=read_files is _read_voc)
    raise DarkparseError(f"{path}: no annotations in the directory; expected VOC .xml files or Darknet .txt labels")


SLACK = 1e-3
"""Tolerance for boxes outside the image, as a fraction of its size, because labeling programs round."""

MAX_OVERHANG = 10.0
"""Largest plausible coordinate or side of a box, in multiples of the image size."""

MAX_SIDE = 10**6
"""Maximum height and width of an image in pixels."""

MAX_COCO_BYTES = 1 << 30
"""Maximum size of a COCO file; the file of COCO's 118,000 training images has 470 million bytes."""

CLASSES_FILE = "classes.txt"
"""List of class names that labeling programs store among the labels."""

Row = tuple[int, Box, bool]
"""An object: its class, its box as fractions of the image, and whether a detector may miss it."""


def _build_annotation(image: Path, number: int, size: Size, rows: list[Row]) -> ImageAnnotation:
    boxes = np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4)
    classes = np.array([c for c, _, _ in rows], np.int64)
    return ImageAnnotation(image, number, size, boxes, classes, np.array([i for _, _, i in rows], np.bool_))


def _read_coco(path: Path, images: Path, names: Sequence[str]) -> Annotations:
    data: Any = {}
    try:
        data = json.loads(read_text(path, MAX_COCO_BYTES))
        categories = sorted(data["categories"], key=lambda c: c["id"])
        images_data, objects = data["images"], data["annotations"]
        classes = _match_categories([c["name"] for c in categories], names, path)
        class_of = {c["id"]: k for c, k in zip(categories, classes, strict=True)}
        unknown_classes = Counter(
            c["name"]
            for annotation in objects
            for c in categories
            if c["id"] == annotation["category_id"] and class_of[c["id"]] is None
        )
        rows: dict[int, list[Row]] = {_check_id(image["id"]): [] for image in images_data}
        sizes = {p["id"]: _check_size(p["height"], p["width"], f"image {p['id']}") for p in images_data}
        for annotation in objects:
            label = class_of[annotation["category_id"]]
            box = _convert_coco_box(
                annotation["bbox"], sizes[annotation["image_id"]], f"annotation {quote_safe(str(annotation.get('id')))}"
            )
            if label is not None:
                rows[annotation["image_id"]].append((label, box, bool(annotation.get("iscrowd"))))
        truths = [
            _build_annotation(_resolve_image(images, p["file_name"]), p["id"], sizes[p["id"]], rows[p["id"]])
            for p in images_data
        ]
    except KeyError as problem:
        missing = quote_safe(str(problem.args[0]))
        raise DarkparseError(f"{path}: not a COCO file: {missing} is missing or undefined") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        reason = describe_error(problem) if isinstance(data, dict) else f"got {type(data).__name__}; expected an object"
        raise DarkparseError(f"{path}: not a COCO file: {truncate(reason)}") from None
    category_of = {k: c["id"] for c, k in zip(categories, classes, strict=True)}
    category_ids = tuple(category_of.get(k, -1 - k) for k in range(len(names)))
    return Annotations(tuple(truths), category_ids, path, warnings=tuple(_describe_unknown(unknown_classes)))


def _check_id(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"invalid id, got {quote_safe(str(value))}; expected an integer")
    return value


def _check_size(height: object, width: object, name: str) -> Size:
    """Return an image size; raise ValueError if it is invalid."""
    if not (type(height) is int and type(width) is int and 0 < min(height, width) <= max(height, width) <= MAX_SIDE):
        raise ValueError(
            f"invalid size of {name}, got {quote_safe(str(height))}×{quote_safe(str(width))}; expected "
            f"1 to {MAX_SIDE} pixels"
        )
    return height, width


def _convert_coco_box(box: Any, size: Size, name: str) -> Box:
    """Convert left, top, width and height in pixels to a center box in fractions of the image."""
    x, y, w, h = box if isinstance(box, list) and len(box) == 4 else (nan,) * 4
    if not all(type(number) in (int, float) for number in (x, y, w, h)):
        raise ValueError(f"invalid box of {name}, got {quote_safe(str(box))}; expected four numbers")
    height, width = size
    return _check_box(
        ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height), f"invalid box of {name}", str(box)
    )


def _check_box(box: Box, name: str, text: str) -> Box:
    """Return a box in fractions of the image; raise ValueError with its original `text` if it is invalid."""
    if not (all(-MAX_OVERHANG <= number <= MAX_OVERHANG for number in box) and all(number >= 0 for number in box[2:])):
        raise ValueError(
            f"{name}, got {quote_safe(text)}; expected finite numbers, a positive size and a place in or near the image"
        )
    return box


def _resolve_image(images: Path, name: str) -> Path:
    """Return an image's path inside the image directory; raise ValueError if it is outside."""
    path = Path(os.path.normpath(images / name))
    if not path.is_relative_to(os.path.normpath(images)) or "\0" in name:
        raise ValueError(f"file_name {quote_safe(name)} is outside the directory of images")
    return path


def _describe_unknown(unknown_classes: Counter[str]) -> list[str]:
    """Return a warning about objects of classes that the network does not have, if there are any."""
    if not unknown_classes:
        return []
    return [
        "skipped classes that the network does not have: "
        f"{', '.join(f'{name} ({count})' for name, count in unknown_classes.most_common())}"
    ]


def _match_categories(categories: list[str], names: Sequence[str], path: Path) -> list[int | None]:
    """Return the network class of each category, None if it has none.

    Categories match by name. If there are as many categories as classes and every category that matches a name has the
    same position, the others match by position: they differ only in spelling.
    """
    index = {name: i for i, name in enumerate(names)}
    if all(category in index for category in categories):
        return [index[category] for category in categories]
    if len(categories) == len(names) and all(index.get(category, i) == i for i, category in enumerate(categories)):
        return list(range(len(names)))
    if not any(category in index for category in categories):
        raise DarkparseError(
            f"{path}: none of {len(categories)} categories is one of the network's {len(names)} classes"
        )
    return [index.get(category) for category in categories]


def _list_images(images: Path) -> list[Path]:
    """List the images of a directory, a list or a `.data` file."""
    if images.is_dir():
        return find_images(images)
    return [source.path for source in find_sources([str(images)]) if not source.url and not source.is_video]


def _read_darknet(images: Path, names: Sequence[str]) -> Annotations:
    image_files, warnings = _list_images(images), list[str]()
    annotation_files = {image: label for image in image_files if (label := find_label(image)) is not None}
    if not annotation_files:
        raise DarkparseError(f"{images}: no .txt label next to an image or in a directory `labels`")
    return _build_annotations(
        _read_darknet_labels(annotation_files, image_files, names, warnings), names, warnings, knows_sizes=False
    )


def _build_annotations(
    truths: list[ImageAnnotation], names: Sequence[str], warnings: list[str], *, knows_sizes: bool
) -> Annotations:
    categories = tuple(range(1, len(names) + 1))
    return Annotations(tuple(truths), categories, warnings=tuple(warnings), has_sizes=knows_sizes)


def _pair_files(files: list[Path], image_files: list[Path], images: Path) -> dict[Path, Path]:
    """Map each image to the annotation file with the same relative path, or else with the same name.

    Raises:
        DarkparseError: Several images have the name and none has the same relative path.
    """
    folder = images if images.is_dir() else os.path.commonpath([path.parent for path in image_files])
    by_location = {path.relative_to(folder).with_suffix(""): path for path in image_files}
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in image_files:
        by_name[path.stem].append(path)
    root = Path(os.path.commonpath([file.parent for file in files]))
    annotation_files: dict[Path, Path] = {}
    for file in files:
        location = file.relative_to(root).with_suffix("")
        matches = [by_location[location]] if location in by_location else by_name[file.stem]
        if len(matches) > 1:
            raise DarkparseError(f"{file}: {len(matches)} images have this name, e.g. {matches[0]} and {matches[1]}")
        if matches:
            annotation_files[matches[0]] = file
    return annotation_files


def _read_voc(
    annotation_files: dict[Path, Path], image_files: list[Path], names: Sequence[str], warnings: list[str]
) -> list[ImageAnnotation]:
    index = {name: i for i, name in enumerate(names)}
    truths: list[ImageAnnotation] = []
    unknown_classes: Counter[str] = Counter()
    for image, file in annotation_files.items():
        try:
            root = ElementTree.fromstring(read_bytes(file))
            size = _check_size(int(_find_text(root, "size/height")), int(_find_text(root, "size/width")), "the image")
            unknown_classes.update(
                name for element in root.iter("object") if (name := _find_text(element, "name")) not in index
            )
            rows = [
                _convert_voc_object(element, size, index)
                for element in root.iter("object")
                if _find_text(element, "name") in index
            ]
        except (ElementTree.ParseError, ValueError, LookupError, OverflowError) as problem:
            raise DarkparseError(f"{file}: not a VOC annotation: {truncate(describe_error(problem))}") from None
        truths.append(_build_annotation(image, len(truths) + 1, size, rows))
    if len(annotation_files) < len(image_files):
        warnings.append(
            f"{len(image_files) - len(annotation_files)} of {len(image_files)} images have no .xml file, skipped"
        )
    warnings += _describe_unknown(unknown_classes)
    return truths


def _convert_voc_object(element: ElementTree.Element, size: Size, index: dict[str, int]) -> Row:
    """Convert a VOC object, whose pixel coordinates start at 1."""
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
    return (
        index[_find_text(element, "name")],
        _check_box(box, "invalid box", sides),
        element.findtext("difficult", "0").strip() == "1",
    )


def _find_text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"<{path}> is missing")
    return text.strip()


def _read_darknet_labels(
    annotation_files: dict[Path, Path], image_files: list[Path], names: Sequence[str], warnings: list[str]
) -> list[ImageAnnotation]:
    """Read Darknet labels, one file per image; an image without a file has no objects (data.c read_boxes)."""
    if len(annotation_files) < len(image_files):
        num_unlabeled = len(image_files) - len(annotation_files)
        warnings.append(
            f"{num_unlabeled} of {len(image_files)} images have no .txt file, so they count as images without "
            "objects, as in Darknet"
        )
    # Unreadable images are reported later, during detection.
    return [
        _build_annotation(
            image,
            number,
            read_image_size(image) or (1, 1),
            list(_label_rows(annotation_files[image], names)) if image in annotation_files else [],
        )
        for number, image in enumerate(image_files, start=1)
    ]


def _label_rows(file: Path, names: Sequence[str]) -> Iterator[Row]:
    """Yield the labels of an image; raise DarkparseError for an unknown class or a box outside the image."""
    for line, label, box in read_labels(file):
        x, y, w, h = box
        if not 0 <= label < len(names):
            raise DarkparseError(
                f"{file}:{line}: unknown class {truncate(str(label), MAX_QUOTE_LENGTH)}; expected 0 to {len(names) - 1}"
            )
        if not (-SLACK <= x <= 1 + SLACK and -SLACK <= y <= 1 + SLACK and 0 < w <= 1 + SLACK and 0 < h <= 1 + SLACK):
            text = quote_safe(f"{label} {x:g} {y:g} {w:g} {h:g}")
            message = f"invalid box, got {text}; expected center, width and height as fractions of the image"
            raise DarkparseError(f"{file}:{line}: {message}")
        yield label, box, False
