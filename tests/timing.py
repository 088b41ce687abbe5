"""CPU time for tests with a time limit, independent of other load on the machine and of what the process holds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np

PROBE_SECONDS = 0.045
"""CPU time of `_probe` on one quiet core of the processor (AMD EPYC, 2.6 GHz) for which the limits are written."""


def measure_cpu_seconds(run: Callable[[], object], repeats: int = 2) -> float:
    """Return the least CPU time of `repeats` calls in seconds of the reference core.

    Other processes slow a core down through shared caches and clocks, so a fixed amount of work is timed beside each
    call and the call's time is divided by the slowdown of that work.
    """
    _probe()  # the first run also loads code
    # Exclude what earlier tests left from garbage collection: a full one over it takes up to a second.
    gc.collect()
    gc.freeze()
    return min(_measure_once(run) for _ in range(repeats))


def _measure_once(run: Callable[[], object]) -> float:
    before = _seconds(_probe)
    seconds = _seconds(run)
    return seconds * PROBE_SECONDS / max(before, _seconds(_probe), PROBE_SECONDS)


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _probe() -> None:
    """Do a fixed amount of work: half of it objects of Python, half of it sorting an array."""
    objects = [[index] for index in range(200_000)]
    assert len(objects) == 200_000
    assert np.sort(np.random.RandomState(0).permutation(300_000))[-1] == 299_999
