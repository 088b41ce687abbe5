"""Runs over many files: what is detected, drawn, written and reported, with a detector that only counts."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkparse.datasets.sources import InputFile
from darkparse.detect import Detection, Detections, streaming
from darkparse.detect import video as video_module
from darkparse.detect.batch import process as process_module
from darkparse.detect.batch.journal import Journal
from darkparse.detect.batch.process import FileResult, process
from darkparse.detect.streaming import Result
from darkparse.detect.video import Video, write_video
from darkparse.errors import ImageError
from darkparse.network.detection_settings import DetectionSettings
from tests.detect.test_streaming import EchoDetector, start

SIZE = (6, 8)
FRAME = np.full((*SIZE, 3), 7, np.uint8)


class FileDetector(EchoDetector):
    """Detects one object in each file; a name with `bad` cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bool] = []
        self.resets = 0

    def prepare(self, image: Any, settings: DetectionSettings, *, keep_pixels: bool = False) -> Any:
        self.kept.append(keep_pixels)
        if "bad" in str(image):
            raise ImageError(f"{image}: damaged")
        return SimpleNamespace(image=image, pixels=FRAME if keep_pixels else None)

    def run(self, prepared: Sequence[Any], settings: DetectionSettings, *, continuing: bool = False) -> list[Any]:
        self.continued.append(continuing)
        detection = Detection(0, "cat", 0.5, 0.5, (0.5, 0.5, 0.5, 0.5), SIZE)
        return [Detections([detection], height=SIZE[0], width=SIZE[1]) for _ in prepared]

    def reset_state(self) -> None:
        self.resets += 1


def make_sources(folder: Path, names: Iterable[str]) -> list[InputFile]:
    return [InputFile(folder / "in" / name, folder / "in") for name in names]


def run(sources: list[InputFile], detector: Any = None, **options: Any) -> list[FileResult]:
    detector = detector or FileDetector()
    return list(process(detector, sources, DetectionSettings(), batch=1, workers=1, **options))


def read_records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "detections.jsonl").read_text("utf-8").splitlines()]


def make_journal(folder: Path, *, resume: bool = False) -> Journal:
    folder.mkdir(exist_ok=True)
    return Journal(folder, {"relative_to": None}, resume=resume)


def test_run_draws_and_records_each_image_once(tmp_path: Path) -> None:
    sources, out = (
        make_sources(tmp_path, ("a.png", "b/bad.png", "b/a.png", "c.jpg", "d.png", "e.png")),
        tmp_path / "out",
    )
    detector = FileDetector()
    with make_journal(out) as journal:
        for number, result in enumerate(process(detector, sources, DetectionSettings(), batch=1, journal=journal)):  # type: ignore[arg-type]
            assert result.source is sources[number]
            if number != 1:  # its drawing is in place, and its line is in the journal
                with Image.open(out / str(result.drawing)) as drawing:
                    assert drawing.size == SIZE[::-1]
                assert read_records(out)[-1] == result.record
    records = read_records(out)
    assert [record["image"] for record in records] == [source.name for source in sources if "bad" not in source.name]
    assert list(records[0])[:2] == ["image", "drawing"]
    assert records[1]["drawing"] == "b/a.png"
    assert set(detector.kept) == {True}
    assert not (out / "b" / "bad.png").exists()
    with make_journal(out, resume=True) as journal:
        again = run(sources, journal=journal)
    assert [result.source.path.name for result in again] == ["bad.png"]
    assert isinstance(again[0].result, ImageError)


@pytest.mark.parametrize("has_journal", [False, True])
def test_run_without_drawings_keeps_no_pixels(has_journal: bool, tmp_path: Path) -> None:
    detector, sources = FileDetector(), make_sources(tmp_path, ("a.png", "bad.png"))
    if has_journal:
        with make_journal(tmp_path) as journal:
            results = run(sources, detector, journal=journal, draw_images=False)
        assert [record["image"] for record in read_records(tmp_path)] == [sources[0].name]
    else:
        results = run(sources, detector)
        assert list(tmp_path.iterdir()) == []
    assert [isinstance(result.result, ImageError) for result in results] == [False, True]
    assert {result.drawing for result in results} == {None}
    assert set(detector.kept) == {False}
    assert "drawing" not in results[0].record


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (OSError(errno.EIO, "Input/output error"), None),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (OSError("odd"), "odd"),
    ],
)
def test_failed_drawing_ends_the_run_if_the_next_would_fail_too(
    problem: OSError, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: Any, target: Path) -> None:
        if target.name == "a.png":
            raise problem

    monkeypatch.setattr(process_module, "save", fail)
    sources = make_sources(tmp_path, ("a.png", "b.png"))
    with make_journal(tmp_path / "out") as journal:
        if message is None:
            with pytest.raises(OSError, match=str(problem.strerror)):
                run(sources, journal=journal)
            assert read_records(tmp_path / "out") == []
            return
        first, second = run(sources, journal=journal)
    assert str(first.result) == f"{sources[0].name}: cannot write the drawing: {message}"
    assert isinstance(second.result, Detections)
    assert [record["image"] for record in read_records(tmp_path / "out")] == [sources[1].name]


@pytest.mark.parametrize("batch", [1, 4])
def test_run_waits_for_a_drawing_after_a_batch_more_than_its_writers(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0

    def stream(detector: Any, images: Iterable[Path], *_: object, **__: object) -> Iterator[Result]:
        nonlocal read
        for path in images:
            read += 1
            yield Result(path, ImageError("unreadable"))

    monkeypatch.setattr(process_module, "stream", stream)
    sources = make_sources(tmp_path, [f"{number}.png" for number in range(12)])
    detector: Any = FileDetector()
    results = process(detector, sources, DetectionSettings(), batch=batch)
    counts = [read for _ in results]
    assert counts == [min(batch + 3 + number, 12) for number in range(12)]


class FakeVideo:
    rate = Fraction(10)

    def __init__(self, path: Path) -> None:
        if "bad" in path.name:
            raise ImageError(f"{path}: no video")
        self.path = path

    def __iter__(self) -> Iterator[Any]:
        yield from (FRAME, FRAME)
        if "half" in self.path.name:
            yield from (FRAME, FRAME)
            raise ImageError(f"{self.path}: damaged")

    def close(self) -> None:
        pass


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list to which paths, rates and frames of written videos are added."""
    calls: list[Any] = []

    @contextmanager
    def write(path: Path, rate: Fraction) -> Iterator[Callable[[Any], None]]:
        calls.append((path.name, rate))
        yield calls.append

    monkeypatch.setattr(process_module, "Video", FakeVideo)
    monkeypatch.setattr(process_module, "write_video", write)
    return calls


def test_run_draws_videos_between_images(written: list[Any], tmp_path: Path) -> None:
    detector, out = FileDetector(), tmp_path / "out"
    detector.is_stateful = True  # one thread, which reads two frames ahead
    sources = make_sources(tmp_path, ("a.png", "bad.mp4", "b.mp4", "half.mp4", "c.png"))
    with make_journal(out) as journal:
        results = run(sources, detector, journal=journal)
    assert [(result.source.path.name, result.frame) for result in results] == [
        *(("a.png", None), ("bad.mp4", None), ("b.mp4", 0), ("b.mp4", 1)),
        *(("half.mp4", 0), ("half.mp4", 1), ("half.mp4", None), ("c.png", None)),
    ]
    assert [str(results[i].result).rpartition(": ")[2] for i in (1, 6)] == ["no video", "damaged"]
    records = read_records(out)  # a video that ends in an error leaves no line
    assert [(record.get("frame"), record["drawing"]) for record in records] == [
        (None, "a.png"),
        (0, "b.mp4"),
        (1, "b.mp4"),
        (None, "c.png"),
    ]
    assert list(records[1])[:3] == ["image", "frame", "drawing"]
    assert [call for call in written if isinstance(call, tuple)] == [("b.mp4", 10), ("half.mp4", 10)]
    drawn = [call for call in written if not isinstance(call, tuple)]
    assert [frame.shape for frame in drawn] == [(*SIZE, 3)] * 4
    assert not np.array_equal(drawn[0], FRAME)
    assert detector.resets == 2
    assert (detector.continued[0], set(detector.continued[1:-1]), detector.continued[-1]) == (False, {True}, False)
    assert all(detector.kept)


@pytest.mark.parametrize("has_journal", [False, True])
def test_run_without_drawings_writes_no_video(has_journal: bool, written: list[Any], tmp_path: Path) -> None:
    detector, sources = FileDetector(), make_sources(tmp_path, ["b.mp4"])
    if has_journal:
        with make_journal(tmp_path) as journal:
            results = run(sources, detector, journal=journal, draw_images=False)
        assert [record["frame"] for record in read_records(tmp_path)] == [0, 1]
    else:
        results = run(sources, detector)
    assert [result.frame for result in results] == [0, 1]
    assert written == []
    assert not any(detector.kept)


def test_stream_that_is_closed_waits_for_its_threads_and_drops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    started, release, detector = threading.Event(), threading.Event(), EchoDetector()
    run_batch = detector.run

    class Pool(ThreadPoolExecutor):
        """Pool whose second batch runs until the stream is closed."""

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            release.set()
            super().shutdown(wait=wait)

    def run_slowly(prepared: Sequence[int], *arguments: Any, **options: Any) -> list[int]:
        if prepared[0] == 1:
            started.set()
            assert release.wait(5)
            time.sleep(0.01)
        return run_batch(prepared, *arguments, **options)

    monkeypatch.setattr(streaming, "ThreadPoolExecutor", Pool)
    detector.run = run_slowly  # type: ignore[method-assign]
    results = start(detector, range(10), batch=1, workers=1)
    assert next(results).result == 0
    assert started.wait(5)
    results.close()  # type: ignore[attr-defined]
    assert detector.batches == [[0], [1]]


class FakeContainer:
    """A container of PyAV to read or to write."""

    def __init__(self, *, tracks: int = 1, rate: Fraction | None = Fraction(30), frames: Any = ()) -> None:
        stream = SimpleNamespace(frames=5, average_rate=rate, thread_type="")
        self.streams = SimpleNamespace(video=[stream] * tracks)
        self.frames, self.closed = frames, 0
        self.muxed: list[Any] = []
        self.added: list[Any] = []

    def decode(self, video: int) -> Any:
        return self.frames if video == 0 else ()

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> FakeContainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_stream(self, codec: str, rate: Fraction) -> Any:
        stream = SimpleNamespace(encode=lambda *frame: frame)
        self.added.append((codec, rate, stream))
        return stream

    def mux(self, packets: Any) -> None:
        self.muxed.append(packets)


def convert_to_frame(pixels: Any, **options: str) -> tuple[Any, str]:
    return pixels.copy(), options["format"]


class FakeError(Exception):
    strerror = "Invalid data"


@pytest.fixture
def pyav(monkeypatch: pytest.MonkeyPatch) -> Any:
    fake = SimpleNamespace(
        FFmpegError=FakeError,
        codecs_available={"libx264", "libvpx-vp9"},
        VideoFrame=SimpleNamespace(from_ndarray=convert_to_frame),
    )
    fake.container = FakeContainer()
    fake.open = lambda *_: fake.container
    monkeypatch.setattr(video_module, "import_pyav", lambda: fake)
    return fake


@pytest.mark.parametrize(("rate", "expected"), [(Fraction(30000, 1001), Fraction(30000, 1001)), (None, 25)])
def test_video_without_a_rate_has_25_frames_per_second(rate: Fraction | None, expected: Fraction, pyav: Any) -> None:
    frames = [SimpleNamespace(to_ndarray=dict)] * 2
    pyav.container = FakeContainer(rate=rate, frames=frames)
    video = Video(Path("a.mp4"))
    assert (video.rate, video.frames) == (expected, 5)
    assert list(video) == [{"format": "rgb24"}] * 2
    assert pyav.container.closed == 0
    video.close()
    assert pyav.container.closed == 1


def test_video_without_video_track_is_closed(pyav: Any) -> None:
    pyav.container = FakeContainer(tracks=0)
    with pytest.raises(ImageError, match=r"^a\.mp4: no video track$"):
        Video(Path("a.mp4"))
    assert pyav.container.closed == 1


def test_damaged_video_names_file_and_problem(pyav: Any) -> None:
    def decode() -> Iterator[Any]:
        yield SimpleNamespace(to_ndarray=dict)
        raise FakeError

    pyav.container = FakeContainer(frames=decode())
    frames = iter(Video(Path("a.mp4")))
    assert next(frames)
    with pytest.raises(ImageError, match=r"^a\.mp4: Invalid data$"):
        next(frames)

    def refuse(*_: object) -> None:
        raise FakeError

    pyav.open = refuse
    with pytest.raises(ImageError, match=r"^a\.mp4: Invalid data$"):
        Video(Path("a.mp4"))


@pytest.mark.parametrize(
    ("name", "available", "codec"),
    [
        ("a.mp4", True, "libx264"),
        ("a.MKV", True, "libx264"),
        ("a.WEBM", True, "libvpx-vp9"),
        ("a.mp4", False, "mpeg4"),
        ("a.webm", False, "mpeg4"),
    ],
)
def test_video_is_written_in_the_best_codec_that_exists(
    name: str, available: bool, codec: str, pyav: Any, tmp_path: Path
) -> None:
    pyav.codecs_available = pyav.codecs_available if available else set()
    for _ in range(2):  # the second time the directory exists
        pyav.container = FakeContainer()
        with write_video(tmp_path / "new" / "folder" / name, Fraction(7)) as add:
            add(FRAME)
            add(FRAME + 1)
    ((used, rate, stream),) = pyav.container.added
    assert (used, rate, stream.height, stream.width, stream.pix_fmt) == (codec, 7, 6, 8, "yuv420p")
    first, second, rest = pyav.container.muxed
    np.testing.assert_array_equal(first[0][0], FRAME)
    np.testing.assert_array_equal(second[0][0], FRAME + 1)
    assert (first[0][1], rest) == ("rgb24", ())
    assert (tmp_path / "new" / "folder" / name).is_file()


@pytest.mark.parametrize(("height", "width"), [(5, 8), (6, 7), (5, 7), (3, 1)])
def test_video_of_odd_size_repeats_its_last_row_or_column(height: int, width: int, pyav: Any, tmp_path: Path) -> None:
    pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    with write_video(tmp_path / "a.mp4", Fraction(7)) as add:
        add(pixels)
    even = pyav.container.muxed[0][0][0]
    assert even.shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_array_equal(even[:height, :width], pixels)
    np.testing.assert_array_equal(even[-1, :width], pixels[-1])
    np.testing.assert_array_equal(even[:height, -1], pixels[:, -1])


def test_video_without_frames_has_no_track(pyav: Any, tmp_path: Path) -> None:
    with write_video(tmp_path / "a.mp4", Fraction(7)):
        pass
    assert pyav.container.muxed == pyav.container.added == []
