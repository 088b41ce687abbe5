"""Process of one peer: reads method calls as lines of JSON and answers each with one line."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Case


class Worker:
    """One workload of a peer; `Process.call` calls the public methods."""

    def __init__(self, peer: str) -> None:
        self._name = peer
        self._workload: Callable[[], Any] = lambda: None

    def start(self, case: dict[str, Any]) -> dict[str, float]:
        """Import and load the peer and run it once; return the seconds of each and the peak memory in bytes."""
        from benchmarks.peers import PEERS, Peer

        limit_cores(case["threads"])
        peer_class, times = PEERS[self._name], [time.perf_counter()]
        for module in peer_class.requirements:
            import_module(module)
        times.append(time.perf_counter())
        self._peer: Peer = peer_class(Case(**case))
        times.append(time.perf_counter())
        shape = case["batch"], 3, case["size"], case["size"]
        self._x = np.random.default_rng(0).random(shape, np.float32)
        self._workload = lambda: self._peer(self._x)
        self._workload()
        times.append(time.perf_counter())
        durations = zip(("import", "load", "first"), np.diff(times).tolist(), strict=True)
        return {**dict(durations), "memory": get_peak_memory()}

    def save_outputs(self, path: str) -> str:
        """Save the outputs of one call as `.npz`; return their kind."""
        np.savez(path, *self._peer.compute_outputs(self._x))
        return self._peer.output_kind

    def prepare_training(self, case: dict[str, Any], step: str) -> dict[str, float]:
        """Select a training step as the workload and run it once; return the peak memory in bytes."""
        from benchmarks.training import STEPS

        limit_cores(case["threads"])
        self._workload = STEPS[step](Case(**case))
        self._workload()
        return {"memory": get_peak_memory()}

    def prepare_end_to_end(self, case: dict[str, Any], paths: list[str], stream: bool) -> int:
        """Select detection in image files as the workload and run it once; return the number of objects."""
        from benchmarks.end_to_end import build_image_loop

        limit_cores(case["threads"])
        self._workload = build_image_loop(self._name, Case(**case), paths, stream=stream)
        return int(self._workload())

    def time_calls(self, count: int) -> list[float]:
        """Call the workload and return the seconds of each call."""
        times = []
        for _ in range(count):
            start = time.perf_counter()
            self._workload()
            times.append(time.perf_counter() - start)
        return times

    def measure_peak(self, threads: int) -> float:
        """Return the operations per second (2 n³ per product) of the fastest large matrix product of numpy or torch."""
        import torch

        limit_cores(threads)
        torch.set_num_threads(threads)
        best = float("inf")
        a = torch.rand(1536, 1536)
        for product in (lambda: a @ a, lambda: a.numpy() @ a.numpy()):
            self._workload = product
            best = min(best, *self.time_calls(12))
        return float(2 * len(a) ** 3 / best)


def limit_cores(count: int) -> None:
    """Run on `count` cores, so that peers without a setting for threads use as many as the others (Linux only)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def get_peak_memory() -> int:
    """Return the peak resident size of this process in bytes; 0 where the system does not report it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    """Answer calls until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Runtimes print to standard output, which is reserved for answers.
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        call = json.loads(line)
        answers.write(json.dumps(getattr(worker, call.pop("method"))(**call)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
