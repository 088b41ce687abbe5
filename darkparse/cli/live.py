"""`darkparse detect --live`: detect in the newest frame of a camera or stream, one JSON line per frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from darkparse.cli.common import WarningPrinter, stderr
from darkparse.detect.batch.results import json_line
from darkparse.network.detection_settings import DetectionSettings

if TYPE_CHECKING:
    from darkparse.detect.detector import Detector


def watch(detector: Detector, source: str, settings: DetectionSettings) -> None:
    """Detect in a stream until it ends or the program stops; print each line when it is ready.

    Raises:
        ImageError: A video cannot be read, or the source does not exist.
    """
    from darkparse.detect.live import Live

    console = stderr()
    live = Live(source, lambda sentence: console.print(sentence, style="yellow", soft_wrap=True))
    remarks = WarningPrinter(console)
    detector.warm_up()
    for frame in live:
        (detections,) = detector.run([detector.prepare(frame.pixels)], settings, continuing=True)
        remarks.add(live.name, detections.warnings)
        head = {"image": live.name, "frame": frame.number, "time": round(frame.time, 3)}
        click.echo(json_line(head | detections.to_dict() | {"image": live.name}), nl=False)
    remarks.end()
