"""How long commands take as whole processes: python benchmarks/startup.py [runs]"""

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
    """Print wall and processor seconds of each command:
    the least and the median of several runs, after one that is not counted."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'command':40} {'least':>8} {'median':>8} {'cpu':>8}   seconds, {runs} runs")
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            wall, cpu = zip(*(_timed(command, folder) for _ in range(runs + 1)), strict=True)
            print(f"{' '.join(command):40} {min(wall[1:]):8.3f} {sorted(wall[1:])[runs // 2]:8.3f} {min(cpu[1:]):8.3f}")


def _timed(command: list[str], folder: str) -> tuple[float, float]:
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "darkparse", *command], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    after, end = os.times(), time.perf_counter()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return end - start, spent


if __name__ == "__main__":
    main()
