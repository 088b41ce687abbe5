"""`darkparse detect` as a person meets it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkparse._utils.lock import lock_directory
from darkparse.cli import main
from darkparse.datasets.annotations import read_annotations
from darkparse.datasets.sources import find_sources
from darkparse.detect.batch.cluster import read_image
from darkparse.detect.batch.results import coco_rows
from darkparse.errors import DarkparseError
from tests.detect.reference import picture, tiny_weights


@pytest.fixture
def model(tmp_path: Path) -> list[str]:
    return [str(path) for path in tiny_weights(tmp_path)]


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = tmp_path / "shots"
    for number in range(6):
        path = folder / ("a" if number < 3 else "b") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    return folder


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def journal(folder: Path) -> dict[str, list[object]]:
    lines = (folder / "detections.jsonl").read_text("utf-8", "surrogateescape").splitlines()
    records = [json.loads(line) for line in lines]
    assert len({r["image"] for r in records}) == len(records), "a picture is there twice"
    return {Path(r["image"]).name: r["detections"] for r in records}


def test_detect_prints_darknets_lines(model: list[str], shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("detect", *model, shots / "a" / "00.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith(("class 0: ", "class 1: ")) and line.endswith("%") for line in lines)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "coco"])
def test_detect_format_has_every_image_and_detection(
    model: list[str], shots: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("detect", *model, shots, "--format", form) == 0
    out = capsys.readouterr().out
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert {Path(row["image"]).name for row in rows} == {f"{n:02}.png" for n in range(6)}
        assert all(float(row["left"]) <= float(row["right"]) for row in rows)
    elif form == "coco":
        data = json.loads(out)
        assert {row["image_id"] for row in data} == set(range(6))
        assert all(len(row["bbox"]) == 4 and row["category_id"] in (0, 1) for row in data)
    else:
        data = json.loads(out)["images"] if form == "json" else [json.loads(line) for line in out.splitlines()]
        assert [Path(row["image"]).name for row in data] == [f"{n:02}.png" for n in range(6)]


def test_detect_coco_with_names_that_are_not_unique_ids_warns(
    model: list[str], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("detect", *model, shots, "--format", "coco") == 0
    assert "COCO's tools" not in capsys.readouterr().err
    for name in ("a", "b"):
        Image.fromarray(picture(0)).save(shots / name / "9.png")
    Image.fromarray(picture(0)).save(shots / "dog.png")
    assert run("detect", *model, shots, "--format", "coco") == 0
    told = capsys.readouterr().err.replace("\n", " ")
    assert "several images have the ID 9; 'dog' without a number" in told


@pytest.mark.parametrize("numbered", [True, False])
def test_detect_save_coco_is_loaded_by_pycocotools_with_integer_ids(
    numbered: bool, model: list[str], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not numbered:
        (shots / "a" / "00.png").rename(shots / "a" / os.fsdecode(b"dog\xff.png"))
    assert run("detect", *model, shots, "--out", tmp_path / "out", "--save", "coco") == 0
    assert "COCO" not in capsys.readouterr().err
    path = tmp_path / "out" / "coco.json"
    document = json.loads(path.read_bytes().decode("ascii"))
    assert [image["id"] for image in document["images"]] == list(range(6) if numbered else range(1, 7))
    for entry in document["images"]:
        with Image.open(shots / entry["file_name"]) as image:
            assert image.size == (entry["width"], entry["height"])
    assert document["categories"] == [{"id": 0, "name": "class 0"}, {"id": 1, "name": "class 1"}]
    annotations = document["annotations"]
    assert [annotation["id"] for annotation in annotations] == list(range(1, len(annotations) + 1))
    assert len(annotations) == sum(map(len, journal(tmp_path / "out").values()))
    coco = pytest.importorskip("pycocotools.coco", reason="needs pycocotools: pip install 'darkparse[evaluate]'")
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = coco.COCO(str(path))
        again = loaded.loadRes(
            [{key: a[key] for key in ("image_id", "category_id", "bbox", "score")} for a in annotations]
        )
    assert set(loaded.getImgIds()) == {image["id"] for image in document["images"]}
    assert len(loaded.getAnnIds(catIds=[0])) == len([a for a in annotations if a["category_id"] == 0])
    assert [a["area"] for a in again.dataset["annotations"]] == pytest.approx(
        [a["area"] for a in annotations], abs=0.01
    )


def test_detect_save_coco_is_read_as_annotations(model: list[str], shots: Path, tmp_path: Path) -> None:
    assert run("detect", *model, shots, "--out", tmp_path / "out", "--save", "coco") == 0
    found = read_annotations(tmp_path / "out" / "coco.json", shots, ("class 0", "class 1"))
    detections = journal(tmp_path / "out")
    assert {truth.image.name: len(truth.boxes) for truth in found.truths} == {n: len(d) for n, d in detections.items()}


def test_detect_without_detections_prints_valid_json(
    model: list[str], shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("detect", *model, shots / "a" / "00.png", "--json", "--threshold", "1") == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["detections"] == []
    assert run("detect", *model, shots / "a" / "00.png", "--format", "coco", "--threshold", "1") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_detect_out_writes_drawings_and_results(model: list[str], shots: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("detect", *model, shots, "--out", out, "--save", "csv", "--save", "coco", "--save", "json") == 0
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == [
        f"{'a' if n < 3 else 'b'}/{n:02}.png" for n in range(6)
    ]
    assert len(journal(out)) == 6
    assert {p.name for p in out.iterdir() if p.is_file()} == {
        "detections.jsonl",
        "detections.csv",
        "coco.json",
        "detections.json",
        "run.json",
    }
    assert len(json.loads((out / "detections.json").read_text("utf-8"))["images"]) == 6
    assert not np.array_equal(np.asarray(Image.open(out / "a" / "00.png")), picture(0))
    assert run("detect", *model, shots / "a" / "*.png", "--out", tmp_path / "glob") == 0
    assert sorted(p.name for p in (tmp_path / "glob").glob("*.png")) == ["00.png", "01.png", "02.png"]


def test_detect_broken_image_is_skipped_and_exits_1(
    model: list[str], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shots / "a" / "01.png").write_bytes(b"broken")
    assert run("detect", *model, shots, "--out", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "01.png: not an image" in captured.err
    assert "1 of 6 could not be read" in captured.err
    assert len(journal(tmp_path / "out")) == 5


def test_resume_after_truncated_line_loses_and_repeats_no_image(
    model: list[str], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run("detect", *model, shots, "--out", whole) == 0
    assert run("detect", *model, shots / "a", "--out", out) == 0
    path = out / "detections.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2][: len(lines[2]) // 2], "utf-8")  # killed in the middle of a line
    assert run("detect", *model, shots, "--out", out) == 2
    assert "continue with --resume or start again with --overwrite" in capsys.readouterr().err
    assert run("detect", *model, shots, "--out", out, "--resume", "--threshold", "0.5") == 2
    assert "threshold was 0.25, got 0.5" in capsys.readouterr().err
    assert run("detect", *model, shots, "--out", out, "--resume") == 0
    assert "2 of 6 are already done" in capsys.readouterr().err
    assert journal(out) == journal(whole)
    assert run("detect", *model, shots, "--out", out, "--resume") == 0
    assert journal(out) == journal(whole)
    assert run("detect", *model, shots, "--out", out, "--overwrite") == 0
    assert journal(out) == journal(whole)


KILLED = """
import os, signal, sys
from darkparse._utils.lock import lock_directory
from darkparse.cli import main
from darkparse.detect.batch.journal import Journal

add, added = Journal.add, []

def add_some(self, record):
    if len(added) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    added.append(record)
    add(self, record)

Journal.add = add_some
main(['detect', *sys.argv[1:4], '--out', sys.argv[4]])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL: run it on Linux or macOS")
def test_resume_after_sigkill_completes_run(model: list[str], tmp_path: Path) -> None:
    shots, out = tmp_path / "many", tmp_path / "out"
    shots.mkdir()
    for number in range(120):
        Image.fromarray(picture(number % 9, 200, 300)).save(shots / f"{number:03}.png")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *model, str(shots), str(out)], check=False, stdout=subprocess.DEVNULL
    )
    assert done.returncode == -signal.SIGKILL
    assert (out / "detections.jsonl").read_bytes().count(b"\n") == 20
    (out / ".part-0123abcd-119.png").touch()  # a kill in the middle of a drawing leaves one
    (out / ".part-of-something-else.png").touch()
    assert run("detect", *model, shots, "--out", out, "--resume") == 0
    assert len(journal(out)) == 120
    assert {path.name for path in out.glob("*.png")} == {f"{n:03}.png" for n in range(120)} | {
        ".part-of-something-else.png"
    }


def test_resume_recognizes_image_by_any_path(
    model: list[str], shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.chdir(shots)
    assert run("detect", *model, "a", "--out", out) == 0
    monkeypatch.chdir(shots / "b")
    assert run("detect", *model, "../a", "--out", out, "--resume") == 2
    assert f"relative_to was '{shots}', got '{shots / 'b'}'" in capsys.readouterr().err
    assert run("detect", *model, shots, "--out", out, "--resume") == 0
    assert "3 of 6 are already done" in capsys.readouterr().err
    assert len(journal(out)) == 6
    monkeypatch.chdir(shots)
    assert run("detect", *model, "a", "b", "--out", out, "--resume") == 0
    assert "6 of 6 are already done" in capsys.readouterr().err
    assert len(journal(out)) == 6


def test_resume_with_more_images_keeps_earlier_drawings(model: list[str], shots: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "out", tmp_path / "more"
    more.mkdir()
    Image.fromarray(picture(8)).save(more / "00.png")
    assert run("detect", *model, shots / "a", "--out", out) == 0
    before = (out / "00.png").read_bytes()
    assert run("detect", *model, shots / "a", more, "--out", out, "--resume") == 0
    assert (out / "00.png").read_bytes() == before
    records = [json.loads(line) for line in (out / "detections.jsonl").read_text("utf-8").splitlines()]
    assert [record["drawing"] for record in records] == ["00.png", "01.png", "02.png", "00 (2).png"]
    assert (out / "00 (2).png").is_file()


def test_detect_into_directory_in_use_exits_2(
    model: list[str], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with lock_directory(out, "--out", DarkparseError):
        assert run("detect", *model, shots, "--out", out) == 2
        assert (
            f"{out} is locked by process {os.getpid()} hint: wait until it ends or choose another --out"
            in capsys.readouterr().err.replace("\n", " ")
        )
    assert run("detect", *model, shots, "--out", out, "--save", "csv") == 0
    assert run("detect", *model, shots / "a", "--out", out, "--overwrite") == 0
    assert len(journal(out)) == 3
    assert not (out / "detections.csv").exists()


def test_detect_inputs_are_listed_or_exit_2(
    model: list[str], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text(f"{shots / 'a' / '00.png'}\nshots/b/03.png\n", "utf-8")
    assert run("detect", *model, listing, "--format", "jsonl") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    for bad, message in (
        ("none.png", "no such file, directory or pattern"),
        (str(tmp_path / "*.gif"), "no file matches"),
    ):
        assert run("detect", *model, bad) == 2
        assert message in capsys.readouterr().err
    assert run("detect", *model, (shots / "a" / "00.png").as_uri()) == 2
    assert "a/00.png: URLs require --ray" in capsys.readouterr().err.replace("\n", "")
    (tmp_path / "empty").mkdir()
    assert run("detect", *model, tmp_path / "empty") == 2
    assert "no images in" in capsys.readouterr().err
    assert run("detect", *model, shots, "--out", shots) == 2
    assert run("detect", *model, shots / "a" / "00.png", "--out", shots / "a") == 2
    assert run("detect", *model, shots, "--resume") == 2
    assert np.array_equal(np.asarray(Image.open(shots / "a" / "00.png")), picture(0))


def read(location: str) -> dict[str, Any]:
    return read_image({"name": os.fsencode(location), "location": os.fsencode(location)})


def test_read_image_returns_bytes_or_problem(shots: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a::b [1].png"  # fsspec would take this for a chain of URLs
    odd.write_bytes((shots / "a" / "00.png").read_bytes())
    assert read(str(odd)) == {
        "name": os.fsencode(odd),
        "location": os.fsencode(odd),
        "bytes": odd.read_bytes(),
        "problem": "",
    }
    assert read(str(tmp_path / "none.png"))["problem"] == f"{tmp_path / 'none.png'}: No such file or directory"
    assert read(str(tmp_path))["problem"] == f"{tmp_path}: not a regular file"


def test_find_sources_expands_urls(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{shots.as_uri()}/b/*.png\nhttps://example.com/c.jpg\n", "utf-8")
    found = find_sources([f"{shots.as_uri()}/a", str(tmp_path / "list.txt"), shots.as_uri()])
    assert [source.name for source in found] == [
        *(f"{shots.as_uri()}/{'a' if number < 3 else 'b'}/{number:02}.png" for number in range(6)),
        "https://example.com/c.jpg",
    ]
    assert read(found[0].name)["bytes"] == (shots / "a" / "00.png").read_bytes()
    assert "Protocol not known" in read("nothing://x/a.png")["problem"]
    for url, message in ((f"{shots.as_uri()}/*.gif", "no images found"), ("nothing://x/", "Protocol not known")):
        with pytest.raises(DarkparseError, match=message):
            find_sources([url])


def test_detect_wrong_arguments_exit_2_without_traceback(
    model: list[str], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "x.names"
    names.write_text("one\n", "utf-8")
    for arguments in (
        [model[0], tmp_path / "none.weights", shots],
        [tmp_path / "none.cfg", model[1], shots],
        [*model, shots, "--names", names],
        [*model, shots, "--device", "cuda:99"],
        [*model, shots, "--ray", "--show"],
    ):
        assert run("detect", *arguments) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert error.strip()


def test_detect_video_writes_annotated_video(
    model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install 'darkparse[video]'")
    from fractions import Fraction

    from darkparse.detect.video import Video, write_video

    video, out = tmp_path / "video.mp4", tmp_path / "out"
    with write_video(video, Fraction(10)) as add:
        for number in range(7):
            add(picture(number, 65, 81))
    assert run("detect", *model, video, "--out", out) == 0
    assert "video.mp4 frame 6:" in capsys.readouterr().out
    records = [json.loads(line) for line in (out / "detections.jsonl").read_text("utf-8").splitlines()]
    assert [record["frame"] for record in records] == list(range(7))
    assert {record["drawing"] for record in records} == {"video.mp4"}
    assert coco_rows(records[3])[0]["image_id"] == "video-3"
    drawn = Video(out / "video.mp4")
    assert [frame.shape for frame in drawn] == [(66, 82, 3)] * 7
    drawn.close()
    assert run("detect", *model, video, "--out", out, "--resume") == 0
    assert len((out / "detections.jsonl").read_text("utf-8").splitlines()) == 7
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    assert run("detect", *model, broken, "--out", tmp_path / "other") == 1
    assert "broken.mp4" in capsys.readouterr().err
    with pytest.raises(ValueError, match="array shape"), write_video(tmp_path / "half.mp4", Fraction(10)) as add:
        add(np.zeros((64, 64, 2), np.uint8))
    assert not list(tmp_path.glob("*half*"))


def test_draw_labels_do_not_cover_each_other() -> None:
    from darkparse.detect import Detection, Detections

    boxes = [Detection(i, f"thing {i}", 0.9 - i / 10, 1.0, (0.5, 0.5, 0.4, 0.4), (200, 200)) for i in range(3)]
    image = np.zeros((200, 200, 3), np.uint8)
    together = np.asarray(Detections(boxes, width=200, height=200).draw(image))
    for one in boxes:
        alone = np.asarray(Detections([one], width=200, height=200).draw(image))
        label = (alone != 0).any(2).sum()
        color = alone[(alone != 0).any(2)][0]
        assert (together == color).all(2).sum() > 100, label


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file name that is not UTF-8: run it on Linux")
def test_detect_file_name_that_is_not_utf_8_is_resumed(model: list[str], tmp_path: Path) -> None:
    folder, out = tmp_path / "shots", tmp_path / "out"
    folder.mkdir()
    for name in (b"a\xff.png", b"b.png"):
        Image.fromarray(picture(0)).save(folder / os.fsdecode(name), format="png")
    assert run("detect", *model, folder, "--out", out, "--save", "csv") == 0
    assert len((out / "detections.jsonl").read_bytes().splitlines()) == 2
    assert run("detect", *model, folder, "--out", out, "--resume") == 0
    assert len((out / "detections.jsonl").read_bytes().splitlines()) == 2


def test_detect_unwritable_drawing_is_reported_and_others_are_written(
    model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "shots", tmp_path / "out"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(picture(0)).save(folder / name)
    (out / "a.png").mkdir(parents=True)
    assert run("detect", *model, folder, "--out", out) == 1
    assert "a.png: cannot write the drawing: is a directory" in capsys.readouterr().err.replace("\n", " ")
    assert (out / "b.png").is_file()
