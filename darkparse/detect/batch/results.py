"""Results as JSON, JSON Lines, CSV and COCO, written incrementally."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from darkparse.datasets.names import shipped_names

FORMATS = ("json", "jsonl", "csv", "coco")
CSV_COLUMNS = ("image", "frame", "class_id", "name", "score", "objectness", "left", "top", "right", "bottom")

Record = dict[str, Any]
"""Result for an image: `Detections.to_dict()`, with the `frame` number for videos."""

_COCO_GAPS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
COCO_IDS = tuple(i for i in range(1, 91) if i not in _COCO_GAPS)
"""Category ID of each of COCO's 80 classes; the IDs go up to 90 with ten gaps."""


def get_coco_categories(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return COCO's category IDs if the classes are COCO's, otherwise None."""
    return COCO_IDS if tuple(names) == shipped_names(80) else None


class Formatter:
    """Formats records as the text of a results file, piece by piece.

    Args:
        form: "json" (one object), "jsonl" (one object per line), "csv" (one line per detection) or "coco" (COCO's
            results array).
        categories: For "coco", category ID of each class; by default the class ID.
        head: For "json", members of the object before `images`.
    """

    def __init__(
        self, form: str, categories: tuple[int, ...] | None = None, head: Mapping[str, Any] | None = None
    ) -> None:
        self.form, self.categories = form, categories
        self._opening, self._closing = "[", "]"
        if form == "json":
            members = json.dumps(head or {}, ensure_ascii=False)[1:-1]
            self._opening, self._closing = f'{{{members}{", " if members else ""}"images": [', "]}"
        self._started = False

    def add(self, record: Record) -> str:
        """Return the next piece, for a record."""
        if self.form == "jsonl":
            return json_line(record)
        if self.form == "csv":
            return self._header() + _format_csv_lines(record)
        items = [record] if self.form == "json" else coco_rows(record, categories=self.categories)
        return "".join(map(self._format_item, items))

    def end(self) -> str:
        """Return the last piece."""
        if self.form == "csv":
            return self._header()
        if self.form == "jsonl":
            return ""
        return ("\n" if self._started else self._opening) + f"{self._closing}\n"

    def _format_item(self, item: Record) -> str:
        prefix = "," if self._started else self._opening
        self._started = True
        return f"{prefix}\n{json.dumps(item, ensure_ascii=False)}"

    def _header(self) -> str:
        if self._started:
            return ""
        self._started = True
        return ",".join(CSV_COLUMNS) + "\n"


def format_records(records: Iterable[Record], formatter: Formatter) -> Iterator[str]:
    """Yield the text of a results file in pieces no larger than one image's."""
    yield from map(formatter.add, records)
    yield formatter.end()


def json_line(record: Record) -> str:
    """Format a record as one line of JSON Lines."""
    return json.dumps(record, ensure_ascii=False) + "\n"


def coco_rows(
    record: Record, *, image_id: int | str | None = None, categories: tuple[int, ...] | None = None
) -> list[Record]:
    """Convert an image's detections to COCO results, with `bbox` as left, top, width, height in pixels.

    Args:
        record: Record of the image.
        image_id: By default the number at the end of the file name, as in Darknet (detector.c get_coco_image_id), or
            the name if it has none; for a video frame, the video's name and the frame number.
        categories: Category ID of each class; by default the class ID.
    """
    if image_id is None:
        image_id = find_image_id(record["image"] or "", record.get("frame"))
    rows = []
    for detection in record["detections"]:
        left, top, right, bottom = detection["xyxy"]
        category = categories[detection["class_id"]] if categories else detection["class_id"]
        bbox = [left, top, round(right - left, 2), round(bottom - top, 2)]
        rows.append({"image_id": image_id, "category_id": category, "bbox": bbox, "score": detection["score"]})
    return rows


def find_image_id(image: str, frame: int | None = None) -> int | str:
    """Return the ID of an image in COCO results; see `coco_rows`."""
    stem = PurePath(image).stem
    if frame is not None:
        return f"{stem}-{frame}"
    digits = re.search(r"(\d+)$", stem)
    return int(digits[1]) if digits else stem


def describe_coco_id_problems(images: Iterable[str]) -> str | None:
    """Return a message if the image IDs are not unique numbers, which COCO's tools require."""
    counts = Counter(map(find_image_id, images))
    shared_ids = [str(name) for name, count in counts.items() if count > 1]
    unnumbered = [name for name in counts if isinstance(name, str)]
    problems = [f"several images have the ID {shared_ids[0]}"] if shared_ids else []
    more = f" and {len(unnumbered) - 1} more" if unnumbered[1:] else ""
    problems += [f"{unnumbered[0]!r}{more} without a number"] if unnumbered else []
    return (
        f"COCO tools identify images by the number at the end of their names: {'; '.join(problems)}"
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
