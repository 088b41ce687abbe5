"""One peer in a process of its own; takes orders as lines of JSON and answers each with one."""

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
    """Does what it is told; every public method is an order."""

    def __init__(self, peer: str) -> None:
        self._name = peer
        self._run: Callable[[], Any] = lambda: None

    def start(self, case: dict[str, Any]) -> dict[str, float]:
        """Import, load and run once: the seconds of each, and the most memory in bytes."""
        from benchmarks.peers import PEERS, Peer

        limit_cores(case["threads"])
        kind, marks = PEERS[self._name], [time.perf_counter()]
        for module in kind.needs:
            import_module(module)
        marks.append(time.perf_counter())
        self._peer: Peer = kind(Case(**case))
        marks.append(time.perf_counter())
        shape = case["batch"], 3, case["size"], case["size"]
        self._x = np.random.default_rng(0).random(shape, np.float32)
        self._run = lambda: self._peer(self._x)
        self._run()
        marks.append(time.perf_counter())
        return {**dict(zip(("import", "load", "first"), np.diff(marks).tolist(), strict=True)), "memory": memory()}

    def outputs(self, path: str) -> str:
        """Save what it gives; says in which form."""
        found = self._peer.outputs(self._x)
        np.savez(path, *found)
        return self._peer.gives

    def training(self, case: dict[str, Any], how: str) -> dict[str, float]:
        """Get ready for steps of training."""
        from benchmarks.training import STEPS

        limit_cores(case["threads"])

        self._run = STEPS[how](Case(**case))
        self._run()
        return {"memory": memory()}

    def pictures(self, case: dict[str, Any], paths: list[str], stream: bool) -> int:
        """Get ready for pictures; how many objects are in them."""
        from benchmarks.pictures import runner

        limit_cores(case["threads"])

        self._run = runner(self._name, Case(**case), paths, stream=stream)
        return int(self._run())

    def run(self, runs: int) -> list[float]:
        """Seconds of each run."""
        taken = []
        for _ in range(runs):
            start = time.perf_counter()
            self._run()
            taken.append(time.perf_counter() - start)
        return taken

    def peak(self, threads: int) -> float:
        """Operations a second of the best product of two large matrices (2 · n³), by numpy's BLAS or torch's."""
        import torch

        limit_cores(threads)
        torch.set_num_threads(threads)
        best = float("inf")
        a = torch.rand(1536, 1536)
        for product in (lambda: a @ a, lambda: a.numpy() @ a.numpy()):
            self._run = product
            best = min(best, *self.run(12))
        return float(2 * len(a) ** 3 / best)


def limit_cores(count: int) -> None:
    """Run on `count` cores, so that peers without a setting for threads use as many as the others (Linux only)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def memory() -> int:
    """The most memory that this process has had, in bytes; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a runtime prints is no answer
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        order = json.loads(line)
        answers.write(json.dumps(getattr(worker, order.pop("do"))(**order)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
