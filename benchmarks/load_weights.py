"""How long loading a weights file takes and how much memory, beside a plain read of the same file.

    python benchmarks/load_weights.py                       a file made for yolov3, 248 MB
    python benchmarks/load_weights.py CFG --weights FILE    another network, a file at hand

Every line is of a process of its own: seconds are the best of some runs with the file in the page cache, in turn with a
plain read; memory is the growth of the peak resident size, with every parameter read once after loading, so that mapped
pages count.
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

MARGIN_MB = 60
"""Peak memory may grow by the file's size and this."""
SLOWEST = 2.0
"""Loading may take so many times as long as a plain read."""
UNBOUND = "load(cfg, weights), read"
"""Parses, compiles and builds besides, which takes as long as the read itself: shown, and not held to SLOWEST."""


def plain_read(cfg: str, path: Path) -> Callable[[], object]:
    return lambda: np.fromfile(path, np.float32, offset=20)


def into_module(cfg: str, path: Path, *, mmap: bool) -> Callable[[], object]:
    import darkparse

    network = darkparse.compile(cfg)

    def load() -> object:
        model = darkparse.build(network)
        darkparse.load_weights(model, path, darkparse.ReadOptions(mmap=mmap))
        return model

    return load


def from_cfg(cfg: str, path: Path, *, mmap: bool) -> Callable[[], object]:
    import darkparse

    return lambda: darkparse.load(cfg, path, darkparse.ReadOptions(mmap=mmap))


CASES: dict[str, Callable[[str, Path], Callable[[], object]]] = {
    "numpy.fromfile": plain_read,
    "build, load_weights, mapped": lambda cfg, path: into_module(cfg, path, mmap=True),
    "build, load_weights, read": lambda cfg, path: into_module(cfg, path, mmap=False),
    "load(cfg, weights), mapped": lambda cfg, path: from_cfg(cfg, path, mmap=True),
    UNBOUND: lambda cfg, path: from_cfg(cfg, path, mmap=False),
}


def memory(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith(field)).split()[1])


def touch(loaded: object) -> float:
    """Read every value once."""
    if isinstance(loaded, np.ndarray):
        return float(loaded.sum())
    assert isinstance(loaded, torch.nn.Module)
    return float(sum(tensor.sum().item() for tensor in loaded.state_dict().values()))


def measure(case: str, cfg: str, path: Path, runs: int) -> dict[str, float]:
    """Seconds and growth of the peak memory in this process."""
    torch.set_num_threads(1)
    job = CASES[case](cfg, path)
    # The first run imports what is imported late, and is no part of any figure.
    touch(job())
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    touch(job())
    growth = memory("VmHWM") - before
    best = {"plain": float("inf"), "seconds": float("inf")}
    for _ in range(runs):
        for name, work in (("plain", plain_read(cfg, path)), ("seconds", job)):
            start = time.perf_counter()
            loaded = work()
            best[name] = min(best[name], time.perf_counter() - start)
            del loaded
    return {**best, "growth": growth}


def make(cfg: str, path: Path) -> None:
    """A weights file of the right size with random values."""
    import darkparse
    from darkparse.weights import Header

    count = darkparse.compile(cfg).stored_floats
    path.write_bytes(Header().pack() + np.random.default_rng(0).random(count, np.float32).tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg", nargs="?", default="yolov3")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, options.cfg, options.weights, options.runs)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = options.weights or Path(folder) / f"{options.cfg}.weights"
        if options.weights is None:
            make(options.cfg, path)
        return report(options.cfg, path, options.runs)


def report(cfg: str, path: Path, runs: int) -> int:
    size = path.stat().st_size
    print(f"{path.name}: {size / 1e6:.1f} MB, best of {runs} runs each")
    print(f"{'':32}{'seconds':>9}{'of plain read':>15}{'peak memory':>14}{'beyond the file':>17}")
    fine = True
    for case in CASES:
        command = [sys.executable, __file__, cfg, "--weights", str(path), "--runs", str(runs), "--case", case]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ratio, beyond = found["seconds"] / found["plain"], (found["growth"] - size) / 1e6
        fine &= (ratio <= SLOWEST or case == UNBOUND) and beyond <= MARGIN_MB
        print(f"{case:32}{found['seconds']:9.3f}{ratio:14.2f}×{found['growth'] / 1e6:11.1f} MB{beyond:+14.1f} MB")
    print(f"allowed: {SLOWEST:g}× a plain read, {MARGIN_MB} MB beyond the file: {'kept' if fine else 'BROKEN'}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
