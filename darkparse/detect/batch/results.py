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
CSV_COLUMNS = ("image", "frame", "class_id", "name", "score", "objectness", "left", "top", "right", "bottom")

Record = dict[str, Any]
"""One picture: `Detections.to_dict()`, for a video with the number of the `frame`."""

_COCO_GAPS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
COCO_IDS = tuple(i for i in range(1, 91) if i not in _COCO_GAPS)
"""The category of each of COCO's 80 classes: the ids run to 90 and leave ten out."""


def get_coco_categories(names: Sequence[str]) -> tuple[int, ...] | None:
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
            return self._header() + _format_csv_lines(record)
        items = [record] if self.form == "json" else coco_rows(record, categories=self.categories)
        return "".join(map(self._format_item, items))

    def end(self) -> str:
        """The last piece."""
        if self.form == "csv":
            return self._header()
        if self.form == "jsonl":
            return ""
        return "\n]\n" if self._started else "[]\n"

    def _format_item(self, item: Record) -> str:
        prefix = "," if self._started else "["
        self._started = True
        return f"{prefix}\n{json.dumps(item, ensure_ascii=False)}"

    def _header(self) -> str:
        if self._started:
            return ""
        self._started = True
        return ",".join(CSV_COLUMNS) + "\n"


def format_records(records: Iterable[Record], form: str, categories: tuple[int, ...] | None = None) -> Iterator[str]:
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
    for detection in record["detections"]:
        left, top, right, bottom = detection["xyxy"]
        category = categories[detection["class_id"]] if categories else detection["class_id"]
        bbox = [left, top, round(right - left, 2), round(bottom - top, 2)]
        rows.append({"image_id": image_id, "category_id": category, "bbox": bbox, "score": detection["score"]})
    return rows


def _image_id(image: str, frame: int | None = None) -> int | str:
    stem = PurePath(image).stem
    if frame is not None:
        return f"{stem}-{frame}"
    digits = re.search(r"(\d+)$", stem)
    return int(digits[1]) if digits else stem


def describe_coco_id_problems(images: Iterable[str]) -> str | None:
    """What COCO's tools will not like about the ids of pictures, if anything:
    they want a number of its own for each."""
    counts = Counter(map(_image_id, images))
    shared_ids = [str(name) for name, count in counts.items() if count > 1]
    unnumbered = [name for name in counts if isinstance(name, str)]
    problems = [f"several pictures share the id {shared_ids[0]}"] if shared_ids else []
    more = f" and {len(unnumbered) - 1} more" if unnumbered[1:] else ""
    problems += [f"{unnumbered[0]!r}{more} has none"] if unnumbered else []
    return (
        f"COCO's tools tell pictures by the number at the end of their names: {'; '.join(problems)}"
        if problems
        else None
    )


def _format_csv_lines(record: Record) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for detection in record["detections"]:
        head = (record["image"], record.get("frame", ""), detection["class_id"], detection["name"])
        writer.writerow((*head, detection["score"], detection["objectness"], *detection["xyxy"]))
    return text.getvalue()
