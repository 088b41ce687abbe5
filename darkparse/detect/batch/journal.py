"""A folder of results that a broken run leaves whole and a later one goes on with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from darkparse._utils.files import atomic_write
from darkparse.datasets.sources import locate_input
from darkparse.detect.batch.labels import LABEL_SUFFIXES, save_labels
from darkparse.detect.batch.lock import check_resumable, write_run
from darkparse.detect.batch.results import Record, format_records, json_line

JOURNAL_NAME = "detections.jsonl"
EXPORT_NAMES = {"coco": "coco.json", "csv": "detections.csv", "json": "detections.json"}


class Journal:
    """`detections.jsonl` in a folder: a line for each finished picture, written when its drawing is in place.

    Args:
        folder: claimed by this run.
        run: what the results depend on; going on with another run's results is refused.
        resume: go on where the folder's results end, if it has any.
        overwrite: start anew, whatever it holds.

    Raises:
        DarkparseError: the folder holds results and neither is asked for, or they were made otherwise.
    """

    def __init__(self, folder: Path, run: Record, *, resume: bool = False, overwrite: bool = False) -> None:
        self.folder, self.path = folder, folder / JOURNAL_NAME
        self._video_marker = folder / ".video"
        self._done: set[str] = set()
        self.drawings: set[str] = set()
        """What finished pictures were drawn to, under the folder."""
        if self.path.exists() and self.path.stat().st_size and not overwrite:
            self._run = check_resumable(folder, run, resume=resume)
            self._recover()
        else:
            self._run = run
            for name in (self._video_marker.name, *EXPORT_NAMES.values()):
                (folder / name).unlink(missing_ok=True)
        write_run(folder, self._run)
        self._file = self.path.open(
            "a" if self._done else "w", encoding="utf-8", errors="surrogateescape", newline="\n"
        )

    def has(self, image: str) -> bool:
        """Whether a picture or video is finished, by whatever path it is named."""
        return locate_input(image, self._run["relative_to"]) in self._done

    def add(self, record: Record) -> None:
        """Write a picture down; it survives a kill from here on."""
        self._write((json_line(record),))

    def add_video(self, lines: Iterable[str]) -> None:
        """Write all frames of a video down; a kill in the middle leaves none of them."""
        with atomic_write(self._video_marker) as part:
            part.write_text(str(self._file.tell()), "utf-8")
        self._write(lines)
        self._video_marker.unlink()

    def _write(self, lines: Iterable[str]) -> None:
        try:
            self._file.writelines(lines)
            self._file.flush()
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, os.fspath(self.path)) from None

    def records(self) -> Iterator[Record]:
        """All pictures, in the order in which they were finished."""
        with self.path.open(encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                yield json.loads(line)

    def save(self, form: str, categories: tuple[int, ...] | None = None) -> None:
        """Write all results in another format beside the journal, see `Formatter` and `save_labels`."""
        if form in LABEL_SUFFIXES:
            return save_labels(self.records, form, self.folder)
        target = self.folder / EXPORT_NAMES[form]
        with (
            atomic_write(target) as part,
            part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            file.writelines(format_records(self.records(), form, categories))
        return None

    def close(self) -> None:
        with suppress(OSError):  # what could not be written has been told
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> None:
        """Read what is finished, and cut a half-written line or video off."""
        if self._video_marker.exists():
            os.truncate(self.path, int(self._video_marker.read_text("utf-8")))
            self._video_marker.unlink()
        end = 0
        with self.path.open("rb") as file:
            for line in file:
                record = _parse_record(line)
                if record is None:
                    break
                self._done.add(locate_input(record["image"], self._run["relative_to"]))
                if "drawing" in record:
                    self.drawings.add(record["drawing"])
                end += len(line)
        os.truncate(self.path, end)


def _parse_record(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record: Record = json.loads(line.decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return record if isinstance(record, dict) and "image" in record else None
