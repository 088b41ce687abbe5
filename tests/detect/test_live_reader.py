"""Reading of streams, cameras and videos frame by frame, with a source that the test controls instead of PyAV."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from darkparse.detect import live as live_module
from darkparse.detect.live import Frame, Live
from darkparse.errors import ImageError


class FFmpegError(Exception):
    """Base class of PyAV's errors."""


class InvalidDataError(FFmpegError):
    """Contents that no decoder reads."""


class ProtocolNotFoundError(FFmpegError):
    """Unknown scheme of a URL."""


class DoneError(Exception):
    """Ends a test from the listener."""


class FakeFrame:
    def __init__(self, pixels: object = "pixels", *, time: float | None = None) -> None:
        self.pixels, self.time = pixels, time

    def to_ndarray(self, format: str) -> object:
        if isinstance(self.pixels, Exception):
            raise self.pixels
        return format, self.pixels


class FakePyAV:
    """PyAV that opens what the test lists, one after the other; an exception is raised, packets are played.

    A packet is a list of frames or the error of its decoder. The clock advances when somebody waits, and by a number
    between packets.
    """

    FFmpegError = FFmpegError
    error = SimpleNamespace(ProtocolNotFoundError=ProtocolNotFoundError, InvalidDataError=InvalidDataError)

    def __init__(self) -> None:
        self.contents: list[Any] = []
        self.opened: list[dict[str, Any]] = []
        self.waits: list[float] = []
        self.now = 100.0
        self.closed = 0

    def open(self, source: str, **options: Any) -> Any:
        self.opened.append({"source": source, **options})
        content = self.contents.pop(0)
        if isinstance(content, Exception):
            raise content
        return SimpleNamespace(
            streams=SimpleNamespace(video=[] if content is None else ["video"]),
            demux=lambda video: self.iter_packets(content if video == 0 else ()),
            close=self.count_close,
        )

    def count_close(self) -> None:
        self.closed += 1

    def iter_packets(self, content: Iterable[Any]) -> Iterator[Any]:
        for packet in content:
            if isinstance(packet, int | float):
                self.now += packet
            else:
                yield SimpleNamespace(decode=lambda packet=packet: self.decode(packet))

    def decode(self, packet: Any) -> list[FakeFrame]:
        if isinstance(packet, Exception):
            raise packet
        return [FakeFrame(frame) if isinstance(frame, str) else frame for frame in packet]

    def make_event(self) -> Any:
        event = threading.Event()

        def wait(seconds: float) -> bool:
            self.waits.append(round(seconds, 6))
            self.now += max(seconds, 0)
            return event.is_set()

        return SimpleNamespace(set=event.set, is_set=event.is_set, wait=wait)


@pytest.fixture
def pyav(monkeypatch: pytest.MonkeyPatch) -> FakePyAV:
    fake = FakePyAV()
    monkeypatch.setattr(live_module, "import_pyav", lambda: fake)
    monkeypatch.setattr(live_module, "Event", fake.make_event)
    monkeypatch.setattr(live_module, "time", SimpleNamespace(monotonic=lambda: fake.now, time=lambda: fake.now + 1000))
    return fake


def run_within_seconds(function: Callable[[], None], seconds: float = 20) -> None:
    """Run a function in another thread; fail if it does not end, because a reader that waits forever would."""
    problems: list[BaseException] = []

    def catch() -> None:
        try:
            function()
        except BaseException as problem:  # noqa: BLE001 - raised below
            problems.append(problem)

    thread = threading.Thread(target=catch, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "the reader does not end"
    if problems:
        raise problems[0]


def find_readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "darkparse-live"]


def play(pyav: FakePyAV, source: str, *contents: Any) -> tuple[list[str], list[Frame]]:
    """Play a source until its contents are used up; return the messages of the listener and the received frames."""
    pyav.contents = list(contents)
    messages: list[str] = []
    frames: list[Frame] = []

    def report(message: str) -> None:
        messages.append(message)
        if not pyav.contents:
            raise DoneError

    with suppress(DoneError):
        run_within_seconds(lambda: frames.extend(Live(source, report)))
    assert not pyav.contents
    return messages, frames


REFUSED = ConnectionRefusedError(111, "Connection refused")


def test_wait_before_reconnecting_doubles_until_frames_arrive(pyav: FakePyAV) -> None:
    broken = InvalidDataError("bad data")
    contents = [*[REFUSED] * 6, [["a"]], broken, [], [["b"]], []]
    messages, frames = play(pyav, "tcp://camera", *contents)
    ended = "the stream ended"
    expected = [*zip([REFUSED.strerror] * 6, (1, 2, 4, 8, 16, 30), strict=True)]
    expected += [(ended, 1), ("bad data", 2), (ended, 4), (ended, 1), (ended, 2)]
    assert [message.lower() for message in messages] == [
        f"tcp://camera: {problem}; retrying in {wait} s".lower() for problem, wait in expected
    ]
    assert pyav.waits == [wait for _, wait in expected[:-1]]
    assert frames[-1].number == 1
    assert pyav.closed == 4


@pytest.mark.parametrize(
    "problem", [ProtocolNotFoundError("unknown"), InvalidDataError("bad"), FileNotFoundError(2, "no")]
)
def test_source_that_can_never_be_read_raises(problem: Exception, pyav: FakePyAV) -> None:
    with pytest.raises(ImageError, match=r"^tcp://camera: \w+"):
        play(pyav, "tcp://user:secret@camera", problem)


def test_source_without_video_raises(pyav: FakePyAV, tmp_path: Path) -> None:
    for source in ("tcp://camera", str(tmp_path / "a.mp4")):
        (tmp_path / "a.mp4").touch()
        with pytest.raises(ImageError, match=f"^{source}: no video track$"):
            play(pyav, source, None)
    assert pyav.closed == 2


@pytest.mark.parametrize(("source", "form"), [("/dev/video0", "v4l2"), ("tcp://camera", None)])
def test_camera_is_opened_in_its_format(source: str, form: str | None, pyav: FakePyAV) -> None:
    play(pyav, source, REFUSED)
    (options,) = pyav.opened
    assert (options["source"], options["format"], options["timeout"]) == (source, form, 10)


def test_frames_have_numbers_and_times_of_arrival(pyav: FakePyAV) -> None:
    """Each frame is sent once the last one has been received, so none is skipped."""
    received = threading.Semaphore(1)

    def iter_packets() -> Iterator[Any]:
        for packet in (["a"], 2, ["b"], [FakeFrame(InvalidDataError("corrupt"))], ["c"]):
            if isinstance(packet, list):
                assert received.acquire(timeout=10)
                if isinstance(packet[0], FakeFrame):
                    received.release()  # nobody receives it
            yield packet
        assert received.acquire(timeout=10)

    pyav.contents = [iter_packets()]
    frames, messages = [], list[str]()
    live = Live("tcp://camera", messages.append)

    def receive() -> None:
        for frame in live:
            frames.append(frame)
            if len(frames) == 3:
                live.stop()
            received.release()

    run_within_seconds(receive)
    assert messages == []
    numbers, pixels = zip(*((frame.number, frame.pixels) for frame in frames), strict=True)
    assert numbers == (0, 1, 3)
    assert pixels == (("rgb24", "a"), ("rgb24", "b"), ("rgb24", "c"))
    assert [frame.time for frame in frames] == [1100, 1102, 1102]
    assert live.source == "tcp://camera"


def test_slow_reader_gets_newest_frame(pyav: FakePyAV) -> None:
    """Three frames arrive while the reader is busy with the first."""
    is_busy, have_arrived, is_done = (threading.Event() for _ in range(3))

    def iter_packets() -> Iterator[Any]:
        yield ["a"]
        assert is_busy.wait(10)
        yield from (["b"], ["c"], ["d"])
        have_arrived.set()
        assert is_done.wait(10)

    pyav.contents = [iter_packets()]
    live = Live("tcp://camera", lambda _: None)
    frames: list[tuple[int, object]] = []
    for frame in live:
        frames.append((frame.number, frame.pixels))
        if len(frames) == 1:
            is_busy.set()
            assert have_arrived.wait(10)
        else:
            live.stop()
            is_done.set()
    assert frames == [(0, ("rgb24", "a")), (3, ("rgb24", "d"))]


@pytest.fixture
def video(tmp_path: Path) -> str:
    (tmp_path / "a.mp4").touch()
    return str(tmp_path / "a.mp4")


def test_video_plays_at_its_own_speed_and_ends(pyav: FakePyAV, video: str) -> None:
    packets = [[FakeFrame("a", time=0.5), FakeFrame("b", time=1.25)], 2.5, [FakeFrame("c", time=3)], [FakeFrame("d")]]
    messages, frames = play(pyav, video, packets)
    assert messages == []
    assert pyav.waits == [0.5, 0.75, -0.75]  # the last one is late
    assert frames[-1].number == 3


def test_frames_of_a_stream_are_not_delayed(pyav: FakePyAV) -> None:
    play(pyav, "tcp://camera", [[FakeFrame("a", time=5)]])
    assert pyav.waits == []


@pytest.mark.parametrize("is_video", [False, True])
def test_stream_without_frames_for_ten_seconds_is_lost(is_video: bool, pyav: FakePyAV, video: str) -> None:
    bad = InvalidDataError("bad data")
    packets = [["a"], 9, bad, 1, bad, ["b"], 10.5, bad, ["c"]]
    messages, frames = play(pyav, video if is_video else "tcp://camera", packets)
    if is_video:
        assert messages == []
        assert frames[-1].number == 2
    else:
        assert messages == ["tcp://camera: no frame decoded for 10 s: bad data; retrying in 1 s"]
        assert frames[-1].number == 1


@pytest.mark.parametrize(
    ("packets", "message"),
    [
        ([InvalidDataError("bad data"), InvalidDataError("worse")], "no frame can be decoded: worse"),
        ([InvalidDataError("bad data"), 1, ["a"]], None),
        ([[]], None),
    ],
)
def test_video_without_any_decodable_frame_raises(
    packets: list[Any], message: str | None, pyav: FakePyAV, video: str
) -> None:
    if message is None:
        assert play(pyav, video, packets)[0] == []
        return
    with pytest.raises(ImageError, match=message):
        play(pyav, video, packets)


@pytest.mark.parametrize("error", [InvalidDataError("bad data"), REFUSED])
def test_video_that_cannot_be_opened_raises(error: Exception, pyav: FakePyAV, video: str) -> None:
    with pytest.raises(ImageError, match=f"^{video}: "):
        play(pyav, video, error)


def test_stopped_stream_is_not_reopened(pyav: FakePyAV) -> None:
    pyav.contents = [[["a"], ["b"]], [["c"]]]
    messages: list[str] = []
    live = Live("tcp://camera", messages.append)
    original = pyav.decode

    def stop_and_decode(packet: Any) -> list[FakeFrame]:
        live.stop()
        time.sleep(0.01)  # the iteration ends after its reader
        return original(packet)

    pyav.decode = stop_and_decode  # type: ignore[method-assign]
    frames: list[Frame] = []
    run_within_seconds(lambda: frames.extend(live))
    assert not find_readers()
    assert frames == []
    assert len(pyav.contents) == 1
    assert messages == []


def test_iteration_that_is_closed_stops_its_reader(pyav: FakePyAV) -> None:
    def iter_packets() -> Iterator[Any]:
        while True:
            time.sleep(0.001)
            yield ["a"]

    pyav.contents = [iter_packets()]
    frames = iter(Live("tcp://camera", lambda _: None))
    next(frames)
    (reader,) = find_readers()
    assert reader.daemon  # it must not keep the process alive
    frames.close()  # type: ignore[attr-defined]
    reader.join(20)
    assert not reader.is_alive()


def test_end_of_a_video_wakes_whoever_waits_for_a_frame(pyav: FakePyAV, video: str) -> None:
    def iter_packets() -> Iterator[Any]:
        time.sleep(0.02)  # the other thread waits by now
        yield []

    assert play(pyav, video, iter_packets()) == ([], [])
    assert not find_readers()


def test_live_without_pyav_names_extra() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        with pytest.raises(Exception, match=r"pip install 'darkparse\[video\]'"):
            run_within_seconds(lambda: print(*Live("tcp://camera", lambda _: None)))
