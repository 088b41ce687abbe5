"""Loading of mini-batches in other processes."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

from darkparse.errors import DarkparseError

PRELOADED_MODULES = ["torch.utils.data", "PIL.Image", "darkparse.training.data.dataset"]
"""Modules that the fork server imports once for all loader processes."""
HAS_SERVER = "forkserver" in multiprocessing.get_all_start_methods()
"""Whether the platform supports fork servers; on Windows each process starts from scratch."""
UNGUARDED = 78
"""Exit status of a loader process whose main module starts loader processes again on import."""
GUARD = 'start loader processes under `if __name__ == "__main__":`, because they import the main module'


def start_fork_server() -> None:
    """Start the fork server, which imports torch in the background."""
    if HAS_SERVER:
        multiprocessing.set_forkserver_preload(PRELOADED_MODULES)
        for process in (resource_tracker, forkserver):
            with _block_signals():  # once for each: starting the tracker unblocks SIGINT and SIGTERM, which it ignores
                process.ensure_running()


def load_in_processes(loader: Any, numbers: Iterator[int], workers: int) -> Generator[Any]:
    """Yield `loader[number]` for each number, loaded in other processes.

    The processes come from a fork server. A process forked from this one could wait forever for a lock that another
    thread held at that moment, for example in torch, OpenMP, OpenBLAS or malloc.

    Args:
        loader: Creates a mini-batch by its number; it is pickled.
        numbers: Numbers of the mini-batches.
        workers: Number of processes.

    Raises:
        DarkparseError: A process was killed or could not start.
    """
    from torch import Generator as TorchGenerator
    from torch.utils.data import DataLoader

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)  # the process that waits for this one explains it; an exception would end with status 1
    start_fork_server()
    context = multiprocessing.get_context("forkserver" if HAS_SERVER else "spawn")
    # The DataLoader draws a number; with a separate generator, torch's random numbers depend on the batch alone.
    options: Any = {
        "generator": TorchGenerator(),
        "collate_fn": _identity,
        "worker_init_fn": _prepare,
        "multiprocessing_context": context,
    }
    earlier_children, processes = set(multiprocessing.active_children()), list[BaseProcess]()
    kill = partial(_kill, processes)
    try:
        try:
            with _block_signals():
                batches = iter(DataLoader(loader, None, sampler=numbers, num_workers=workers, **options))
        finally:
            processes += [child for child in multiprocessing.active_children() if child not in earlier_children]
            atexit.register(kill)  # runs before torch's handler, which waits for each process
        yield from batches
    except (RuntimeError, OSError, EOFError) as problem:
        # A process that dies while it hands a tensor over closes the connection before it can be waited for.
        status = _find_exit_status(processes, seconds=2 if isinstance(problem, ConnectionError | EOFError) else 0)
        if status is None:
            raise
        raise DarkparseError(_explain(status)) from problem
    finally:
        kill()
        atexit.unregister(kill)


def _find_exit_status(processes: Sequence[BaseProcess], seconds: float) -> int | None:
    """Return the exit status of a process that ended, or ends within some seconds; None if all are running."""
    deadline = time.monotonic() + seconds
    while True:
        status = next((process.exitcode for process in processes if process.exitcode is not None), None)
        if status is not None or time.monotonic() >= deadline:
            return status
        time.sleep(0.01)


def _explain(status: int) -> str:
    """Return why a loader process ended, with a remedy."""
    if status == UNGUARDED:
        return f"a loader process could not start: {GUARD}"
    if status >= 0:
        return f"a loader process ended with exit status {status}\nhint: use --workers 0 to see the error"
    name = signal.Signals(-status).name
    return f"a loader process was killed by {name}\nhint: if memory ran out, use fewer --workers"


def _kill(processes: Sequence[BaseProcess]) -> None:
    """Kill processes; their mini-batches are no longer needed."""
    for process in processes:
        process.kill()


@contextmanager
def _block_signals() -> Iterator[None]:
    """Block the signals that stop a run, in this thread and in every process started meanwhile.

    Terminals and process managers send them to all processes; only the training process handles them.
    """
    if sys.platform == "win32":
        yield
        return
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


if sys.platform != "win32":
    STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _prepare(worker: int) -> None:
    """Prepare a loader process: block stop signals, and exit when the training process ends."""
    if sys.platform != "win32":  # a fork server that runs already does not block them
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def _identity(batch: Any) -> Any:
    return batch
