"""Results as JSON, JSON Lines, CSV and COCO, written as they come."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

from darkparse.datasets.names import shipped_names

FORMATS = ("json", "jsonl", "csv", "coco")
COLUMNS = ("image", "frame", "class_id", "name", "score", "objectness", "left", "top", "right", "bottom")

Record = dict[str, Any]
"""One picture: `Detections.to_dict()`, for a video with the number of the `frame`."""

_COCO_GAPS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
COCO_IDS = tuple(i for i in range(1, 91) if i not in _COCO_GAPS)
"""The category of each of COCO's 80 classes: the ids run to 90 and leave ten out."""


def categories_of(names: Sequence[str]) -> tuple[int, ...] | None:
    """COCO's ids where the classes are COCO's, else None."""
    return COCO_IDS if tuple(names) == shipped_names(80) else None


class Formatter:
    """Records to the text of a file of results, a piece at a time.

    Args:
        form: json (one array), jsonl (an object a line), csv (a line for each detection), coco (COCO's results array).
        categories: for coco: the id of each class; without it a class's own number.
    """

    def __init__(self, form: str, categories: tuple[int, ...] | None = None) -> None:
        self.form, self.categories = form, categories
        self._started = False

    def add(self, record: Record) -> str:
        """The next piece."""
        if self.form == "jsonl":
            return json_line(record)
        if self.form == "csv":
            return self._header() + _csv_lines(record)
        items = [record] if self.form == "json" else coco_rows(record, categories=self.categories)
        return "".join(map(self._item, items))

    def end(self) -> str:
        """The last piece."""
        if self.form == "csv":
            return self._header()
        if self.form == "jsonl":
            return ""
        return "\n]\n" if self._started else "[]\n"

    def _item(self, item: Record) -> str:
        before = "," if self._started else "["
        self._started = True
        return f"{before}\n{json.dumps(item, ensure_ascii=False)}"

    def _header(self) -> str:
        if self._started:
            return ""
        self._started = True
        return ",".join(COLUMNS) + "\n"


def formatted(records: Iterable[Record], form: str, categories: tuple[int, ...] | None = None) -> Iterator[str]:
    """The pieces of text that make up a file of results; none is larger than one picture's."""
    formatter = Formatter(form, categories)
    yield from map(formatter.add, records)
    yield formatter.end()


def json_line(record: Record) -> str:
    """A record as one line of JSON Lines."""
    return json.dumps(record, ensure_ascii=False) + "\n"


def coco_rows(
    record: Record, *, image_id: int | str | None = None, categories: tuple[int, ...] | None = None
) -> list[Record]:
    """A picture's detections as COCO results: `bbox` is left, top, width, height in pixels.

    Args:
        record: the picture.
        image_id: by default the number at the end of the file's name, as Darknet takes it (detector.c
            get_coco_image_id), or the name where it has none; for a frame of a video the video's name and its number.
        categories: the id of each class; by default its own number.
    """
    if image_id is None:
        image_id = _image_id(record["image"] or "", record.get("frame"))
    rows = []
    for one in record["detections"]:
        left, top, right, bottom = one["xyxy"]
        category = categories[one["class_id"]] if categories else one["class_id"]
        bbox = [left, top, round(right - left, 2), round(bottom - top, 2)]
        rows.append({"image_id": image_id, "category_id": category, "bbox": bbox, "score": one["score"]})
    return rows


def _image_id(image: str, frame: int | None = None) -> int | str:
    stem = PurePath(image).stem
    if frame is not None:
        return f"{stem}-{frame}"
    digits = re.search(r"(\d+)$", stem)
    return int(digits[1]) if digits else stem


def coco_remark(images: Iterable[str]) -> str | None:
    """What COCO's tools will not like about the ids of pictures, if anything:
    they want a number of its own for each."""
    counts = Counter(map(_image_id, images))
    shared = [str(name) for name, count in counts.items() if count > 1]
    named = [name for name in counts if isinstance(name, str)]
    parts = [f"several pictures share the id {shared[0]}"] if shared else []
    more = f" and {len(named) - 1} more" if named[1:] else ""
    parts += [f"{named[0]!r}{more} has none"] if named else []
    return f"COCO's tools tell pictures by the number at the end of their names: {'; '.join(parts)}" if parts else None


def _csv_lines(record: Record) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for one in record["detections"]:
        head = (record["image"], record.get("frame", ""), one["class_id"], one["name"])
        writer.writerow((*head, one["score"], one["objectness"], *one["xyxy"]))
    return text.getvalue()
