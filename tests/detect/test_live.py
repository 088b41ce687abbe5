"""Live pictures, from a stream that the test serves."""

from __future__ import annotations

import io
import json
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkparse.datasets.urls import redact_message, redact_url
from darkparse.detect import live as live_module
from darkparse.detect.live import Frame, Live, is_live
from darkparse.errors import ImageError
from tests.detect.reference import tiny_weights
from tests.detect.test_command import run
from tests.reliability.commands import heed_ctrl_c

av = pytest.importorskip("av", reason="needs PyAV: pip install 'darkparse[video]'")

FRAMES, RATE = 50, 25


def video(form: str) -> bytes:
    """Frames that become lighter one by one."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream("mpeg2video", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 5
        for number in range(FRAMES):
            shade = np.full((48, 64, 3), 20 + 4 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """A stream of two seconds for each client, at its own pace; then the connection is closed."""
    data = video("mpegts")

    class Camera(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            step = len(data) // FRAMES + 1
            try:
                for start in range(0, len(data), step):
                    self.request.sendall(data[start : start + step])
                    time.sleep(1 / RATE)
            except OSError:  # the client has gone
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Camera) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"tcp://user:secret@127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def shades(frames: list[Frame]) -> list[float]:
    return [float(frame.pixels.mean()) for frame in frames]


@pytest.mark.slow
def test_live_slow_reader_gets_newest_frame(served: str) -> None:
    seen: list[Frame] = []
    for frame in Live(served, lambda _: None):
        seen.append(frame)
        if len(seen) == 6:
            break
        time.sleep(0.2)  # five frames come meanwhile
    numbers = [frame.number for frame in seen]
    assert np.diff(numbers).max() >= 3
    assert shades(seen) == sorted(shades(seen))
    assert [frame.time for frame in seen] == sorted(frame.time for frame in seen)
    assert seen[-1].pixels.shape == (48, 64, 3)


@pytest.mark.slow
def test_live_lost_stream_is_reported_and_reopened(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MIN_WAIT", 0.05)
    told: list[str] = []
    seen: list[Frame] = []
    after = 0
    for frame in Live(served, told.append):
        seen.append(frame)
        after += len(told) == 2
        if after == 3:
            break
    assert told == [f"tcp://{served.partition('@')[2]}: the stream ended; retrying in 0.05 s"] * 2
    assert (np.diff(shades(seen)) < -40).sum() == 2  # it began anew, twice
    assert np.diff([frame.number for frame in seen]).min() > 0


def test_live_stream_that_is_not_open_yet_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MIN_WAIT", 0.01)
    told: list[str] = []
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        port = server.server_address[1]
    waited = threading.Event()

    def lost(sentence: str) -> None:
        told.append(sentence)
        if len(told) == 3:
            waited.set()

    source = Live(f"tcp://127.0.0.1:{port}", lost)
    threading.Thread(target=lambda: next(iter(source), None), daemon=True).start()
    assert waited.wait(30)
    source.stop()
    assert [sentence.rpartition(" in ")[2] for sentence in told[:3]] == ["0.01 s", "0.02 s", "0.04 s"]
    assert all("refused" in sentence for sentence in told)


@pytest.mark.slow
def test_live_video_plays_at_its_pace_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a.mpg").write_bytes(video("mpeg"))
    start = time.monotonic()
    seen = list(Live(str(tmp_path / "a.mpg"), lambda _: None))
    assert 0.8 * FRAMES / RATE < time.monotonic() - start < 30
    assert seen[-1].number == FRAMES - 1
    (tmp_path / "b.mpg").write_bytes(b"no video")
    for wrong in (tmp_path / "b.mpg", tmp_path / "none.mpg", "gopher2://x"):
        with pytest.raises(ImageError, match=f"^{wrong}: "):
            list(Live(str(wrong), lambda _: None))


def test_is_live_accepts_streams_and_cameras_only() -> None:
    assert all(map(is_live, ("rtsp://camera/1", "/dev/video0", "tcp://localhost:5")))
    assert not any(map(is_live, ("video.mp4", "s3://bucket/a.jpg", "/dev/zero", "https://host/a.jpg")))


@pytest.mark.slow
def test_detect_live_prints_lines_until_sigint(served: str, tmp_path: Path) -> None:
    model = tiny_weights(tmp_path)
    command = [
        sys.executable,
        "-m",
        "darkparse",
        "detect",
        *map(str, model),
        served,
        "--threshold",
        "0.1",
        "--engine",
        "torch",
    ]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    assert running.stdout is not None
    assert running.stderr is not None
    records = [json.loads(running.stdout.readline()) for _ in range(20)]
    told = running.stderr.readline()
    records.append(json.loads(running.stdout.readline()))
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == 130
    assert told == f"tcp://{served.partition('@')[2]}: the stream ended; retrying in 1 s\n"
    assert "Traceback" not in rest
    assert list(records[0])[:3] == ["image", "frame", "time"]
    assert {record["image"] for record in records} == {f"tcp://{served.partition('@')[2]}"}
    assert (np.diff([record["frame"] for record in records]) > 0).all()
    assert any(record["detections"] for record in records)


def test_detect_live_with_unsupported_option_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_weights(tmp_path)
    for wrong in (["--out", tmp_path], ["--format", "csv"], ["rtsp://another"]):
        assert run("detect", *model, "rtsp://camera", *wrong) == 2
    told = capsys.readouterr().err
    assert told.count("only prints JSON Lines to standard output") == 2
    assert "too many inputs for live detection, got 2" in told
    assert run("detect", *model, tmp_path / "none.mp4", "--live") == 2
    assert f"{tmp_path / 'none.mp4'}: No such file" in capsys.readouterr().err.replace("\n", "")


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "no-size": lambda data: data[: _frame_header(data) + 5] + bytes(4) + data[_frame_header(data) + 9 :],
    "precision": lambda data: data[: _frame_header(data) + 4] + b"\x63" + data[_frame_header(data) + 5 :],
    "components": lambda data: data[: _frame_header(data) + 9] + b"\x7f" + data[_frame_header(data) + 10 :],
    "no-tables": lambda data: data.replace(b"\xff\xc4", b"\xff\xe5"),
    "noise": lambda data: data[:2] + np.random.RandomState(0).bytes(len(data) - 4) + data[-2:],
}


def _frame_header(data: bytes) -> int:
    return data.index(b"\xff\xc0")


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGE)
def test_live_damaged_mjpeg_frames_keep_connection(kind: str) -> None:
    random = np.random.RandomState(0)
    images = [random.randint(0, 256, (240, 320, 3)).astype(np.uint8) for _ in range(4)]
    frames = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "jpeg", quality=95)
        frames.append(file.getvalue())
    connections = []

    class Camera(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connections.append(self.client_address)
            with suppress(OSError):  # the client has gone
                for number in range(3000):
                    data = frames[number % 4]
                    self.request.sendall(DAMAGE[kind](data) if number % 7 == 3 else data)
                    time.sleep(0.01)

    told: list[str] = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Camera) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for seen, _ in enumerate(Live(f"tcp://127.0.0.1:{server.server_address[1]}", told.append)):
            time.sleep(0.02)
            if seen == 50:
                break
        server.shutdown()
    assert told == []
    assert len(connections) == 1


def test_live_stream_without_any_decodable_frame_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "STREAM_TIMEOUT", 0.1)

    class Packet:
        def decode(self) -> list[Any]:
            time.sleep(0.03)
            raise av.error.InvalidDataError(1, "bad data")

    container = SimpleNamespace(demux=lambda video: (Packet() for _ in range(100)))
    live = Live("tcp://camera", lambda _: None)
    assert live._store_frames(container) == "no frame decoded for 0.1 s: bad data"


@pytest.mark.parametrize("problem", [BrokenPipeError("closed"), RuntimeError("bug"), SystemExit(3)])
def test_live_exception_in_listener_is_raised_to_caller(problem: BaseException) -> None:
    def fail(_: str) -> None:
        raise problem

    start = time.monotonic()
    with pytest.raises(type(problem)) as raised:
        list(Live("tcp://127.0.0.1:9", fail))
    assert raised.value is problem
    assert time.monotonic() - start < 5
    assert not any(thread.name == "darkparse-live" and thread.is_alive() for thread in threading.enumerate())


def test_live_exception_in_reader_is_raised_to_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in PyAV")

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(ZeroDivisionError, match="in PyAV"):
        list(Live("tcp://127.0.0.1:9", lambda _: None))


@pytest.mark.parametrize(("url", "printed"), [
    ("rtsp://camera/1", "rtsp://camera/1"),
    ("rtsp://camera:554/1?token=secret", "rtsp://camera:554/1"),
    ("rtsp://user:secret@camera/1", "rtsp://camera/1"),
    ("rtsp://user:sec@ret@camera/1", "rtsp://camera/1"),
    ("rtsp://user:sec/ret@camera/1", "rtsp://camera/1"),
    ("rtsp://user:/s@e/cret@camera:554/1?x=secret#secret", "rtsp://camera:554/1"),
    ("rtsp://secret@camera/1", "rtsp://camera/1"),
    ("rtsp://camera?mail=secret@secret", "rtsp://camera"),
    ("rtsp://user:sec?ret@camera/1", "rtsp://…"),
    ("rtsp://user:sec#ret@camera/1", "rtsp://…"),
    ("rtsp://user:sec@ret?secret@camera/1", "rtsp://…"),
    ("https://host/a.jpg?X-Amz-Signature=secret", "https://host/a.jpg"),
    ("video@home?.mp4", "video@home?.mp4"),
])  # fmt: skip
def test_redact_url_removes_secrets(url: str, printed: str) -> None:
    assert redact_url(url) == Live(url, lambda _: None).name == printed
    assert "secret" not in redact_message(url, OSError(f"404: {url}"))


@pytest.mark.parametrize("url", ["https://u:sec/ret@host/secret.jpg", "https://host/a.jpg?token=secret"])
def test_detect_url_prints_no_secret(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("detect", *tiny_weights(tmp_path), url.replace("/secret.jpg", "/a.jpg")) == 2
    told = capsys.readouterr().err
    assert "https://host/a.jpg: " in told
    assert "secret" not in told
    assert "sec/ret" not in told
