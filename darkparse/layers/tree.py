"""Darknet's side files: a word tree (`tree=`) and a list of indices (`map=`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from darkparse.errors import DarkparseError


@dataclass(frozen=True, slots=True)
class Tree:
    """A word tree (tree.c read_tree): one entry a node, in the order of the file; siblings stand together."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """Index of each node's parent, -1 at the root."""
    group_sizes: tuple[int, ...]
    """How many siblings each group has; softmax runs within a group."""


@lru_cache(maxsize=8)
def read_tree(path: Path) -> Tree:
    """Read a tree file, lines of `name parent`. Raises DarkparseError for a missing or broken file."""
    names: list[str] = []
    parents: list[int] = []
    sizes: list[int] = []
    for number, line in enumerate(_lines(path), start=1):
        name, _, parent = line.partition(" ")
        try:
            parents.append(int(parent))
        except ValueError:
            raise DarkparseError(
                f"{path}:{number}: a tree's line is a name and its parent's index, this is {line!r}"
            ) from None
        if not -1 <= parents[-1] < number - 1:
            raise DarkparseError(f"{path}:{number}: the parent {parents[-1]} is no earlier line")
        if not sizes or parents[-1] != parents[-2]:
            sizes.append(0)
        sizes[-1] += 1
        names.append(name)
    return Tree(tuple(names), tuple(parents), tuple(sizes))


@lru_cache(maxsize=8)
def read_map(path: Path) -> tuple[int, ...]:
    """Read a map file, one class index a line. Raises DarkparseError for a missing or broken file."""
    try:
        return tuple(int(line) for line in _lines(path))
    except ValueError:
        raise DarkparseError(f"{path}: a map holds one number a line") from None


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except OSError as problem:
        raise DarkparseError(f"{path}: {problem.strerror or problem}") from None
    except UnicodeDecodeError:
        raise DarkparseError(f"{path}: not a text file") from None
