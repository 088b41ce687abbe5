"""A folder of results that a broken run leaves whole and a later one goes on with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from darkparse.detect.results import Record, formatted, json_line
from darkparse.files import unfinished
from darkparse.syntax import DarkparseError

NAME = "detections.jsonl"
RUN = "run.json"


class Journal:
    """`detections.jsonl` in a folder: a line for each finished picture, written when its drawing is in place.

    Args:
        folder: made if it does not exist.
        run: what the results depend on; going on with another run's results is refused.
        resume: go on where the folder's results end, if it has any.
        overwrite: start anew, whatever it holds.

    Raises:
        DarkparseError: the folder holds results and neither is asked for, or they were made otherwise.
    """

    def __init__(self, folder: Path, run: Record, *, resume: bool = False, overwrite: bool = False) -> None:
        self.folder, self.path = folder, folder / NAME
        self._mark = folder / ".film"
        self.done: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size and not overwrite:
            if not resume:
                raise DarkparseError(f"{folder} holds the results of an earlier run: --resume goes on with it, --overwrite starts anew")
            self._check(run)
            self._recover()
        else:
            self._mark.unlink(missing_ok=True)
        write_run(folder / RUN, run)
        self._file = self.path.open("a" if self.done else "w", encoding="utf-8", errors="surrogateescape", newline="\n")

    def add(self, record: Record) -> None:
        """Write a picture down; it survives a kill from here on."""
        self._file.write(json_line(record))
        self._file.flush()
        self.done.add(record["image"])

    def add_film(self, name: str, lines: Iterable[str]) -> None:
        """Write all frames of a film down; a kill in the middle leaves none of them."""
        _write_whole(self._mark, str(self._file.tell()))
        self._file.writelines(lines)
        self._file.flush()
        self._mark.unlink()
        self.done.add(name)

    def records(self) -> Iterator[Record]:
        """All pictures, in the order in which they were finished."""
        with self.path.open(encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                yield json.loads(line)

    def save(self, form: str, categories: tuple[int, ...] | None = None) -> Path:
        """Write all results in another format beside the journal, see `Formatter`; returns the file."""
        target = self.folder / {"coco": "coco.json", "csv": "detections.csv", "json": "detections.json"}[form]
        with unfinished(target) as part, part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.writelines(formatted(self.records(), form, categories))
        return target

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, run: Record) -> None:
        check_run(self.folder / RUN, run)

    def _recover(self) -> None:
        """Read what is finished, and cut a half-written line or film off."""
        if self._mark.exists():
            os.truncate(self.path, int(self._mark.read_text("utf-8")))
            self._mark.unlink()
        end = 0
        with self.path.open("rb") as file:
            for line in file:
                record = _record(line)
                if record is None:
                    break
                self.done.add(record["image"])
                end += len(line)
        os.truncate(self.path, end)


def write_run(path: Path, run: Record) -> None:
    """Write down what results depend on, for `check_run`."""
    _write_whole(path, json.dumps(run, indent=1, ensure_ascii=False) + "\n")


def check_run(path: Path, run: Record) -> None:
    """Make sure that earlier results were made as this run would make them. Raises DarkparseError if not."""
    try:
        before: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return
    changed = [key for key in run if before.get(key) != run[key]]
    if changed:
        said = ", ".join(f"{key} {before.get(key)!r} then, {run[key]!r} now" for key in changed)
        raise DarkparseError(f"{path.parent} was made otherwise: {said}; --overwrite starts anew")


def _record(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record: Record = json.loads(line.decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return record if isinstance(record, dict) and "image" in record else None


def _write_whole(path: Path, text: str) -> None:
    with unfinished(path) as part:
        part.write_text(text, "utf-8")
