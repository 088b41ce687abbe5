"""Reading and writing of videos. Requires PyAV, which includes FFmpeg."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from darkparse._utils.files import atomic_write
from darkparse.detect.images import Pixels
from darkparse.errors import DarkparseError, ImageError


def import_pyav() -> Any:
    """Return the `av` module; raise DarkparseError with an install command if it is missing."""
    try:
        import av
    except ImportError:
        raise DarkparseError("reading videos requires PyAV\nhint: pip install 'darkparse[video]'") from None
    return av


class Video:
    """A video to read.

    Attributes:
        frames: Number of frames according to the container; 0 if unknown.
        rate: Frames per second.

    Raises:
        ImageError: The file is not a video or has no video track.
    """

    def __init__(self, path: Path) -> None:
        av = import_pyav()
        self.path = path
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, OSError) as problem:
            raise ImageError(f"{path}: {getattr(problem, 'strerror', None) or problem}") from None
        if not self._container.streams.video:
            self._container.close()
            raise ImageError(f"{path}: no video track")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        self.frames: int = stream.frames
        self.rate = Fraction(stream.average_rate or 25)

    def __iter__(self) -> Iterator[Pixels]:
        """Yield every frame, (H, W, 3), uint8; raise ImageError where the video is corrupt."""
        try:
            for frame in self._container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
        except import_pyav().FFmpegError as problem:
            raise ImageError(f"{self.path}: {getattr(problem, 'strerror', None) or problem}") from None

    def close(self) -> None:
        self._container.close()


@contextmanager
def write_video(path: Path, rate: Fraction) -> Iterator[Callable[[Pixels], None]]:
    """Write a video atomically, in H.264 if FFmpeg supports it; yield a function that adds a frame.

    Frames are (H, W, 3), uint8. An odd row or column is duplicated, because H.264 requires even sizes. A `.webm` file
    uses VP9. After an error no file is left.
    """
    av = import_pyav()
    preferred_codec = "libvpx-vp9" if path.suffix.lower() == ".webm" else "libx264"
    codec = preferred_codec if preferred_codec in av.codecs_available else "mpeg4"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part, av.open(str(part), "w") as container:
        stream: Any = None

        def add(pixels: Pixels) -> None:
            nonlocal stream
            height, width = pixels.shape[:2]
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))

        yield add
        if stream is not None:
            container.mux(stream.encode())
