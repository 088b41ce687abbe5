"""The `.weights` file: header, layout, reading, writing, and what is wrong where file and cfg part; numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkparse.lazy import lazy
from darkparse.weights.errors import WeightsError
from darkparse.weights.header import Header
from darkparse.weights.layout import Entry, layout

if TYPE_CHECKING:
    from darkparse.weights.diff import Difference, compare, diff_weights
    from darkparse.weights.inspection import compile_for, inspect_weights
    from darkparse.weights.read import Fitted, read_weights
    from darkparse.weights.reader import Floats, WeightsFile
    from darkparse.weights.report import Cause, Report, Row
    from darkparse.weights.source import Blob, WeightsSource, open_source
    from darkparse.weights.writer import replacing, write_weights

__all__ = [
    "Blob",
    "Cause",
    "Difference",
    "Entry",
    "Fitted",
    "Floats",
    "Header",
    "Report",
    "Row",
    "WeightsError",
    "WeightsFile",
    "WeightsSource",
    "compare",
    "compile_for",
    "diff_weights",
    "inspect_weights",
    "layout",
    "open_source",
    "read_weights",
    "replacing",
    "write_weights",
]

# These need numpy, the layout of a cfg does not.
__getattr__ = lazy(
    __name__,
    {
        "diff": ("Difference", "compare", "diff_weights"),
        "read": ("Fitted", "read_weights"),
        "inspection": ("compile_for", "inspect_weights"),
        "reader": ("Floats", "WeightsFile"),
        "report": ("Cause", "Report", "Row"),
        "source": ("Blob", "WeightsSource", "open_source"),
        "writer": ("replacing", "write_weights"),
    },
)
