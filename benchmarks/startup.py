"""Measure whole processes of commands: `python benchmarks/startup.py [RUNS]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

COMMANDS = (
    ["--help"],
    ["show", "yolov4"],
    ["explain", "yolov4"],
    ["draw", "yolov4", "-o", "yolov4.dot"],
    ["draw", "yolov4", "-o", "yolov4.svg"],
)


def main() -> None:
    """Print wall seconds (minimum and median) and CPU seconds (minimum) of each command, after one run for warm-up."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'command':40} {'minimum':>8} {'median':>8} {'cpu':>8}   seconds, {runs} runs")
    with tempfile.TemporaryDirectory() as directory:
        for command in COMMANDS:
            wall, cpu = zip(*(_measure(command, directory) for _ in range(runs + 1)), strict=True)
            print(f"{' '.join(command):40} {min(wall[1:]):8.3f} {sorted(wall[1:])[runs // 2]:8.3f} {min(cpu[1:]):8.3f}")


def _measure(command: list[str], directory: str) -> tuple[float, float]:
    """Return the wall and CPU seconds of a command."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "darkparse", *command], cwd=directory, stdout=subprocess.DEVNULL, check=True)
    after, end = os.times(), time.perf_counter()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return end - start, cpu


if __name__ == "__main__":
    main()
