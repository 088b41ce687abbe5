"""Detections as a COCO file with images, annotations and categories, which pycocotools and labeling tools load."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from darkparse._utils.files import atomic_write
from darkparse._version import __version__
from darkparse.datasets.urls import is_url
from darkparse.detect.batch.results import Record, coco_rows, find_image_id, get_coco_categories


def save_coco(records: Callable[[], Iterator[Record]], names: Sequence[str], target: Path) -> None:
    """Write a COCO file with integer IDs. Each frame of a video is an image.

    The ID of an image is the number at the end of its file name, as in COCO's own images. If these numbers are missing
    or not unique, images are numbered from 1. File names are relative to the directory that all images share.

    Args:
        records: Returns an iterator over the images.
        names: Class names.
        target: Output file.
    """
    ids = _number_images(records())
    categories = get_coco_categories(names) or tuple(range(len(names)))
    root = _find_root([record["image"] for record in records()])
    images = (_describe_image(record, image_id, root) for record, image_id in zip(records(), ids, strict=True))
    arrays = {
        "images": images,
        "annotations": _iter_annotations(zip(records(), ids, strict=True), categories),
        "categories": ({"id": number, "name": str(name)} for number, name in zip(categories, names, strict=True)),
    }
    # Readers open the file with the encoding of their locale, so it is plain ASCII.
    with atomic_write(target) as part, part.open("w", encoding="ascii", newline="") as file:
        file.write(json.dumps({"info": {"description": f"darkparse {__version__}"}, "licenses": []})[:-1])
        for key, items in arrays.items():
            file.write(f', "{key}": [')
            file.writelines(f"{',' * (i > 0)}\n{json.dumps(item)}" for i, item in enumerate(items))
            file.write("\n]")
        file.write("}\n")


def _number_images(records: Iterable[Record]) -> Sequence[int]:
    ids = [find_image_id(record["image"], record.get("frame")) for record in records]
    numbers = [number for number in ids if isinstance(number, int)]
    return numbers if len(set(numbers)) == len(ids) else range(1, len(ids) + 1)


def _find_root(images: Sequence[str]) -> str | None:
    """Return the directory that all images have in common; None if there are URLs, or no images."""
    if not images or any(map(is_url, images)):
        return None
    return os.path.commonpath([os.path.dirname(os.path.abspath(image)) for image in images])  # noqa: PTH100, PTH120


def _describe_image(record: Record, image_id: int, root: str | None) -> Record:
    name = record["image"] if root is None else Path(os.path.relpath(record["image"], root)).as_posix()
    image = {"id": image_id, "file_name": name, "width": record["width"], "height": record["height"]}
    return image | ({"frame": record["frame"]} if "frame" in record else {})


def _iter_annotations(numbered: Iterable[tuple[Record, int]], categories: tuple[int, ...]) -> Iterator[Record]:
    """Yield annotations with IDs from 1; to pycocotools, 0 means "no match"."""
    number = 0
    for record, image_id in numbered:
        for row in coco_rows(record, image_id=image_id, categories=categories):
            number += 1
            area = round(row["bbox"][2] * row["bbox"][3], 2)
            yield {"id": number, **row, "area": area, "iscrowd": 0, "segmentation": []}
