"""Output directory that stays intact if a run is interrupted, so that a later run can resume it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from darkparse._utils.files import atomic_write
from darkparse.datasets.sources import locate_input
from darkparse.detect.batch.coco import save_coco
from darkparse.detect.batch.labels import save_labels
from darkparse.detect.batch.results import Formatter, Record, format_records, json_line
from darkparse.errors import DarkparseError

JOURNAL_NAME = "detections.jsonl"
RUN_NAME = "run.json"
"""File with everything that the results depend on; a later run can resume only if it would compute the same."""
EXPORT_NAMES = {"coco": "coco.json", "csv": "detections.csv", "json": "detections.json"}


class Journal:
    """`detections.jsonl` in a directory: one line per finished image, written once its drawing is in place.

    Args:
        folder: The directory, locked by this run.
        run: Everything that the results depend on.
        resume: Continue after the existing results, if there are any.
        overwrite: Delete the existing results.

    Raises:
        DarkparseError: The directory contains results, and neither option is set or they depend on something else.
    """

    def __init__(self, folder: Path, run: Record, *, resume: bool = False, overwrite: bool = False) -> None:
        self.folder, self.path = folder, folder / JOURNAL_NAME
        self._video_marker = folder / ".video"
        self._done: set[str] = set()
        self.drawings: set[str] = set()
        """Paths of the finished drawings, relative to the directory."""
        if self.path.exists() and self.path.stat().st_size and not overwrite:
            self._run = _check_resumable(folder, run, resume=resume)
            self._recover()
        else:
            self._run = run
            for name in (self._video_marker.name, *EXPORT_NAMES.values()):
                (folder / name).unlink(missing_ok=True)
        with atomic_write(folder / RUN_NAME) as part:
            part.write_text(json.dumps(self._run, indent=1, ensure_ascii=False) + "\n", "utf-8", "surrogateescape")
        self._file = self.path.open(
            "a" if self._done else "w", encoding="utf-8", errors="surrogateescape", newline="\n"
        )

    def has(self, image: str) -> bool:
        """Return whether an image or video is finished, whichever path names it."""
        return locate_input(image, self._run["relative_to"]) in self._done

    def add(self, record: Record) -> None:
        """Write an image's record; once written, it survives a kill."""
        self._write((json_line(record),))

    def add_video(self, lines: Iterable[str]) -> None:
        """Write the records of a video's frames; a kill in between leaves none of them."""
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
        """Yield all records in the order in which the images were finished."""
        with self.path.open(encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                yield json.loads(line)

    def save_labels(self, form: str) -> None:
        """Write all results as files of labels; see `labels.save_labels`."""
        save_labels(self.records, form, self.folder)

    def save_coco(self, names: Sequence[str]) -> None:
        """Write all results as a COCO file; see `coco.save_coco`."""
        save_coco(self.records, names, self.folder / EXPORT_NAMES["coco"])

    def save(self, formatter: Formatter) -> None:
        """Write all results in another format beside the journal."""
        target = self.folder / EXPORT_NAMES[formatter.form]
        with (
            atomic_write(target) as part,
            part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            file.writelines(format_records(self.records(), formatter))

    def close(self) -> None:
        with suppress(OSError):  # the failed write has already raised it
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> None:
        """Read the finished records, and truncate a half-written line or video."""
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


def _check_resumable(folder: Path, run: Record, *, resume: bool) -> Record:
    """Return what a resumed run depends on: `run`, with `relative_to` as in the earlier run.

    Args:
        folder: The directory with the results.
        run: What they would depend on now. `relative_to` is the base of relative paths, None if there are none.
        resume: Whether resuming is requested.

    Raises:
        DarkparseError: Resuming is not requested, or the earlier run depends on something else.
    """
    if not resume:
        raise DarkparseError(
            f"{folder} contains the results of an earlier run\n"
            "hint: continue with --resume or start again with --overwrite"
        )
    try:
        previous: Any = json.loads((folder / RUN_NAME).read_text("utf-8", "surrogateescape"))
    except (OSError, ValueError):
        return run
    if not isinstance(previous, dict):
        return run
    base = previous.get("relative_to") or run["relative_to"]
    run = run | {"relative_to": run["relative_to"] or base}
    previous["relative_to"] = base
    changed = [key for key in run if previous.get(key) != run[key]]
    if changed:
        differences = ", ".join(f"{key} was {previous.get(key)!r}, got {run[key]!r}" for key in changed)
        raise DarkparseError(f"{folder} contains the results of a different run: {differences}\nhint: use --overwrite")
    return run


def _parse_record(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record: Record = json.loads(line.decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return record if isinstance(record, dict) and "image" in record else None
