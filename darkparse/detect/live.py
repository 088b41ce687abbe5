"""A live picture, of a camera or a stream: the newest frame is what counts. PyAV is needed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

from darkparse.detect.images import Pixels
from darkparse.detect.video import pyav
from darkparse.errors import ImageError

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp")
"""Of URLs that are live whatever is said."""

CAMERA = "/dev/video"
"""What a camera's device begins with, on Linux."""

SILENCE = 10.0
"""Seconds without a frame after which a stream is lost."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds before a lost stream is tried again; the wait doubles until frames come."""

OPTIONS = {"fflags": "nobuffer", "rtsp_transport": "tcp"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it came."""

    number: int
    """Of all that came, from 0: the numbers of those that were passed over are missing."""
    time: float
    """When, in seconds since 1970."""
    pixels: Pixels
    """(H, W, 3), uint8."""


def is_live(source: str) -> bool:
    """Whether an input is a stream's URL or a camera's device."""
    return source.partition("://")[0] in SCHEMES or source.startswith(CAMERA)


class Live:
    """The newest frames of a camera, a stream or a video: one that comes while another is in work takes the place of
    those that wait.

    A stream that is lost, or not there yet, is tried again and again; a video ends, and plays at its own pace.

    Args:
        source: what PyAV opens: a URL, a camera's device, a file.
        on_loss: called with a sentence when a stream is lost, from another thread.

    Raises:
        ImageError: while frames are taken: a video cannot be read, or a source is none that PyAV knows.
    """

    def __init__(self, source: str, on_loss: Callable[[str], None]) -> None:
        self.source, self._on_loss = source, on_loss
        self.name = re.sub(r"://[^/@]*@", "://", source)
        """The source, without the password that a URL may hold."""
        self._is_video = Path(source).is_file()
        self._stop = Event()
        self._changed = Condition()
        self._newest: tuple[int, float, Any] | None = None
        self._ended = False
        self._problem: ImageError | None = None
        self._count = 0

    def __iter__(self) -> Iterator[Frame]:
        pyav()
        reader = Thread(target=self._read, name="darkparse-live", daemon=True)
        reader.start()
        try:
            while (frame := self._taken()) is not None:
                yield frame
        finally:
            self.stop()
        reader.join()
        if self._problem is not None:
            raise self._problem

    def stop(self) -> None:
        """No more frames; may be called from any thread."""
        self._stop.set()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _taken(self) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            newest, self._newest = self._newest, None
        if newest is None:
            return None
        number, came, frame = newest
        return Frame(number, came, frame.to_ndarray(format="rgb24"))

    def _read(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            before = self._count
            problem, is_final = self._play()
            if is_final:
                self._problem = ImageError(f"{self.name}: {problem}") if problem else None
                break
            wait = FIRST_WAIT if self._count > before else wait
            if not self._stop.is_set():
                self._on_loss(f"{self.name}: {problem}; trying again in {wait:g} s")
                self._stop.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)
        self.stop()

    def _play(self) -> tuple[str, bool]:
        """Take frames until none come. Returns what went wrong, if anything, and whether that is the end."""
        av = pyav()
        try:
            form = "v4l2" if self.source.startswith(CAMERA) else None
            with closing(av.open(self.source, format=form, options=OPTIONS, timeout=SILENCE)) as container:
                if not container.streams.video:
                    return "no picture track in it", True
                self._take(container)
        except (av.FFmpegError, OSError) as problem:
            is_none = isinstance(
                problem, (av.error.ProtocolNotFoundError, av.error.InvalidDataError, FileNotFoundError)
            )
            is_final = self._is_video or (is_none and not self._count)
            return getattr(problem, "strerror", None) or str(problem), is_final
        return "" if self._is_video else "the stream ended", self._is_video

    def _take(self, container: Any) -> None:
        start = time.monotonic()
        for frame in container.decode(video=0):
            if self._is_video and frame.time is not None:
                self._stop.wait(start + frame.time - time.monotonic())
            if self._stop.is_set():
                return
            with self._changed:
                self._newest = (self._count, time.time(), frame)
                self._changed.notify()
            self._count += 1
