"""Paths of the drawings that a run writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from darkparse.datasets.image_files import IMAGE_SUFFIXES
from darkparse.datasets.sources import InputFile
from darkparse.errors import DarkparseError


def plan_drawings(sources: Iterable[InputFile], folder: Path, existing: Iterable[str] = ()) -> dict[Path, str]:
    """Where each drawing goes in the results' folder: its path under the folder that it was named under.

    The ending stays where pictures can be written so, else `.png` is added; one that would meet another, or an earlier
    drawing among those taken, gets a number.

    Raises:
        DarkparseError: a drawing would take the place of its picture.
    """
    drawings: dict[Path, str] = {}
    used_paths = {folder / drawing for drawing in existing}
    for source in sources:
        relative = (
            source.path.relative_to(source.root) if source.path.is_relative_to(source.root) else Path(source.path.name)
        )
        target = folder / (relative if _is_writable(source) else relative.with_name(relative.name + ".png"))
        number = 2
        while target in used_paths:
            target = target.with_name(f"{relative.stem} ({number}){target.suffix}")
            number += 1
        if target.resolve() == source.path.resolve():
            raise DarkparseError(f"{source.path}: the drawing would overwrite it; choose another --out")
        used_paths.add(target)
        drawings[source.path] = target.relative_to(folder).as_posix()
    return drawings


def _is_writable(source: InputFile) -> bool:
    return source.is_video or source.path.suffix.lower() in IMAGE_SUFFIXES - {".gif"}
