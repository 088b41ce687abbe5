"""Annotated images: COCO JSON, Pascal VOC XML, Darknet labels."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.annotated_boxes import Row
from darkparse.datasets.coco import CocoDataset, CocoFile, read_coco, resolve_image
from darkparse.datasets.difficult import find_difficult_labels
from darkparse.datasets.formats import is_dataset, open_dataset
from darkparse.datasets.image_files import Size, find_images, read_image_size
from darkparse.datasets.labels import find_label, read_labels
from darkparse.datasets.sources import find_sources, locate_input
from darkparse.datasets.voc import VocDataset, VocImage, read_voc
from darkparse.diagnostics.source import MAX_QUOTE_LENGTH, quote_safe, truncate
from darkparse.errors import DarkparseError

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
        images: Directory of the images, list of them, or data set whose `valid` counts.
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
        return _read_coco(read_coco(path), images, names)
    if path is None:
        return _read_dataset(images, names) or _read_darknet(images, names)
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

CLASSES_FILE = "classes.txt"
"""List of class names that labeling programs store among the labels."""


def _build_annotation(image: Path, number: int, size: Size, rows: list[Row]) -> ImageAnnotation:
    boxes = np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4)
    classes = np.array([c for c, _, _ in rows], np.int64)
    return ImageAnnotation(image, number, size, boxes, classes, np.array([i for _, _, i in rows], np.bool_))


def _read_coco(file: CocoFile, images: Path, names: Sequence[str]) -> Annotations:
    classes, unknown_classes = _match_categories(file.names, names, file.path), Counter[str]()
    truths = []
    for image in file.images:
        path, rows = resolve_image(file.path, images, image.name), list[Row]()
        for position, box, is_crowd in image.rows:
            if (label := classes[position]) is None:
                unknown_classes[file.names[position]] += 1
            else:
                rows.append((label, box, is_crowd))
        truths.append(_build_annotation(path, image.image_id, image.size, rows))
    category_of = {k: identity for (identity, _), k in zip(file.categories, classes, strict=True)}
    category_ids = tuple(category_of.get(k, -1 - k) for k in range(len(names)))
    return Annotations(tuple(truths), category_ids, file.path, warnings=tuple(_describe_unknown(unknown_classes)))


def _describe_unknown(unknown_classes: Counter[str]) -> list[str]:
    """Return a warning about objects of classes that the network does not have, if there are any."""
    if not unknown_classes:
        return []
    return [
        "skipped classes that the network does not have: "
        f"{', '.join(f'{name} ({count})' for name, count in unknown_classes.most_common())}"
    ]


def _match_categories(categories: Sequence[str], names: Sequence[str], path: Path) -> list[int | None]:
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


def _read_dataset(path: Path, names: Sequence[str]) -> Annotations | None:
    """Return the `valid` images of a COCO or VOC data set, or all of one without splits; None for other formats."""
    dataset = open_dataset(path) if is_dataset(path) else None
    key = "valid" if dataset is not None and "valid" in dataset.keys else "train"
    if isinstance(dataset, CocoDataset):
        return _read_coco(dataset.contents(key), dataset.find_folder(key), names)
    if isinstance(dataset, VocDataset):
        contents = {dataset.find_image(file): dataset.contents[file] for file in dataset.splits[key]}
        truths, unknown_classes = _convert_voc(contents, names)
        return _build_annotations(truths, names, _describe_unknown(unknown_classes), knows_sizes=True)
    return None


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
    contents = {image: read_voc(file) for image, file in annotation_files.items()}
    truths, unknown_classes = _convert_voc(contents, names)
    if len(annotation_files) < len(image_files):
        warnings.append(
            f"{len(image_files) - len(annotation_files)} of {len(image_files)} images have no .xml file, skipped"
        )
    warnings += _describe_unknown(unknown_classes)
    return truths


def _convert_voc(contents: Mapping[Path, VocImage], names: Sequence[str]) -> tuple[list[ImageAnnotation], Counter[str]]:
    """Return the annotation of each image, and the number of objects of each class that the network does not have."""
    index = {name: i for i, name in enumerate(names)}
    truths: list[ImageAnnotation] = []
    unknown_classes: Counter[str] = Counter()
    for number, (image, content) in enumerate(contents.items(), start=1):
        unknown_classes.update(one.name for one in content.objects if one.name not in index)
        rows = [(index[one.name], one.box, one.is_difficult) for one in content.objects if one.name in index]
        truths.append(_build_annotation(image, number, content.size, rows))
    return truths, unknown_classes


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
