"""Output of `darkparse detect` while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from darkparse.cli.common import WarningPrinter, stderr
from darkparse.errors import ImageError

if TYPE_CHECKING:
    from darkparse.detect.batch.process import FileResult
    from darkparse.detect.batch.results import Formatter


class DetectionPrinter:
    """Prints the lines of each finished image, with a progress bar on a terminal."""

    def __init__(self, total: int, formatter: Formatter | None, *, already: int = 0) -> None:
        self.total, self.already = total, already
        self._last: str | None = None
        self._formatter = formatter

    def __enter__(self) -> DetectionPrinter:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = stderr()
        self._remarks = WarningPrinter(self._console)
        columns = (
            TextColumn("detecting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
        )
        quiet = not self._console.is_terminal
        self._progress = Progress(*columns, console=self._console, transient=True, disable=quiet)
        self._progress.start()
        self._task = self._progress.add_task("", total=self.total, completed=self.already, rate="")
        if self.already:
            self._console.print(f"{self.already} of {self.total} are already done", style="dim")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._progress.stop()
        self._remarks.end()
        if self._formatter is not None and kind is None:
            click.echo(self._formatter.end(), nl=False)

    def add(self, file_result: FileResult) -> bool:
        """Print the results of an image; return whether it could not be read."""
        if file_result.source.name != self._last:
            rate = f"{task.speed:.1f}/s" if (task := self._progress.tasks[0]).speed else ""
            self._progress.update(self._task, advance=1, rate=rate)
            self._last = file_result.source.name
        if isinstance(file_result.result, ImageError):
            self._console.print(f"{file_result.result}", style="red", soft_wrap=True)
            return True
        self._remarks.add(file_result.source.name, file_result.result.warnings if not file_result.frame else ())
        if self._formatter is not None:
            self._print(self._formatter.add(file_result.record))
        else:
            self._print(
                "".join(
                    f"{line}\n"
                    for line in text_lines(file_result, heading=self.total > 1 or file_result.frame is not None)
                )
            )
        return False

    def _print(self, text: str) -> None:
        """Print to standard output, above the bar if both are on the same terminal."""
        if not self._progress.disable and sys.stdout.isatty():
            self._progress.console.out(text, end="")
        else:
            click.echo(text, nl=False)


def text_lines(file_result: FileResult, *, heading: bool) -> Iterator[str]:
    """Yield Darknet's lines for an image, such as `dog: 93%`; with `heading`, the name of the image precedes them."""
    detections: Iterable[Any] = file_result.result  # type: ignore[assignment]
    indent = "  " if heading else ""
    if heading:
        frame = "" if file_result.frame is None else f" frame {file_result.frame}"
        yield f"{file_result.source.name}{frame}:"
    for detection in detections:
        yield f"{indent}{detection.line}"
    if not detections:
        yield f"{indent}no detections"
