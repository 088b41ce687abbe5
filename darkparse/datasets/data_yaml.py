"""`data.yaml` of ultralytics and Roboflow: directories or lists of images, and class names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from darkparse.datasets.data_file import MAX_LIST_BYTES, read_lines
from darkparse.datasets.dataset import Dataset, DatasetImage
from darkparse.datasets.image_files import find_images
from darkparse.diagnostics.source import Source, Span, quote_safe, truncate
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import Dialect
from darkparse.syntax.files import is_file, read_text

KEYS = {"train": "train", "valid": "val", "names": "names", "classes": "nc"}
"""Key in `data.yaml` of each key of a `.data` file."""


def read_data_yaml(path: Path) -> DataYaml:
    """Read a `data.yaml`; raise DarkparseError if it cannot be read or is not a mapping."""
    import yaml

    source = Source(str(path), read_text(path), path)
    try:
        values = yaml.safe_load(source.text)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise DarkparseError(f"{path}: not valid YAML: {truncate(' '.join(str(problem).split()))}") from None
    if not isinstance(values, dict):
        raise DarkparseError(f"{path}: expected a mapping with train, val and names, got a {type(values).__name__}")
    spans = {}
    for key, name in KEYS.items():
        match = re.search(rf"^{name}[ \t]*:[ \t]*([^\n#]*?)[ \t\r]*(?:#.*)?$", source.text, re.MULTILINE)
        if match and values.get(name) is not None:
            spans[key] = Span(source, match.start(1), match.end(1))
    return DataYaml(path, spans, values)


@dataclass(frozen=True)
class DataYaml(Dataset):
    """A data set in the layout of ultralytics: labels of images in `images` are in `labels`, others beside the image.

    Paths are relative to `path`, which is relative to the working directory or to the file itself.
    """

    path: Path
    options: Mapping[str, Span]
    values: Mapping[str, Any]
    titles: ClassVar[Mapping[str, str]] = KEYS

    @cached_property
    def names(self) -> tuple[str, ...]:
        names = self.values.get("names")
        if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
            names = [names[key] for key in sorted(names, key=int)]
        if not isinstance(names, list) or not names:
            raise DarkparseError(f"{self.path}: names must be a list of class names, or a mapping from 0, 1, … to them")
        return tuple(map(str, names))

    def file(self, key: str) -> Path:
        """Return the path of the file itself, where each list is stated; raise DarkparseError if the key is missing."""
        if key not in self.options:
            raise DarkparseError(f"{self.path}: missing line '{KEYS.get(key, key)}: …'")
        return self.path

    def images(self, key: str, dialect: Dialect, limit: int | None = None) -> list[DatasetImage]:
        self.file(key)
        return list(islice(self._list_images(key), limit))

    def _list_images(self, key: str) -> Iterator[DatasetImage]:
        line, value = self.options[key].line, self.values[KEYS[key]]
        for entry in value if isinstance(value, list) else [value]:
            place = self._resolve(str(entry), key)
            if place.is_dir():
                paths = find_images(place)
            else:
                texts = filter(None, read_lines(place, MAX_LIST_BYTES))
                paths = [place.parent / text if not Path(text).exists() else Path(text) for text in texts]
            yield from (DatasetImage(str(path), str(_find_label(path)), line) for path in paths)

    def _resolve(self, text: str, key: str) -> Path:
        """Return a directory or list; Roboflow writes `../train/images` for a directory beside the file."""
        folder, root = self.path.parent, Path(str(self.values.get("path") or "."))
        relative = text.removeprefix("../")
        places = (folder / root / text, root / text, folder / text, folder / relative)
        place = next((place for place in places if place.is_dir() or is_file(place)), None)
        if place is None:
            raise DarkparseError(
                f"{self.options[key]}: {KEYS[key]}: {quote_safe(text)}: no such directory or list beside "
                f"{self.path.name} or in its path:"
            )
        return place


def _find_label(image: Path) -> Path:
    """Return the label path of an image: `labels` for the last `images`, unless only `.txt` beside it exists."""
    beside, parts = image.with_suffix(".txt"), list(image.with_suffix(".txt").parts)
    folder = max((i for i, part in enumerate(parts[:-1]) if part == "images"), default=None)
    if folder is None:
        return beside
    parts[folder] = "labels"
    label = Path(*parts)
    return beside if is_file(beside) and not is_file(label) else label
