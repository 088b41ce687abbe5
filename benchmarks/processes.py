"""Peers in processes of their own, which take turns."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PAUSE = 0.3
"""Seconds between two peers: threads that spin for their next work stop."""


class PeerFailedError(Exception):
    """A peer ended; why is the last line that it wrote."""


class Process:
    """A worker (`benchmarks.worker`) that runs one peer."""

    def __init__(self, peer: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        command = [sys.executable, "-m", "benchmarks.worker", peer]
        root, pipe = Path(__file__).parents[1], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._said, cwd=root, text=True)

    def ask(self, order: str, **words: Any) -> Any:
        """Give an order and wait for the answer. Raises PeerFailedError."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"do": order, **words}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerFailedError("it is gone") from None
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").splitlines()
            raise PeerFailedError(lines[-1] if lines else f"exit status {self._process.returncode}")
        return json.loads(answer)

    def end(self) -> None:
        self._process.communicate()
        self._said.close()


@contextmanager
def started() -> Iterator[dict[str, Process]]:
    """Processes by name, which end in the end."""
    processes: dict[str, Process] = {}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.end()


def interleaved(processes: Mapping[str, Process], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds of each run of what each is ready for: block after block, so that whatever else the machine does meets
    all of them.

    Args:
        processes: by name.
        rounds: how many blocks each gets.
        seconds: about how long a block is.
    """
    taken: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(rounds):
        for name, process in processes.items():
            time.sleep(PAUSE)
            (once,) = process.ask("run", runs=1)  # wakes threads and caches: counts only where it is a block of its own
            runs = min(50, int(seconds / once))
            taken[name] += process.ask("run", runs=runs) if runs else [once]
    return taken
