"""Paths of the drawings that a run writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from darkparse.datasets.image_files import IMAGE_SUFFIXES
from darkparse.datasets.sources import InputFile
from darkparse.errors import DarkparseError


def plan_drawings(sources: Iterable[InputFile], folder: Path, taken: Iterable[str] = ()) -> dict[Path, str]:
    """Where each drawing goes in the results' folder: its path under the folder that it was named under.

    The ending stays where pictures can be written so, else `.png` is added; one that would meet another, or an earlier
    drawing among those taken, gets a number.

    Raises:
        DarkparseError: a drawing would take the place of its picture.
    """
    chosen: dict[Path, str] = {}
    used = {folder / drawing for drawing in taken}
    for source in sources:
        inside = (
            source.path.relative_to(source.root) if source.path.is_relative_to(source.root) else Path(source.path.name)
        )
        target = folder / (inside if _can_be_written(source) else inside.with_name(inside.name + ".png"))
        number = 2
        while target in used:
            target = target.with_name(f"{inside.stem} ({number}){target.suffix}")
            number += 1
        if target.resolve() == source.path.resolve():
            raise DarkparseError(f"{source.path}: the drawing would overwrite it; choose another --out")
        used.add(target)
        chosen[source.path] = target.relative_to(folder).as_posix()
    return chosen


def _can_be_written(source: InputFile) -> bool:
    return source.is_video or source.path.suffix.lower() in IMAGE_SUFFIXES - {".gif"}
