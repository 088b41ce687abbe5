"""Results as Markdown, as a plot, and beside other results."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from benchmarks.processes import Process

PACKAGES = (
    "darkparse",
    "torch",
    "onnxruntime",
    "openvino",
    "opencv-python-headless",
    "ncnn",
    "pnnx",
    "numpy",
    "pillow",
)
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")
"""Instructions on which the time of a dtype depends."""
Column = tuple[str, Callable[[Row], str]]


def machine(thread_counts: Iterable[int]) -> dict[str, Any]:
    """Return what the results depend on; `peaks` has the operations per second of each number of threads."""
    process = Process("")
    # The fewest last: a process cannot get back cores that it gave up.
    peaks = {str(count): process.ask("peak", threads=count) for count in sorted(thread_counts, reverse=True)}
    process.end()
    return {
        "processor": _processor(),
        "instructions": _instructions(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "peaks": peaks,
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(": ")[1]
    return platform.processor()


def _instructions() -> list[str]:
    """Return those of `INSTRUCTIONS` that the processor has; on Linux only."""
    path = Path("/proc/cpuinfo")
    flags = path.read_text().partition("\nflags")[2].partition("\n")[0].split() if path.exists() else []
    return [name for name in INSTRUCTIONS if name in flags]


def _versions() -> Iterable[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _number(key: str, scale: float, form: str) -> Callable[[Row], str]:
    return lambda row: format(scale * row[key], form) if key in row else "–"


MS: tuple[Column, ...] = (("best, ms", _number("best", 1e3, ".1f")), ("median, ms", _number("median", 1e3, ".1f")))
MEMORY: Column = ("memory, MB", _number("memory", 1e-6, ".0f"))


def columns(peaks: dict[str, float]) -> dict[str, tuple[Column, ...]]:
    """Return the columns of the table of each kind of row."""
    share: Column = ("of the peak", lambda row: f"{row['flops'] / row['best'] / peaks[str(row['threads'])]:.0%}")
    each: Column = ("images/s", lambda row: f"{row['batch'] / row['best']:.1f}")
    starts: list[Column] = [(f"{key}, s", _number(key, 1, ".2f")) for key in ("import", "load", "first", "whole")]
    return {
        "network": (*starts, *MS, each, share, MEMORY, ("apart", _number("apart", 1, ".0e"))),
        "growth": (*MS, each, share),
        "pictures": (
            ("images/s, best", lambda row: f"{1 / row['best']:.1f}"),
            ("median", lambda row: f"{1 / row['median']:.1f}"), ("objects", _number("objects", 1, "d")),
        ),
        "training": (*MS, MEMORY),
    }  # fmt: skip


TITLES = {"network": "Networks", "growth": "Growth", "pictures": "End to end", "training": "Steps of training"}


def tables(results: dict[str, Any]) -> list[list[Row]]:
    """Return the rows of each table: one per case, and one for all that grows."""
    rows = [
        {**row, "case": TITLES["growth"], "peer": f"{row['case']}: {row['peer']}"} if row["what"] == "growth" else row
        for row in results["rows"]
    ]
    return [list(some) for _, some in groupby(rows, key=lambda row: (row["what"], row["case"]))]


def markdown(results: dict[str, Any], chart: Callable[[int], str] | None = None) -> str:
    """Return all tables, after a heading with the machine.

    Args:
        results: What `run` wrote.
        chart: Function from the number of a table to the path of its chart; None for no charts.
    """
    on = results["machine"]
    instructions = f" ({', '.join(on['instructions'])})" if on["instructions"] else ""
    packages = ", ".join(f"{name} {number}" for name, number in on["packages"].items())
    peaks = ", ".join(f"{value / 1e9:.0f} GFLOP/s with {_count_threads(int(n))}" for n, value in on["peaks"].items())
    parts = [
        f"## {on['processor']}{instructions}\n\n{on['date']}, {on['cores']} cores, "
        f"{on['system']}, Python {on['python']}; {packages}. Best product of two matrices: {peaks}.\n"
    ]
    columns_by_kind, what = columns(on["peaks"]), ""
    for number, rows in enumerate(tables(results)):
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


def _count_threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


CHARTED = (("best", 1e3, "best, ms", "%.1f"), ("whole", 1, "start to first result, s", "%.2f"),
           ("memory", 1e-6, "memory, MB", "%.0f"))  # fmt: skip
"""Key, scale, title and format of each panel of a chart; panels without values are left out."""


def plot(rows: list[Row], path: Path) -> None:
    """Draw the rows of a table as bars, one panel per figure."""
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
    colors = ["#1f6feb" if _is_ours(row["peer"]) else "#9aa4b2" for row in rows]
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


def _is_ours(peer: str) -> bool:
    return "darkparse" in peer or "Detector" in peer


def compared(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, float, float]]:
    """Case, peer and the milliseconds of both, of what stands in both results."""
    before = {(row["what"], row["case"], row["peer"]): row["best"] for row in old["rows"]}
    keys = [((row["what"], row["case"], row["peer"]), row["best"]) for row in new["rows"]]
    return [(key[1], key[2], 1e3 * before[key], 1e3 * best) for key, best in keys if key in before]
