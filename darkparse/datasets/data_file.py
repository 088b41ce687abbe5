"""`.data` files and the image lists that they name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import ClassVar

from darkparse.datasets.dataset import Dataset, DatasetImage
from darkparse.datasets.labels import label_path
from darkparse.diagnostics.source import Source, Span, quote_safe
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import Dialect
from darkparse.syntax.files import is_file, read_text, split_lines

MAX_LIST_BYTES = 1 << 28
"""Maximum size of an image list; ImageNet's has 60 million bytes."""


@dataclass(frozen=True)
class DataFile(Dataset):
    """A `.data` file (option_list.c read_data_cfg): `key = value` lines; the first value of each key counts.

    Files that it names are searched in the working directory, as in Darknet, then in the directory of the `.data` file,
    then in its parent, from which Darknet is usually started.
    """

    path: Path
    options: Mapping[str, Span]
    """Source location of each value."""
    is_darknet: ClassVar[bool] = True

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> DataFile:
        """Read a `.data` file; raise DarkparseError if it cannot be read."""
        path = Path(path)
        source = Source(str(path), read_text(path), path)
        options: dict[str, Span] = {}
        start = 0
        for line in split_lines(source.text):
            key, equals, value = line.partition("=")
            if equals and not line.lstrip().startswith(("#", ";")):
                first = start + len(line) - len(value.lstrip())
                options.setdefault(key.strip(), Span(source, first, first + len(value.strip())))
            start += len(line)
        return cls(path, options)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return read_lines(self.file("names"))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return read_lines(self.file("labels"))

    @property
    def backup(self) -> Path | None:
        """Directory for weights, relative to the working directory. Raises DarkparseError for an invalid name."""
        value = self.options.get("backup")
        if value is not None and "\0" in value.text:
            raise DarkparseError(f"{value}: invalid name backup = {quote_safe(value.text)}; it must not contain NUL")
        return None if value is None else Path(value.text)

    def file(self, key: str) -> Path:
        """Return the path of a file that the `.data` file names; raise DarkparseError if key or file is missing."""
        value = self.options.get(key)
        if value is None:
            raise DarkparseError(f"{self.path}: missing line '{key} = …'")
        candidates = (Path(value.text), self.path.parent / value.text, self.path.parent.parent / value.text)
        path = next((candidate for candidate in candidates if is_file(candidate)), None)
        if path is None:
            where = f"no such file in the working directory, the directory of {self.path.name} or its parent"
            raise DarkparseError(f"{value}: {key} = {quote_safe(value.text)}: {where}")
        return path

    def images(self, key: str, dialect: Dialect, limit: int | None = None) -> list[DatasetImage]:
        path = self.file(key)
        return [
            DatasetImage(os.path.join(folder, text), os.path.join(folder, label_path(text, dialect)), line)  # noqa: PTH118
            for line, text, folder in islice(read_list(path), limit)
        ]


def read_lines(path: Path, max_bytes: int = MAX_LIST_BYTES) -> tuple[str, ...]:
    """Return the stripped lines of a file, without empty lines at the end."""
    lines = [line.strip() for line in split_lines(read_text(path, max_bytes))]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


def read_list(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the number, the text and the base directory of each non-empty line of a list.

    Paths are relative to the working directory (base `""`), as in Darknet, unless only the list's own directory has the
    file.
    """
    folder = str(path.parent)
    for number, text in enumerate(read_lines(path), start=1):
        if text:
            is_beside = not os.path.exists(text) and os.path.exists(os.path.join(folder, text))  # noqa: PTH110, PTH118
            yield number, text, folder if is_beside else ""
