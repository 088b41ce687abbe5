"""Detections as labels, one file per image: Darknet's `.txt` and Pascal VOC's `.xml`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from darkparse._utils.files import atomic_write
from darkparse.detect.batch.results import Record

LABEL_SUFFIXES = {"yolo": ".txt", "voc": ".xml"}
"""File extension of each format."""

MIN_SIDE = 1e-4
"""Smallest side that four decimals can represent."""


def save_labels(records: Callable[[], Iterator[Record]], form: str, folder: Path) -> None:
    """Write a label file for each image, beside its drawing or, without drawings, where that would be.

    Args:
        records: Returns an iterator over the images; each frame of a video gets a file.
        form: A key of LABEL_SUFFIXES.
        folder: Output directory.
    """
    to_text = {"yolo": _to_yolo, "voc": _to_voc}[form]
    for record, path in _iter_label_paths(records):
        target = folder / path.with_suffix(LABEL_SUFFIXES[form])
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as part:
            part.write_text(to_text(record), "utf-8", "surrogateescape", newline="\n")


def _iter_label_paths(records: Callable[[], Iterator[Record]]) -> Iterator[tuple[Record, Path]]:
    """Yield each image with its path in the output directory.

    It is the path of its drawing, or else the image's path relative to the common parent of such images.
    """
    undrawn = [os.path.abspath(record["image"]) for record in records() if "drawing" not in record]  # noqa: PTH100
    common_parent = os.path.commonpath([os.path.dirname(path) for path in undrawn]) if undrawn else ""  # noqa: PTH120
    for record in records():
        drawing = record.get("drawing") or os.path.relpath(record["image"], common_parent)
        path_in_folder = Path(drawing)
        yield (
            record,
            path_in_folder
            if "frame" not in record
            else path_in_folder.with_name(f"{path_in_folder.stem}_{record['frame']:06}.txt"),
        )


def _to_yolo(record: Record) -> str:
    """Format lines of `class x y width height`, with the best class of each box.

    This is the format of Darknet's `-save_labels` (detector.c test_detector). A box that extends beyond the image by
    more than Darknet's reader accepts (data.c fill_truth_detection) is clipped.
    """
    best: dict[tuple[float, ...], Record] = {}
    for detection in record["detections"]:
        best.setdefault(tuple(detection["box"]), detection)
    lines = []
    for detection in best.values():
        x, y, w, h = detection["box"]
        if not (0 < x <= 1 and 0 < y <= 1 and w <= 1 and h <= 1):
            left, top, right, bottom = (
                pixels / side
                for pixels, side in zip(detection["xyxy"], (record["width"], record["height"]) * 2, strict=True)
            )
            x, y, w, h = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        lines.append(f"{detection['class_id']} {x:.4f} {y:.4f} {max(w, MIN_SIDE):.4f} {max(h, MIN_SIDE):.4f}\n")
    return "".join(lines)


def _to_voc(record: Record) -> str:
    """Format as VOC XML, where pixel coordinates start at 1."""
    root = ElementTree.Element("annotation")
    _add_element(root, "filename", Path(record["image"]).name)
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", record["width"]), ("height", record["height"]), ("depth", 3)):
        _add_element(size, name, value)
    for detection in record["detections"]:
        object_element = ElementTree.SubElement(root, "object")
        for name, value in (("name", detection["name"]), ("difficult", 0), ("score", detection["score"])):
            _add_element(object_element, name, value)
        box = ElementTree.SubElement(object_element, "bndbox")
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), detection["xyxy"], strict=True):
            _add_element(box, name, round(value) + 1)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode") + "\n"


def _add_element(element: ElementTree.Element, name: str, value: Any) -> None:
    ElementTree.SubElement(element, name).text = str(value)
