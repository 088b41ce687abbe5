"""Newest frames of cameras and streams. Requires PyAV."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

from darkparse.datasets.urls import redact_url
from darkparse.detect.images import Pixels
from darkparse.detect.video import import_pyav
from darkparse.errors import ImageError
from darkparse.syntax.files import describe_error

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp")
"""URL schemes that are always live."""

CAMERA_PREFIX = "/dev/video"
"""Path prefix of camera devices on Linux."""

STREAM_TIMEOUT = 10.0
"""Seconds without a frame after which a stream counts as lost."""
MIN_WAIT, MAX_WAIT = 1.0, 30.0
"""Seconds before reconnecting to a lost stream; the wait doubles until frames arrive."""

PYAV_OPTIONS = {"fflags": "nobuffer", "rtsp_transport": "tcp"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A received frame."""

    number: int
    """Number among all received frames, from 0; skipped frames leave gaps."""
    time: float
    """Time of arrival in seconds since 1970."""
    pixels: Pixels
    """(H, W, 3), uint8."""


def is_live(source: str) -> bool:
    """Return whether an input is a stream URL or a camera device."""
    return source.partition("://")[0] in LIVE_SCHEMES or source.startswith(CAMERA_PREFIX)


class Live:
    """Newest frames of a camera, a stream or a video; a new frame replaces one that is still waiting.

    A lost or unavailable stream is retried indefinitely. A video plays at its own speed and ends.

    Args:
        source: Input of PyAV: a URL, a camera device or a file.
        on_loss: Called with a message from another thread when a stream is lost; an exception that it raises ends the
            iteration and is raised there.

    Raises:
        ImageError: During iteration, if a video cannot be read or PyAV does not support the source.
    """

    def __init__(self, source: str, on_loss: Callable[[str], None]) -> None:
        self.source, self._on_loss = source, on_loss
        self.name = redact_url(source)
        """The source, without the password and the query string that a URL may hold."""
        self._is_video = Path(source).is_file()
        self._stop = Event()
        self._changed = Condition()
        self._newest: tuple[int, float, Any] | None = None
        self._ended = False
        self._problem: BaseException | None = None
        self._count = 0

    def __iter__(self) -> Iterator[Frame]:
        reader = Thread(target=self._read, name="darkparse-live", daemon=True)
        reader.start()
        try:
            while (frame := self._wait_for_frame()) is not None:
                yield frame
        finally:
            self.stop()
        reader.join()
        if self._problem is not None:
            raise self._problem

    def stop(self) -> None:
        """Stop the iteration; may be called from any thread."""
        self._stop.set()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _wait_for_frame(self) -> Frame | None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._ended)
                newest, self._newest = self._newest, None
            if newest is None:
                return None
            number, timestamp, frame = newest
            with suppress(import_pyav().FFmpegError):  # a corrupt frame in a pixel format that cannot be converted
                return Frame(number, timestamp, frame.to_ndarray(format="rgb24"))

    def _read(self) -> None:
        try:
            self._play_with_retries()
        except BaseException as problem:  # noqa: BLE001 - raised to the caller, who would wait forever otherwise
            self._problem = problem
        finally:
            self.stop()

    def _play_with_retries(self) -> None:
        wait = MIN_WAIT
        while not self._stop.is_set():
            count_before = self._count
            problem, is_final = self._play()
            if is_final and problem:
                raise ImageError(f"{self.name}: {problem}")
            if is_final:
                return
            wait = MIN_WAIT if self._count > count_before else wait
            if not self._stop.is_set():
                self._on_loss(f"{self.name}: {problem}; retrying in {wait:g} s")
                self._stop.wait(wait)
                wait = min(2 * wait, MAX_WAIT)

    def _play(self) -> tuple[str, bool]:
        """Store frames until the source ends; return the problem, if any, and whether the end is final."""
        av = import_pyav()
        try:
            container_format = "v4l2" if self.source.startswith(CAMERA_PREFIX) else None
            with closing(
                av.open(self.source, format=container_format, options=PYAV_OPTIONS, timeout=STREAM_TIMEOUT)
            ) as container:
                if not container.streams.video:
                    return "no video track", True
                problem = self._store_frames(container)
        except (av.FFmpegError, OSError) as error:
            is_invalid = isinstance(
                error, (av.error.ProtocolNotFoundError, av.error.InvalidDataError, FileNotFoundError)
            )
            return describe_error(error), self._is_video or (is_invalid and not self._count)
        return problem or ("" if self._is_video else "the stream ended"), self._is_video

    def _store_frames(self, container: Any) -> str:
        """Store each frame as the newest until the source ends; return the reason if no frame can be decoded.

        A corrupt frame is skipped: the connection stays open, and the next frame may be intact.
        """
        start = last = time.monotonic()
        problem = ""
        for packet in container.demux(video=0):
            try:
                frames = packet.decode()
            except import_pyav().FFmpegError as error:
                frames, problem = [], f": {describe_error(error)}"
            for frame in frames:
                if self._is_video and frame.time is not None:
                    self._stop.wait(start + frame.time - time.monotonic())
                if self._stop.is_set():
                    return ""
                with self._changed:
                    self._newest = (self._count, time.time(), frame)
                    self._changed.notify()
                self._count += 1
                last = time.monotonic()
            if self._stop.is_set():
                return ""
            if not self._is_video and time.monotonic() - last > STREAM_TIMEOUT:
                return f"no frame decoded for {STREAM_TIMEOUT:g} s{problem}"
        return f"no frame can be decoded{problem}" if problem and last == start else ""
