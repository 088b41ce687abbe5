"""The shape of what flows between layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum


class Layout(Enum):
    """How a layer's output lies in memory."""

    MAP = "map"
    """A map (N, C, H, W)."""
    CELLS = "cells"
    """A map (N, H, W, C), which Darknet's next layer reads as if it lay plane by plane: it knows w, h and c alone."""
    VECTOR = "vector"
    """A vector (N, n), which Darknet also lets pass for a map of n channels, 1×1."""
    FLAT = "flat"
    """A vector (N, n) of which Darknet keeps the length only: a layer that needs a map cannot follow."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Channels, height and width, without the batch; a vector of n values is (n, 1, 1)."""

    c: int
    h: int
    w: int
    layout: Layout = field(default=Layout.MAP, compare=False, repr=False)

    @classmethod
    def vector(cls, n: int) -> Shape:
        return cls(n, 1, 1, Layout.VECTOR)

    @classmethod
    def flat(cls, n: int) -> Shape:
        return cls(n, 1, 1, Layout.FLAT)

    @property
    def size(self) -> int:
        """Number of values in one image's output."""
        return self.c * self.h * self.w

    @property
    def area(self) -> int:
        """Number of positions, H × W."""
        return self.h * self.w

    @property
    def is_map(self) -> bool:
        return self.layout in (Layout.MAP, Layout.CELLS)

    @property
    def tensor(self) -> tuple[int, ...]:
        """The dimensions of the tensor behind the batch:
        (C, H, W) of a map, or (H, W, C) cell by cell, (n,) of a vector."""
        match self.layout:
            case Layout.MAP:
                return (self.c, self.h, self.w)
            case Layout.CELLS:
                return (self.h, self.w, self.c)
        return (self.size,)

    @property
    def as_read(self) -> Shape:
        """What the next layer takes it for: a map where it lies cell by cell."""
        return self.as_map if self.layout is Layout.CELLS else self

    @property
    def as_map(self) -> Shape:
        """The same sizes, read as a map."""
        return self if self.layout is Layout.MAP else replace(self, layout=Layout.MAP)

    def flatten(self) -> Shape:
        return Shape.flat(self.size)

    def __iter__(self) -> Iterator[int]:
        return iter((self.c, self.h, self.w))

    def __str__(self) -> str:
        """`H×W×C`, height first; the length alone for a vector."""
        return f"{self.h}×{self.w}×{self.c}" if self.is_map else f"{self.size}"
