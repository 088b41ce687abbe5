"""Results as Markdown, as a plot, and beside other results."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable
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


def machine(threads: int) -> dict[str, Any]:
    """What it ran on."""
    process = Process("")
    peak = process.ask("peak", threads=threads)
    process.end()
    return {
        "processor": _processor(),
        "instructions": _instructions(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "peak": peak,
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


def columns(peak: float) -> dict[str, tuple[Column, ...]]:
    """Of the table of each kind of row."""
    share: Column = ("of the peak", lambda row: f"{row['flops'] / row['best'] / peak:.0%}")
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


def markdown(results: dict[str, Any]) -> str:
    """All tables, the machine first."""
    on = results["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in on["packages"].items())
    processor = " ".join((on["processor"], *on.get("instructions", ())))
    parts = [
        f"{processor}, {on['cores']} cores, {on['threads']} threads each, {on['system']}, Python {on['python']}; "
        f"{packages}. The best product of two matrices comes to {on['peak'] / 1e9:.0f} GFLOP/s.\n"
    ]
    of = columns(on["peak"])
    for what, rows in groupby(results["rows"], key=lambda row: str(row["what"])):
        parts.append(f"## {TITLES[what]}\n")
        if what == "growth":  # in one table
            rows = ({**row, "case": "", "peer": f"{row['case']}: {row['peer']}"} for row in rows)
        for case, some in groupby(rows, key=lambda row: str(row["case"])):
            heads = [case, *(head for head, _ in of[what])]
            lines = [[row["peer"], *(cell(row) for _, cell in of[what])] for row in some]
            rule = ["---", *["--:"] * len(of[what])]
            parts.append("".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *lines)))
    return "\n".join(parts)


def plot(results: dict[str, Any], path: Path) -> None:
    """Milliseconds in steady state as bars, a panel for each network at batch 1."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "darkparse", "font.size": 8}
    from matplotlib import pyplot

    rows = [row for row in results["rows"] if row["what"] == "network" and row["batch"] == 1]
    panels = [(case, list(some)) for case, some in groupby(rows, key=lambda row: str(row["case"]))]
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(7, sum(0.5 + 0.2 * len(some) for _, some in panels)), squeeze=False,
        height_ratios=[len(some) + 1 for _, some in panels], layout="constrained",
    )  # fmt: skip
    for axis, (case, some) in zip(axes[:, 0], panels, strict=True):
        ours = ["#1f6feb" if row["peer"].startswith(("darkparse", "Detector")) else "#9aa4b2" for row in some]
        bars = axis.barh([row["peer"] for row in some], [1e3 * row["best"] for row in some], color=ours)
        axis.bar_label(bars, fmt="%.1f", padding=2)
        axis.set_title(f"{case}: ms, best", loc="left")
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def compared(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, float, float]]:
    """Case, peer and the milliseconds of both, of what stands in both results."""
    before = {(row["what"], row["case"], row["peer"]): row["best"] for row in old["rows"]}
    keys = [((row["what"], row["case"], row["peer"]), row["best"]) for row in new["rows"]]
    return [(key[1], key[2], 1e3 * before[key], 1e3 * best) for key, best in keys if key in before]
