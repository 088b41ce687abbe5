"""Training processes that are stopped midway, and checks of the files they leave."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import torch

import darkparse
from tests.training.small_network import cfg, command, draw, environment

BATCHES = 60
"""Number of batches of a full training, which is long enough to stop it midway."""
IMAGES = 4
"""Number of images per batch."""
STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
Run = subprocess.Popen[str]


def make(folder: Path) -> Path:
    """Draw a data set with a cfg beside it; the value of `savelast=` prevents saving before the end."""
    data = draw(folder, train=60)
    data.write_text(data.read_text().partition("backup")[0] + "backup = backup\nsavelast = 1000000\n")
    write_cfg(data.parent)
    return data


def write_cfg(folder: Path, name: str = "small", **net: float) -> Path:
    path = cfg(folder, name=name)
    text = path.read_text()
    for key, value in ({"max_batches": BATCHES} | net).items():
        text = re.sub(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
    path.write_text(text)
    return path


def start(data: Path, folder: Path, *options: str, name: str = "small", **how: object) -> Run:
    log = () if "--log" in options else ("--log", "log")
    arguments = command(data, data.with_name(f"{name}.cfg"), *log, *options)
    how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "preexec_fn": heed_signals} | how
    return subprocess.Popen(arguments, cwd=folder, env=environment(), text=True, **how)  # type: ignore[call-overload, no-any-return]


def heed_signals() -> None:
    """Restore the handlers of signals that the shell may ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def end(run: Run) -> tuple[int, str]:
    """Wait for a run to end, and return its exit status and standard error."""
    _, message = run.communicate(timeout=120)
    return run.returncode, message or ""


def finish(data: Path, folder: Path, *options: str, name: str = "small") -> Path:
    """Train to the end in a directory, and return the directory."""
    folder.mkdir(exist_ok=True)
    status, message = end(start(data, folder, *options, name=name))
    assert status == 0, message
    return folder


def wait_for(folder: Path, run: Run, lines: int = 3) -> None:
    """Wait until a run has logged some batches."""
    limit = time.monotonic() + 120
    while count_logged(folder) < lines:
        assert time.monotonic() < limit
        assert run.poll() is None, run.stderr and run.stderr.read()
        time.sleep(0.005)


def count_logged(folder: Path) -> int:
    log = folder / "log"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def find_loaders(run: Run) -> list[int]:
    """Return the process ids of a run's data loaders, which are children of its fork server."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in table.splitlines()]
    servers = {row[0] for row in rows if int(row[1]) == run.pid and "forkserver" in row[-1]}
    return [int(row[0]) for row in rows if row[1] in servers]


def wait_for_end(processes: list[int]) -> None:
    limit = time.monotonic() + 10
    while any(map(is_running, processes)):
        assert time.monotonic() < limit
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def count_saved(data: Path, folder: Path, name: str = "small") -> int:
    """Return the number of batches in a run's saved state, and check that it agrees with the weights."""
    state = torch.load(folder / "backup" / f"{name}_last.state", weights_only=True)
    (weights,) = (folder / "backup" / f"{name}{end}" for end in ("_last.weights", ".backup") if
                  (folder / "backup" / f"{name}{end}").exists())  # fmt: skip
    header = darkparse.load(data.with_name(f"{name}.cfg"), weights).header
    assert header is not None
    assert header.seen == state["seen"]
    return int(state["seen"]) // IMAGES


def check_same(folder: Path, whole: Path) -> None:
    """Check that a run saved the same files, weights and state as a run that was not stopped."""
    files = {path.name: path for path in (whole / "backup").iterdir()}
    assert {path.name for path in (folder / "backup").iterdir()} == files.keys()
    for name, path in files.items():
        if path.suffix == ".state":
            states = [torch.load(one, weights_only=True) for one in (path, folder / "backup" / name)]
            assert states[0].pop("cfg") == states[1].pop("cfg")
            torch.testing.assert_close(*states, rtol=0, atol=0)
        else:
            assert path.read_bytes() == (folder / "backup" / name).read_bytes(), name
