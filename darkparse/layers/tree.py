"""Darknet's side files: a word tree (`tree=`) and a list of indices (`map=`).

A cfg of a stranger may name any file near it, so errors quote nothing of a file's content.
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
    """A word tree (tree.c read_tree): one entry a node, in the order of the file; siblings stand together."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """Index of each node's parent, -1 at the root."""
    group_sizes: tuple[int, ...]
    """How many siblings each group has; softmax runs within a group."""

    @cached_property
    def group_starts(self) -> tuple[int, ...]:
        """The first node of each group."""
        return tuple(accumulate(self.group_sizes[:-1], initial=0))

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """How many nodes each node is below its root."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(depths[parent] + 1 if parent >= 0 else 0)
        return tuple(depths)

    @cached_property
    def children(self) -> tuple[int, ...]:
        """The group of each node's children, -1 for a leaf."""
        groups = [-1] * len(self.names)
        for group, start in enumerate(self.group_starts):
            if self.parents[start] >= 0:
                groups[self.parents[start]] = group
        return tuple(groups)


# Typed: a path that may be read is equal to the bare name of one that may not.
@lru_cache(maxsize=8, typed=True)
def read_tree(path: PurePath) -> Tree:
    """Read a tree file, lines of `name parent`. Raises DarkparseError for a missing or broken file."""
    names: list[str] = []
    parents: list[int] = []
    sizes: list[int] = []
    for line_number, line in enumerate(_read_lines(path), start=1):
        name, _, parent = line.partition(" ")
        try:
            parents.append(int(parent[:MAX_QUOTE_LENGTH]))
        except ValueError:
            raise DarkparseError(f"{path}:{line_number}: not a line of a tree; expected `name parent`") from None
        if not -1 <= parents[-1] < line_number - 1:
            raise DarkparseError(f"{path}:{line_number}: not a line of a tree; the parent is not an earlier line")
        if not sizes or parents[-1] != parents[-2]:
            sizes.append(0)
        sizes[-1] += 1
        names.append(name)
    if not names:
        raise DarkparseError(f"{path}: a tree needs a node, and no line is in this file")
    return Tree(tuple(names), tuple(parents), tuple(sizes))


@lru_cache(maxsize=8, typed=True)
def read_map(path: PurePath, classes: int) -> tuple[int, ...]:
    """Read a map file, one index of a class a line, below `classes`.

    Raises:
        DarkparseError: the file is missing or broken.
    """
    indices = []
    for line_number, line in enumerate(_read_lines(path), start=1):
        if not line.isdecimal() or len(line) > len(str(INT_MAX)) or int(line) >= classes:
            raise DarkparseError(f"{path}:{line_number}: not a line of a map; expected a class index below {classes}")
        indices.append(int(line))
    if not indices:
        raise DarkparseError(f"{path}: a map without a line")
    return tuple(indices)


def _read_lines(path: PurePath) -> list[str]:
    if not isinstance(path, Path):
        raise DarkparseError(f"{path}: no such file where a cfg's files may lie")
    return [line.strip() for line in split_lines(read_text(path)) if line.strip()]
