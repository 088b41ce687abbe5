"""Detections as labels, a file a picture: Darknet's own `.txt` and Pascal VOC's `.xml`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from darkparse._utils.files import atomic_write
from darkparse.detect.batch.results import Record

LABELS = {"yolo": ".txt", "voc": ".xml"}
"""The ending of each form."""

LEAST = 1e-4
"""The smallest side that four decimals can say."""


def save_labels(records: Callable[[], Iterator[Record]], form: str, folder: Path) -> None:
    """Write a file for each picture beside its drawing; without drawings where they would be.

    Args:
        records: gives the pictures; of a video each frame has a file.
        form: one of LABELS.
        folder: that of the results.
    """
    make = {"yolo": _yolo, "voc": _voc}[form]
    for record, place in _placed(records):
        target = folder / place.with_suffix(LABELS[form])
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as part:
            part.write_text(make(record), "utf-8", "surrogateescape", newline="\n")


def _placed(records: Callable[[], Iterator[Record]]) -> Iterator[tuple[Record, Path]]:
    """Each picture with its place under the folder of results: its drawing's, or its own below what all have above
    them."""
    bare = [os.path.abspath(record["image"]) for record in records() if "drawing" not in record]  # noqa: PTH100
    above = os.path.commonpath([os.path.dirname(path) for path in bare]) if bare else ""  # noqa: PTH120
    for record in records():
        drawing = record.get("drawing") or os.path.relpath(record["image"], above)
        place = Path(drawing)
        yield record, place if "frame" not in record else place.with_name(f"{place.stem}_{record['frame']:06}.txt")


def _yolo(record: Record) -> str:
    """`class x y width height` a line, the best class of each box (detector.c test_detector, `-save_labels`). A box
    that leaves the picture by more than Darknet's reader takes (data.c fill_truth_detection) is cut to it."""
    best: dict[tuple[float, ...], Record] = {}
    for one in record["detections"]:
        best.setdefault(tuple(one["box"]), one)
    lines = []
    for one in best.values():
        x, y, w, h = one["box"]
        if not (0 < x <= 1 and 0 < y <= 1 and w <= 1 and h <= 1):
            left, top, right, bottom = (
                pixels / side for pixels, side in zip(one["xyxy"], (record["width"], record["height"]) * 2, strict=True)
            )
            x, y, w, h = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        lines.append(f"{one['class_id']} {x:.4f} {y:.4f} {max(w, LEAST):.4f} {max(h, LEAST):.4f}\n")
    return "".join(lines)


def _voc(record: Record) -> str:
    """VOC's XML, whose pixels count from 1."""
    root = ElementTree.Element("annotation")
    _add(root, "filename", Path(record["image"]).name)
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", record["width"]), ("height", record["height"]), ("depth", 3)):
        _add(size, name, value)
    for one in record["detections"]:
        found = ElementTree.SubElement(root, "object")
        for name, value in (("name", one["name"]), ("difficult", 0), ("score", one["score"])):
            _add(found, name, value)
        box = ElementTree.SubElement(found, "bndbox")
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), one["xyxy"], strict=True):
            _add(box, name, round(value) + 1)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode") + "\n"


def _add(element: ElementTree.Element, name: str, value: Any) -> None:
    ElementTree.SubElement(element, name).text = str(value)
