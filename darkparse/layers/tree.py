"""Auxiliary files of a cfg: a word tree (`tree=`) and a class map (`map=`).

An untrusted cfg may name any file near it, so errors never quote a file's content.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path, PurePath

from darkparse.diagnostics.source import MAX_QUOTE_LENGTH
from darkparse.errors import DarkparseError
from darkparse.layers.values import INT_MAX
from darkparse.syntax.files import read_text, split_lines


@dataclass(frozen=True)
class Tree:
    """Word tree (tree.c read_tree) with one entry per node, in file order; siblings are adjacent."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """Index of each node's parent, -1 at the root."""
    group_sizes: tuple[int, ...]
    """Number of siblings in each group; softmax is computed per group."""

    @cached_property
    def group_starts(self) -> tuple[int, ...]:
        """Index of the first node of each group."""
        return tuple(accumulate(self.group_sizes[:-1], initial=0))

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Depth of each node below its root."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(depths[parent] + 1 if parent >= 0 else 0)
        return tuple(depths)

    @cached_property
    def children(self) -> tuple[int, ...]:
        """Index of the group of each node's children, -1 for a leaf."""
        groups = [-1] * len(self.names)
        for group, start in enumerate(self.group_starts):
            if self.parents[start] >= 0:
                groups[self.parents[start]] = group
        return tuple(groups)


# The cache compares types because a Path (may be read) equals a PurePath (may not be read).
@lru_cache(maxsize=8, typed=True)
def read_tree(path: PurePath) -> Tree:
    """Read a tree file, whose lines are `name parent`.

    Raises:
        DarkparseError: The file is missing or invalid.
    """
    names: list[str] = []
    parents: list[int] = []
    sizes: list[int] = []
    for line_number, line in enumerate(_read_lines(path), start=1):
        name, _, parent = line.partition(" ")
        try:
            parents.append(int(parent[:MAX_QUOTE_LENGTH]))
        except ValueError:
            raise DarkparseError(f"{path}:{line_number}: invalid line of a tree; expected `name parent`") from None
        if not -1 <= parents[-1] < line_number - 1:
            raise DarkparseError(f"{path}:{line_number}: invalid line of a tree; the parent must be an earlier line")
        if not sizes or parents[-1] != parents[-2]:
            sizes.append(0)
        sizes[-1] += 1
        names.append(name)
    if not names:
        raise DarkparseError(f"{path}: the tree is empty; expected at least one line `name parent`")
    return Tree(tuple(names), tuple(parents), tuple(sizes))


@lru_cache(maxsize=8, typed=True)
def read_map(path: PurePath, classes: int) -> tuple[int, ...]:
    """Read a map file, which has one class index below `classes` per line.

    Raises:
        DarkparseError: The file is missing or invalid.
    """
    indices = []
    for line_number, line in enumerate(_read_lines(path), start=1):
        if not line.isdecimal() or len(line) > len(str(INT_MAX)) or int(line) >= classes:
            raise DarkparseError(f"{path}:{line_number}: invalid line of a map; expected a class index below {classes}")
        indices.append(int(line))
    if not indices:
        raise DarkparseError(f"{path}: the map is empty; expected one class index per line")
    return tuple(indices)


def _read_lines(path: PurePath) -> list[str]:
    if not isinstance(path, Path):
        raise DarkparseError(f"{path}: no such file in the directories of the cfg")
    return [line.strip() for line in split_lines(read_text(path)) if line.strip()]
