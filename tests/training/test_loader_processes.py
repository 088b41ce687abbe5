"""What is done around loader processes: how they start, what they block, and how their end is found and explained."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from darkparse.errors import DarkparseError
from darkparse.training.data import processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server: run it on Linux or macOS")


class Ended(BaseException):
    """Raised in place of ending this process."""


def end_process(status: int) -> None:
    raise Ended(status)


@pytest.fixture
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.active_children", list)
    monkeypatch.setattr(os, "_exit", end_process)


@pytest.mark.usefixtures("_no_processes")
@pytest.mark.parametrize("is_loader", [True, False])
def test_process_that_imports_an_unguarded_main_module_ends(is_loader: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(_inheriting=True) if is_loader else SimpleNamespace()
    monkeypatch.setattr("multiprocessing.current_process", lambda: process)
    started: list[str] = []
    monkeypatch.setattr(processes, "start_fork_server", lambda: started.append("server"))
    monkeypatch.setattr(torch.utils.data, "DataLoader", lambda *_, **__: [5])
    batches = processes.load_in_processes(None, iter([0]), 1)
    if is_loader:
        with pytest.raises(Ended, match=str(processes.UNGUARDED)):
            next(batches)
    else:
        assert next(batches) == 5
    assert started == ([] if is_loader else ["server"])


@pytest.mark.usefixtures("_no_processes")
@pytest.mark.parametrize(("has_server", "method"), [(True, "forkserver"), (False, "spawn")])
def test_loader_processes_come_from_a_server_and_leave_the_batches_as_they_are(
    has_server: bool, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: dict[str, Any] = {}

    def create(loader: object, batch_size: object, **options: Any) -> list[int]:
        created.update(options, loader=loader, batch_size=batch_size)
        return [7]

    monkeypatch.setattr(processes, "HAS_SERVER", has_server)
    monkeypatch.setattr(processes, "start_fork_server", lambda: None)
    monkeypatch.setattr(torch.utils.data, "DataLoader", create)
    numbers = iter([3])
    assert list(processes.load_in_processes("loader", numbers, 4)) == [7]
    assert created["multiprocessing_context"].get_start_method() == method
    assert (created["loader"], created["batch_size"], created["num_workers"]) == ("loader", None, 4)
    assert created["sampler"] is numbers
    assert created["collate_fn"](numbers) is numbers


@pytest.mark.parametrize("has_server", [True, False])
def test_fork_server_starts_with_the_modules_of_a_loader_and_stop_signals_blocked(
    has_server: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def start(name: str) -> None:
        assert set(processes.STOP_SIGNALS) <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, processes.STOP_SIGNALS)  # as the tracker does
        started.append(name)

    monkeypatch.setattr(processes, "HAS_SERVER", has_server)
    monkeypatch.setattr("multiprocessing.set_forkserver_preload", started.append)
    monkeypatch.setattr("multiprocessing.resource_tracker.ensure_running", lambda: start("tracker"))
    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", lambda: start("server"))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    processes.start_fork_server()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert started == ([processes.PRELOADED_MODULES, "tracker", "server"] if has_server else [])


@pytest.mark.usefixtures("_no_processes")
@pytest.mark.parametrize(
    ("problem", "seconds"),
    [(ConnectionResetError(), 2), (EOFError(), 2), (RuntimeError("lost"), 0), (FileNotFoundError(), 0)],
)
def test_process_that_closed_its_connection_is_given_time_to_end(
    problem: Exception, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def fail() -> Iterator[int]:
        yield from ()
        raise problem

    def find(_: object, seconds: float) -> int:
        waited.append(seconds)
        return 1

    monkeypatch.setattr(processes, "start_fork_server", lambda: None)
    monkeypatch.setattr(torch.utils.data, "DataLoader", lambda *_, **__: fail())
    monkeypatch.setattr(processes, "_find_exit_status", find)
    with pytest.raises(DarkparseError, match="a loader process ended with exit status 1"):
        next(processes.load_in_processes(None, iter([0]), 1))
    assert waited == [seconds]


@pytest.mark.parametrize(("seconds", "ends_after", "status", "sleeps"), [
    (0, None, None, 0), (1, None, None, 100), (1, 30, -9, 30), (0, 0, -9, 0), (1, 100, -9, 100), (1, 101, None, 100),
])  # fmt: skip
def test_exit_status_is_looked_for_every_hundredth_of_a_second_until_the_time_is_over(
    seconds: int, ends_after: int | None, status: int | None, sleeps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: 50 + len(slept) / 100, sleep=slept.append)
    monkeypatch.setattr(processes, "time", clock)

    class Process:
        @property
        def exitcode(self) -> int | None:
            return -9 if ends_after is not None and len(slept) >= ends_after else None

    running: Any = [Process()]
    assert processes._find_exit_status(running, seconds) == status
    assert slept == [0.01] * sleeps


def test_loader_process_ends_with_the_training_process(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[dict[str, Any]] = []
    monkeypatch.setattr(processes, "Thread", lambda **options: SimpleNamespace(start=lambda: threads.append(options)))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        processes._prepare(0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    (thread,) = threads
    assert thread["daemon"], "the process does not wait for the thread"
    events: list[str] = []
    monkeypatch.setattr(os, "_exit", lambda status: events.append(f"exit {status}"))
    monkeypatch.setattr("multiprocessing.parent_process", lambda: SimpleNamespace(join=lambda: events.append("join")))
    thread["target"]()
    assert events == ["join", "exit 0"]
    monkeypatch.setattr("multiprocessing.parent_process", lambda: None)
    thread["target"]()
    assert events == ["join", "exit 0"]
