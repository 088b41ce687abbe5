"""Results as Markdown and charts, and comparison of two results."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.case import count_threads
from benchmarks.measure import Row
from benchmarks.processes import Process

PACKAGES = (
    "darkparse", "torch", "onnxruntime", "openvino", "opencv-python-headless", "ncnn", "pnnx", "numpy", "pillow",
)  # fmt: skip
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")
"""Instructions that affect the speed of a dtype."""
Column = tuple[str, Callable[[Row], str]]


def describe_machine(thread_counts: Iterable[int]) -> dict[str, Any]:
    """Return processor, system and versions; `peaks` are operations per second by number of threads."""
    process = Process()
    # In descending order, since a process cannot get back the cores that it gave up.
    peaks = {str(count): process.call("measure_peak", threads=count) for count in sorted(thread_counts, reverse=True)}
    process.close()
    return {
        "processor": _get_processor(),
        "instructions": _list_instructions(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "packages": dict(_list_versions()),
        "peaks": peaks,
    }


def _get_processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(": ")[1]
    return platform.processor()


def _list_instructions() -> list[str]:
    """Return the `INSTRUCTIONS` that the processor supports (Linux only)."""
    path = Path("/proc/cpuinfo")
    flags = path.read_text().partition("\nflags")[2].partition("\n")[0].split() if path.exists() else []
    return [name for name in INSTRUCTIONS if name in flags]


def _list_versions() -> Iterable[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _format(key: str, scale: float, form: str) -> Callable[[Row], str]:
    return lambda row: format(scale * row[key], form) if key in row else "–"


MS: tuple[Column, ...] = (("best, ms", _format("best", 1e3, ".1f")), ("median, ms", _format("median", 1e3, ".1f")))
MEMORY: Column = ("memory, MB", _format("memory", 1e-6, ".0f"))


def get_columns(peaks: dict[str, float]) -> dict[str, tuple[Column, ...]]:
    """Return the columns of a table by the `what` of its rows."""
    share: Column = ("of the peak", lambda row: f"{row['flops'] / row['best'] / peaks[str(row['threads'])]:.0%}")
    each: Column = ("images/s", lambda row: f"{row['batch'] / row['best']:.1f}")
    starts: list[Column] = [(f"{key}, s", _format(key, 1, ".2f")) for key in ("import", "load", "first", "whole")]
    return {
        "network": (*starts, *MS, each, share, MEMORY, ("difference", _format("apart", 1, ".0e"))),
        "growth": (*MS, each, share),
        "pictures": (
            ("images/s, best", lambda row: f"{1 / row['best']:.1f}"),
            ("median", lambda row: f"{1 / row['median']:.1f}"), ("objects", _format("objects", 1, "d")),
        ),
        "training": (*MS, MEMORY),
    }  # fmt: skip


TITLES = {"network": "Networks", "growth": "Scaling", "pictures": "End to end", "training": "Training"}


def group_by_table(results: dict[str, Any]) -> list[list[Row]]:
    """Return the rows of each table: one table per case, and one for scaling."""
    rows = [
        {**row, "case": TITLES["growth"], "peer": f"{row['case']}: {row['peer']}"} if row["what"] == "growth" else row
        for row in results["rows"]
    ]
    return [list(group) for _, group in groupby(rows, key=lambda row: (row["what"], row["case"]))]


def format_markdown(results: dict[str, Any], chart: Callable[[int], str] | None = None) -> str:
    """Return a heading with the machine and all tables.

    Args:
        results: Content of a file that `run` wrote.
        chart: Function that maps the number of a table to the path of its chart; None omits charts.
    """
    info = results["machine"]
    instructions = f" ({', '.join(info['instructions'])})" if info["instructions"] else ""
    packages = ", ".join(f"{name} {number}" for name, number in info["packages"].items())
    peaks = ", ".join(f"{value / 1e9:.0f} GFLOP/s with {count_threads(int(n))}" for n, value in info["peaks"].items())
    parts = [
        f"## {info['processor']}{instructions}\n\n{info['date']}, {info['cores']} cores, "
        f"{info['system']}, Python {info['python']}; {packages}. Best product of two matrices: {peaks}.\n"
    ]
    columns_by_kind, what = get_columns(info["peaks"]), ""
    for number, rows in enumerate(group_by_table(results)):
        if rows[0]["what"] != what:
            what = rows[0]["what"]
            parts.append(f"### {TITLES[what]}\n")
        case = rows[0]["case"]
        headings = ["" if what == "growth" else case, *(heading for heading, _ in columns_by_kind[what])]
        lines = [[row["peer"], *(cell(row) for _, cell in columns_by_kind[what])] for row in rows]
        rule = ["---", *["--:"] * len(columns_by_kind[what])]
        parts.append("".join(f"| {' | '.join(line)} |\n" for line in (headings, rule, *lines)))
        if chart is not None:
            parts.append(f"![{TITLES[what]}: {case}]({chart(number)})\n")
    return "\n".join(parts)


CHARTED = (("best", 1e3, "best, ms", "%.1f"), ("whole", 1, "start to first result, s", "%.2f"),
           ("memory", 1e-6, "memory, MB", "%.0f"))  # fmt: skip
"""Key, scale, title and format of each panel of a chart; panels without values are omitted."""


def draw_chart(rows: list[Row], path: Path) -> None:
    """Draw the rows of a table as a bar chart with one panel per quantity."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "darkparse", "svg.fonttype": "none", "font.size": 8}
    from matplotlib import pyplot

    panels = [panel for panel in CHARTED if all(panel[0] in row for row in rows)]
    label = max(len(row["peer"]) for row in rows)
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(0.4 + 0.065 * label + 2.2 * len(panels), 0.7 + 0.2 * len(rows)), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    colors = ["#1f6feb" if re.search("darkparse|Detector", row["peer"]) else "#9aa4b2" for row in rows]
    for axis, (key, scale, title, form) in zip(axes[0], panels, strict=True):
        bars = axis.barh([row["peer"] for row in rows], [scale * row[key] for row in rows], color=colors)
        axis.bar_label(bars, fmt=form, padding=2)
        axis.margins(x=0.25)
        axis.set_title(title, loc="left")
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(left=False, bottom=False, labelbottom=False)
    axes[0, 0].invert_yaxis()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def match_rows(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, float, float]]:
    """Return case, peer, old and new milliseconds of each row that is in both results."""
    before = {(row["what"], row["case"], row["peer"]): row["best"] for row in old["rows"]}
    keys = [((row["what"], row["case"], row["peer"]), row["best"]) for row in new["rows"]]
    return [(key[1], key[2], 1e3 * before[key], 1e3 * best) for key, best in keys if key in before]
