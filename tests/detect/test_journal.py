"""The directory of a run: which results are recovered, when a run may resume, and where drawings go."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import darkparse
from darkparse.datasets.sources import InputFile
from darkparse.detect.batch.drawings import plan_drawings
from darkparse.detect.batch.journal import Journal
from darkparse.detect.batch.results import Formatter
from tests.detect.test_records import NOTHING, ONE

RUN = {"model": "ü", "threshold": 0.25, "relative_to": None}


def make_lines(folder: Path, count: int) -> list[str]:
    return [json.dumps(NOTHING | {"image": str(folder / f"{number}.jpg")}) + "\n" for number in range(count)]


def has(journal: Journal, folder: Path) -> list[bool]:
    return [journal.has(str(folder / f"{number}.jpg")) for number in range(3)]


@pytest.mark.parametrize(
    ("third", "finished"),
    [
        ("", 2),
        ("{third}", 3),
        ('{"image": "x', 2),
        ('{"image": "x"}', 2),  # without its end of line it may be a part of a longer one
        ("[]\n", 2),
        ('{"frame": 3}\n', 2),
        ("\0\0\0\0\n", 2),
        ("[]\n{third}", 2),
    ],
)
def test_journal_recovers_whole_lines(third: str, finished: int, tmp_path: Path) -> None:
    lines = make_lines(tmp_path, 4)
    path = tmp_path / "detections.jsonl"
    path.write_text("".join(lines[:2]) + third.replace("{third}", lines[2]), "utf-8")
    with Journal(tmp_path, RUN, resume=True) as journal:
        assert has(journal, tmp_path) == [True, True, finished == 3]
        assert path.read_text("utf-8") == "".join(lines[:finished])
        journal.add(json.loads(lines[3]))
        assert path.read_text("utf-8") == "".join([*lines[:finished], lines[3]])
        assert list(journal.records()) == [json.loads(line) for line in [*lines[:finished], lines[3]]]


def test_journal_without_a_whole_line_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "detections.jsonl").write_text('{"image"', "utf-8")
    with Journal(tmp_path, RUN, resume=True) as journal:
        journal.add(ONE)
    assert (tmp_path / "detections.jsonl").read_text("utf-8") == json.dumps(ONE) + "\n"


@pytest.mark.parametrize("is_killed", [False, True])
def test_frames_of_a_video_are_added_all_or_none(is_killed: bool, tmp_path: Path) -> None:
    lines, path = make_lines(tmp_path, 3), tmp_path / "detections.jsonl"
    with Journal(tmp_path, RUN) as journal:
        journal.add(json.loads(lines[0]))

        def iter_frames() -> Any:
            yield lines[1]
            assert (tmp_path / ".video").read_text("utf-8") == str(len(lines[0]))
            if is_killed:
                raise SystemExit
            yield lines[2]

        if is_killed:
            with pytest.raises(SystemExit):
                journal.add_video(iter_frames())
        else:
            journal.add_video(iter_frames())
            assert path.read_text("utf-8") == "".join(lines)
    assert (tmp_path / ".video").exists() == is_killed
    with Journal(tmp_path, RUN, resume=True) as journal:
        assert has(journal, tmp_path) == [True, not is_killed, not is_killed]
    assert path.read_text("utf-8") == "".join(lines[:1] if is_killed else lines)
    assert not (tmp_path / ".video").exists()


def test_journal_with_results_needs_a_decision(tmp_path: Path) -> None:
    with Journal(tmp_path, RUN) as journal:
        journal.add(ONE | {"drawing": "a.png"})
        journal.save_coco(["cat", "dog"])
        journal.save(Formatter("csv"))
    exports = {"coco.json", "detections.csv"}
    assert (tmp_path / "run.json").read_text("utf-8") == json.dumps(RUN, indent=1, ensure_ascii=False) + "\n"
    before = (tmp_path / "detections.jsonl").read_bytes()
    message = "contains the results of an earlier run\nhint: continue with --resume or start again with --overwrite"
    with pytest.raises(darkparse.DarkparseError, match=message):
        Journal(tmp_path, RUN)
    assert (tmp_path / "detections.jsonl").read_bytes() == before
    with Journal(tmp_path, RUN, resume=True) as journal:
        assert journal.drawings == {"a.png"}
    assert exports < {path.name for path in tmp_path.iterdir()}
    (tmp_path / ".video").write_text("0")
    with Journal(tmp_path, RUN, overwrite=True) as journal:
        assert not journal.has(ONE["image"])
        assert journal.drawings == set()
    assert {path.name for path in tmp_path.iterdir()} == {"detections.jsonl", "run.json"}
    assert (tmp_path / "detections.jsonl").read_bytes() == b""
    with Journal(tmp_path, RUN) as journal:  # an empty file has no results
        assert not list(journal.records())


@pytest.mark.parametrize("previous", [None, "", "[1]", "{"])
def test_journal_resumes_without_a_readable_description_of_the_run(previous: str | None, tmp_path: Path) -> None:
    with Journal(tmp_path, RUN) as journal:
        journal.add(ONE)
    if previous is None:
        (tmp_path / "run.json").unlink()
    else:
        (tmp_path / "run.json").write_text(previous, "utf-8")
    with Journal(tmp_path, RUN, resume=True) as journal:
        assert journal.has(ONE["image"])
    assert json.loads((tmp_path / "run.json").read_text("utf-8")) == RUN


def test_journal_of_another_run_names_the_differences(tmp_path: Path) -> None:
    with Journal(tmp_path, RUN) as journal:
        journal.add(ONE)
    changed = RUN | {"threshold": 0.5, "engine": "torch"}
    message = "a different run: threshold was 0.25, got 0.5, engine was None, got 'torch'\nhint: use --overwrite$"
    with pytest.raises(darkparse.DarkparseError, match=message):
        Journal(tmp_path, changed, resume=True)
    assert json.loads((tmp_path / "run.json").read_text("utf-8")) == RUN


@pytest.mark.parametrize(
    ("before", "now", "stored"),
    [("a", "a", "a"), ("a", None, "a"), (None, "b", "b"), (None, None, None), ("a", "b", "")],
)
def test_relative_paths_resume_from_one_directory(
    before: str | None, now: str | None, stored: str | None, tmp_path: Path
) -> None:
    with Journal(tmp_path, RUN | {"relative_to": before and str(tmp_path / before)}) as journal:
        journal.add(NOTHING | {"image": "1.jpg" if before else str(tmp_path / "b" / "1.jpg")})
    run = RUN | {"relative_to": now and str(tmp_path / now)}
    if stored == "":
        with pytest.raises(
            darkparse.DarkparseError, match=f"relative_to was '{tmp_path / 'a'}', got '{tmp_path / 'b'}'"
        ):
            Journal(tmp_path, run, resume=True)
        return
    with Journal(tmp_path, run, resume=True) as journal:
        assert journal.has(str(tmp_path / ("a" if before else "b") / "1.jpg"))
        assert journal.has("1.jpg") == (stored is not None)
        assert not journal.has(str(tmp_path / "1.jpg"))
    expected = stored and str(tmp_path / stored)
    assert json.loads((tmp_path / "run.json").read_text("utf-8"))["relative_to"] == expected


def test_journal_keeps_names_that_are_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.jpg")
    with Journal(tmp_path, RUN | {"model": name}) as journal:
        journal.add(ONE | {"image": name})
        journal.save(Formatter("json", head={"model": "ü"}))
        journal.save_labels("yolo")
        assert [record["image"] for record in journal.records()] == [name]
    with Journal(tmp_path, RUN | {"model": name}, resume=True) as journal:
        assert journal.has(name)
    assert (tmp_path / "detections.json").read_bytes().startswith('{"model": "ü", "images": ['.encode())
    assert b"a\xff.jpg" in (tmp_path / "detections.json").read_bytes()
    assert (tmp_path / os.fsdecode(b"a\xff.txt")).is_file()


def test_journal_on_full_disk_names_its_file(tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Journal(tmp_path, RUN) as journal, journal._file:  # which this closes, also if the test fails
        journal._file = SimpleNamespace(writelines=refuse, close=refuse)  # type: ignore[assignment]
        with pytest.raises(OSError, match="No space left on device") as caught:
            journal.add(ONE)
    assert caught.value.filename == str(tmp_path / "detections.jsonl")


def test_journal_closes_its_file(tmp_path: Path) -> None:
    with Journal(tmp_path, RUN) as journal:
        file = journal._file
    assert file.closed


def test_drawings_keep_the_paths_of_their_images(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    names = ("a/1.jpg", "b/1.jpg", "c.GIF", "d.PNG", "e.npy", "f.MP4", "g.dat")
    sources = [InputFile(root / name, root) for name in names]
    sources += [InputFile(root / name, tmp_path / "other") for name in ("a/h.png", "b/h.png", "h.png")]
    drawings = plan_drawings(sources, out, ["c.GIF.png", "d (2).PNG", "d.PNG"])
    assert [drawings[source.path] for source in sources] == [
        *("a/1.jpg", "b/1.jpg", "c (2).png", "d (3).PNG", "e.npy.png", "f.MP4", "g.dat.png"),
        *("h.png", "h (2).png", "h (3).png"),
    ]
