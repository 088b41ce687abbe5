"""Detection in many images and videos: reading, detection, drawing and writing overlap."""

from __future__ import annotations

import errno
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from darkparse.datasets.sources import InputFile
from darkparse.detect.batch.drawings import plan_drawings
from darkparse.detect.batch.journal import Journal
from darkparse.detect.batch.results import Record, json_line
from darkparse.detect.detections import Detections
from darkparse.detect.detector import Detector
from darkparse.detect.drawing import save
from darkparse.detect.streaming import Result, stream
from darkparse.detect.video import Video, write_video
from darkparse.errors import ImageError
from darkparse.network.detection_settings import DetectionSettings

WRITER_THREADS = 2
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors that would also affect the next drawing: a full disk, a quota, a size limit, a failing device."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """Result for an image or a frame of a video."""

    source: InputFile
    result: Detections | ImageError
    frame: int | None = None
    drawing: str | None = None
    """Path of the drawing, relative to the output directory."""

    @property
    def record(self) -> Record:
        assert isinstance(self.result, Detections)
        head = {"image": self.source.name, "frame": self.frame, "drawing": self.drawing}
        return (
            {key: value for key, value in head.items() if value is not None}
            | self.result.to_dict()
            | {"image": self.source.name}
        )


def process(
    detector: Detector,
    sources: list[InputFile],
    settings: DetectionSettings,
    *,
    batch: int,
    workers: int | None = None,
    journal: Journal | None = None,
    draw_images: bool = True,
) -> Iterator[FileResult]:
    """Detect objects in images and videos; with a journal, also save results and drawings.

    Yields each image once its drawing is in place and its line is in the journal. Images that are already in the
    journal are skipped. An unreadable image yields its error, and the run continues. A full or failing disk ends it.

    Args:
        detector: Detector to run.
        sources: Images and videos.
        settings: Thresholds, and how images are read.
        batch: Number of images per batch.
        workers: Number of threads; see `stream`.
        journal: Where the results are written.
        draw_images: Save drawings; requires a journal.

    Raises:
        OSError: A result cannot be written, or the disk has no room for a drawing.
    """
    remaining = [source for source in sources if not (journal and journal.has(source.name))]
    drawings = plan_drawings(remaining, journal.folder, journal.drawings) if journal and draw_images else {}
    for is_video, group in groupby(remaining, key=lambda source: source.is_video):
        if is_video:
            for source in group:
                yield from _process_video(detector, source, settings, batch, journal, drawings.get(source.path))
            continue
        yield from _process_images(detector, group, settings, batch, workers, journal, drawings)


def _process_images(
    detector: Detector,
    sources: Iterator[InputFile],
    settings: DetectionSettings,
    batch: int,
    workers: int | None,
    journal: Journal | None,
    drawings: dict[Path, str],
) -> Iterator[FileResult]:
    by_path: dict[Path, InputFile] = {}

    def paths() -> Iterator[Path]:
        for source in sources:
            by_path[source.path] = source
            yield source.path

    outcomes = stream(detector, paths(), settings, batch=batch, workers=workers, keep_pixels=bool(drawings))
    with ThreadPoolExecutor(WRITER_THREADS, thread_name_prefix="darkparse-write") as pool:
        pending: deque[tuple[FileResult, Future[None]]] = deque()
        for outcome in outcomes:
            file_result = FileResult(by_path.pop(outcome.source), outcome.result, drawing=drawings.get(outcome.source))
            target = journal.folder / file_result.drawing if journal and file_result.drawing else None
            pending.append((file_result, pool.submit(_write_drawing, outcome, target)))
            if len(pending) > batch + WRITER_THREADS:
                yield _add_to_journal(*pending.popleft(), journal)
        while pending:
            yield _add_to_journal(*pending.popleft(), journal)


def _write_drawing(outcome: Result, target: Path | None) -> None:
    if target is not None and isinstance(outcome.result, Detections):
        save(outcome.result.draw(outcome.pixels), target)


def _add_to_journal(file_result: FileResult, writing: Future[None], journal: Journal | None) -> FileResult:
    try:
        writing.result()
    except OSError as problem:
        if problem.errno in DISK_ERRORS:
            raise
        reason = problem.strerror or problem
        return replace(file_result, result=ImageError(f"{file_result.source.name}: cannot write the drawing: {reason}"))
    if journal is not None and isinstance(file_result.result, Detections):
        journal.add(file_result.record)
    return file_result


def _process_video(
    detector: Detector,
    source: InputFile,
    settings: DetectionSettings,
    batch: int,
    journal: Journal | None,
    drawing: str | None,
) -> Iterator[FileResult]:
    """Yield the frames of a video; add its lines to the journal together, once its drawing is in place."""
    try:
        video = Video(source.path)
    except ImageError as problem:
        yield FileResult(source, problem)
        return
    target = journal.folder / drawing if journal and drawing else None
    # A long video has many lines, so they are buffered in a file rather than in memory.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as lines:
        try:
            with closing(video), write_video(target, video.rate) if target else nullcontext() as add_frame:
                detector.reset_state()
                outcomes = stream(
                    detector, video, settings, batch=batch, keep_pixels=add_frame is not None, continuing=True
                )
                for number, outcome in enumerate(outcomes):
                    file_result = FileResult(source, outcome.result, number, drawing)
                    if add_frame is not None and isinstance(outcome.result, Detections):
                        add_frame(np.asarray(outcome.result.draw(outcome.pixels)))
                    if journal is not None:
                        lines.write(json_line(file_result.record))
                    yield file_result
        except ImageError as problem:
            yield FileResult(source, problem)
            return
        if journal is not None:
            lines.seek(0)
            journal.add_video(lines)
