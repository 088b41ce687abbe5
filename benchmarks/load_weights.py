"""Measure the time and memory to load a weights file, and compare them with a plain read of the same file.

    python benchmarks/load_weights.py                       random weights of yolov3, 248 MB
    python benchmarks/load_weights.py CFG --weights FILE    your own file

Each case runs in a separate process. Seconds are the minimum of several runs with the file in the page cache, in turns
with a plain read. Memory is the growth of the peak resident size; every parameter is read once after loading, so that
mapped pages count. The exit status is 1 if a case exceeds the limits.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

MAX_EXTRA_MB = 60
"""Limit of the peak memory beyond the file's size."""
MAX_RATIO = 2.0
"""Limit of the loading time relative to a plain read."""
UNLIMITED = "load(cfg, weights), read"
"""Case without a time limit: it also compiles and builds, which takes as long as the read itself."""

Job = Callable[[], object]


def read_plainly(cfg: str, path: Path) -> Job:
    """Return a job that reads the file with numpy."""
    return lambda: np.fromfile(path, np.float32, offset=20)


def load_into_module(cfg: str, path: Path, *, mmap: bool) -> Job:
    """Return a job that builds a module from a compiled network and loads its weights."""
    import darkparse

    network = darkparse.compile(cfg)

    def load() -> object:
        model = darkparse.build(network)
        darkparse.load_weights(model, path, darkparse.ReadOptions(mmap=mmap))
        return model

    return load


def load_from_cfg(cfg: str, path: Path, *, mmap: bool) -> Job:
    """Return a job that compiles, builds and loads."""
    import darkparse

    return lambda: darkparse.load(cfg, path, darkparse.ReadOptions(mmap=mmap))


CASES: dict[str, Callable[[str, Path], Job]] = {
    "numpy.fromfile": read_plainly,
    "build, load_weights, mapped": lambda cfg, path: load_into_module(cfg, path, mmap=True),
    "build, load_weights, read": lambda cfg, path: load_into_module(cfg, path, mmap=False),
    "load(cfg, weights), mapped": lambda cfg, path: load_from_cfg(cfg, path, mmap=True),
    UNLIMITED: lambda cfg, path: load_from_cfg(cfg, path, mmap=False),
}


def get_memory(field: str) -> int:
    """Return VmRSS or VmHWM of this process in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith(field)).split()[1])


def read_values(loaded: object) -> float:
    """Read every value once; return their sum."""
    if isinstance(loaded, np.ndarray):
        return float(loaded.sum())
    assert isinstance(loaded, torch.nn.Module)
    return float(sum(tensor.sum().item() for tensor in loaded.state_dict().values()))


def measure(case: str, cfg: str, path: Path, runs: int) -> dict[str, float]:
    """Return the minimum seconds of the case and of a plain read, and the growth of the peak memory in bytes."""
    torch.set_num_threads(1)
    job = CASES[case](cfg, path)
    # The first run imports modules that are loaded late; it is not measured.
    read_values(job())
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = get_memory("VmRSS")
    read_values(job())
    growth = get_memory("VmHWM") - before
    best = {"plain": float("inf"), "seconds": float("inf")}
    for _ in range(runs):
        for name, function in (("plain", read_plainly(cfg, path)), ("seconds", job)):
            start = time.perf_counter()
            loaded = function()
            best[name] = min(best[name], time.perf_counter() - start)
            del loaded
    return {**best, "growth": growth}


def write_random_weights(cfg: str, path: Path) -> None:
    """Write a weights file of the right size with random values."""
    import darkparse
    from darkparse.weights import Header

    count = darkparse.compile(cfg).stored_floats
    path.write_bytes(Header().pack() + np.random.default_rng(0).random(count, np.float32).tobytes())


def main() -> int:
    """Parse the command line and run all cases, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg", nargs="?", default="yolov3", help="cfg to load [default: yolov3]")
    parser.add_argument("--weights", type=Path, help="weights file [default: random weights]")
    parser.add_argument("--runs", type=int, default=9, help="timed runs per case [default: 9]")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, options.cfg, options.weights, options.runs)))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        path = options.weights or Path(directory) / f"{options.cfg}.weights"
        if options.weights is None:
            write_random_weights(options.cfg, path)
        return compare_cases(options.cfg, path, options.runs)


def compare_cases(cfg: str, path: Path, runs: int) -> int:
    """Run each case in a separate process and print its figures; return the exit status."""
    size = path.stat().st_size
    print(f"{path.name}: {size / 1e6:.1f} MB, best of {runs} runs each")
    print(f"{'':32}{'seconds':>9}{'of plain read':>15}{'peak memory':>14}{'beyond the file':>17}")
    passed = True
    for case in CASES:
        command = [sys.executable, __file__, cfg, "--weights", str(path), "--runs", str(runs), "--case", case]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ratio, beyond = result["seconds"] / result["plain"], (result["growth"] - size) / 1e6
        passed &= (ratio <= MAX_RATIO or case == UNLIMITED) and beyond <= MAX_EXTRA_MB
        print(f"{case:32}{result['seconds']:9.3f}{ratio:14.2f}×{result['growth'] / 1e6:11.1f} MB{beyond:+14.1f} MB")
    outcome = "met" if passed else "exceeded"
    print(f"limits: {MAX_RATIO:g}× a plain read, {MAX_EXTRA_MB} MB beyond the file: {outcome}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
