"""Worker processes, one per peer, which are timed in turns."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

PAUSE = 0.3
"""Seconds between two peers, in which spinning threads go to sleep."""


class PeerFailedError(Exception):
    """A worker process ended; the message is the last line of its standard error."""


class Process:
    """A process that runs `benchmarks.worker` for one peer."""

    def __init__(self, peer: str = "") -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        command = [sys.executable, "-m", "benchmarks.worker", peer]
        root, pipe = Path(__file__).parents[1], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._stderr, cwd=root, text=True)

    def call(self, method: str, **arguments: Any) -> Any:
        """Call a method of the worker and return its result.

        Raises:
            PeerFailedError: The process ended.
        """
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"method": method, **arguments}, default=asdict) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerFailedError("the process has ended") from None
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._stderr.seek(0)
            lines = self._stderr.read().decode(errors="replace").splitlines()
            raise PeerFailedError(lines[-1] if lines else f"exit status {self._process.returncode}")
        return json.loads(answer)

    def close(self) -> None:
        """Wait for the process to end."""
        self._process.communicate()
        self._stderr.close()


@contextmanager
def closing_processes() -> Iterator[dict[str, Process]]:
    """Yield an empty dictionary for processes by name; close all of them at the end."""
    processes: dict[str, Process] = {}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.close()


def time_in_turns(processes: Mapping[str, Process], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the seconds of each call per process.

    The processes take turns block by block, so that other load on the machine affects all of them.

    Args:
        processes: Processes by name, each with a workload (see `Worker`).
        rounds: Blocks per process.
        seconds: Approximate duration of a block.
    """
    times: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(rounds):
        for name, process in processes.items():
            time.sleep(PAUSE)
            # The first call wakes threads and fills caches. It counts only if it is as long as a block.
            (first,) = process.call("time_calls", count=1)
            count = min(50, int(seconds / first))
            times[name] += process.call("time_calls", count=count) if count else [first]
    return times
