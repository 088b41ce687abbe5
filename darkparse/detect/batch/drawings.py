"""Paths of the drawings that a run writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from darkparse.datasets.image_files import IMAGE_SUFFIXES
from darkparse.datasets.sources import InputFile
from darkparse.errors import DarkparseError


def plan_drawings(sources: Iterable[InputFile], folder: Path, existing: Iterable[str] = ()) -> dict[Path, str]:
    """Return the path of each drawing in the output directory, by the path of its source.

    A drawing keeps the source's path relative to the directory that it was found under. Its extension is kept if images
    of that format can be written; otherwise `.png` is added. A name that is already used gets a number.

    Args:
        sources: Images and videos to draw.
        folder: Output directory.
        existing: Drawings of earlier runs, relative to the output directory.

    Raises:
        DarkparseError: A drawing would overwrite its source.
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
            raise DarkparseError(f"{source.path}: the drawing would overwrite the image; choose another --out")
        used_paths.add(target)
        drawings[source.path] = target.relative_to(folder).as_posix()
    return drawings


def _is_writable(source: InputFile) -> bool:
    return source.is_video or source.path.suffix.lower() in IMAGE_SUFFIXES - {".gif", ".npy"}
