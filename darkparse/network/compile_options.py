"""Options of `compile`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from darkparse.network.limits import LIMITS, Limits

if TYPE_CHECKING:
    import os

    from darkparse.network.network import Network
    from darkparse.syntax import Config

Size = int | tuple[int, int]
"""Height and width in pixels; one number for both."""

CfgLike: TypeAlias = "str | os.PathLike[str] | Config | Network"
"""A path, the name of a bundled cfg, the text of a cfg, a parsed Config, or a compiled Network."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Options for compiling a cfg.

    Functions that compile also take `size` and `dialect` as keywords, which override these fields.

    Attributes:
        size: Input size instead of the cfg's: n for n×n, or (height, width), in pixels.
        dialect: Name of a Darknet fork, such as `"pjreddie"`; None or `"auto"` to detect it from the cfg and weights.
        reorg: `"reorg3d"` to read `[reorg]` as that kind, like AlexeyAB's fork in early 2018 (AlexeyAB/darknet#489).
        strict: Raise an error instead of emitting a warning.
        limits: Largest network to accept; None for any size.

    >>> darkparse.compile("yolov3-tiny", darkparse.CompileOptions(strict=True), size=(320, 640)).input_shape
    Shape(c=3, h=320, w=640)
    """

    size: Size | None = None
    dialect: str | None = None
    reorg: str | None = None
    strict: bool = False
    limits: Limits | None = LIMITS

    def override(self, *, size: Size | None = None, dialect: str | None = None) -> CompileOptions:
        """Return these options with each value that is not None in place of the field."""
        return replace(
            self,
            size=self.size if size is None else size,
            dialect=self.dialect if dialect is None else dialect,
        )
