"""Detections as labels, a file a picture: Darknet's own `.txt` and Pascal VOC's `.xml`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from darkparse._utils.files import atomic_write
from darkparse.detect.batch.results import Record

LABEL_SUFFIXES = {"yolo": ".txt", "voc": ".xml"}
"""The ending of each form."""

MIN_SIDE = 1e-4
"""The smallest side that four decimals can say."""


def save_labels(records: Callable[[], Iterator[Record]], form: str, folder: Path) -> None:
    """Write a file for each picture beside its drawing; without drawings where they would be.

    Args:
        records: gives the pictures; of a video each frame has a file.
        form: one of LABELS.
        folder: that of the results.
    """
    to_text = {"yolo": _to_yolo, "voc": _to_voc}[form]
    for record, path in _iter_label_paths(records):
        target = folder / path.with_suffix(LABEL_SUFFIXES[form])
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as part:
            part.write_text(to_text(record), "utf-8", "surrogateescape", newline="\n")


def _iter_label_paths(records: Callable[[], Iterator[Record]]) -> Iterator[tuple[Record, Path]]:
    """Each picture with its place under the folder of results: its drawing's, or its own below what all have above
    them."""
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
    """`class x y width height` a line, the best class of each box (detector.c test_detector, `-save_labels`). A box
    that leaves the picture by more than Darknet's reader takes (data.c fill_truth_detection) is cut to it."""
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
    """VOC's XML, whose pixels count from 1."""
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
