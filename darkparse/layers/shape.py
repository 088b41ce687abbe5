"""Shapes and memory layouts of layer outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum


class Layout(Enum):
    """Memory layout of a layer's output."""

    MAP = "map"
    """A map (N, C, H, W)."""
    CELLS = "cells"
    """A map (N, H, W, C), which Darknet's next layer reads as (N, C, H, W): it only receives w, h and c."""
    VECTOR = "vector"
    """A vector (N, n), which Darknet also accepts as a 1×1 map with n channels."""
    FLAT = "flat"
    """A vector (N, n) for which Darknet only stores the length, so no layer that requires a map can follow."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Channels, height and width without the batch; a vector of n values is (n, 1, 1)."""

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
        """Number of values per image."""
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
        """Dimensions of the tensor after the batch: (C, H, W) for a map, (H, W, C) for cells, (n,) for a vector."""
        match self.layout:
            case Layout.MAP:
                return (self.c, self.h, self.w)
            case Layout.CELLS:
                return (self.h, self.w, self.c)
        return (self.size,)

    @property
    def as_read(self) -> Shape:
        """Shape as the next layer reads it: cells are read as a map."""
        return self.as_map if self.layout is Layout.CELLS else self

    @property
    def as_map(self) -> Shape:
        """Same sizes with the layout of a map."""
        return self if self.layout is Layout.MAP else replace(self, layout=Layout.MAP)

    def flatten(self) -> Shape:
        return Shape.flat(self.size)

    def __iter__(self) -> Iterator[int]:
        return iter((self.c, self.h, self.w))

    def __str__(self) -> str:
        """Format as `H×W×C`; for a vector, only the length."""
        return f"{self.h}×{self.w}×{self.c}" if self.is_map else f"{self.size}"
