"""Signals that end the `darkparse` command."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs POSIX signals: run it on Linux or macOS", allow_module_level=True)

SCRIPT = """
import os, signal, sys
import darkparse.cli
from darkparse.__main__ import main
from darkparse._utils.files import atomic_write

def stop():
    os.kill(os.getpid(), signal.{signal})
    for _ in range(1000):  # the handler runs between two instructions
        pass

def run():
    with atomic_write("target") as part:
        part.write_text("half")
        {code}

darkparse.cli.main = run
main()
"""
STOP = "stop()"
SWALLOW = "\n        try: stop()\n        except BaseException: pass"
REPLACE = "\n        try: stop()\n        except BaseException: raise ImportError('initialization failed')"
EXEC = "exec('stop()')"


def run(folder: Path, name: str, code: str, handler: object = signal.SIG_DFL) -> subprocess.CompletedProcess[str]:
    """Run the command with a body that sends itself a signal while it writes a file."""
    (folder / "target").write_text("old")
    handler = signal.default_int_handler if handler is signal.SIG_DFL else handler
    heed = partial(signal.signal, signal.SIGINT, handler)  # type: ignore[arg-type]
    script = SCRIPT.format(signal=name, code=code)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False, preexec_fn=heed
    )


@pytest.mark.parametrize("code", [STOP, REPLACE, EXEC])
@pytest.mark.parametrize(("name", "status", "message"), [("SIGINT", 130, "Stopped.\n"), ("SIGTERM", 143, "")])
def test_signal_while_writing_keeps_old_file_and_exits_with_status(
    tmp_path: Path, name: str, status: int, message: str, code: str
) -> None:
    ended = run(tmp_path, name, code)
    assert (ended.returncode, ended.stderr) == (status, message)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"target": "old"}


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_signal_swallowed_by_library_exits_with_status(tmp_path: Path, name: str, status: int) -> None:
    ended = run(tmp_path, name, SWALLOW)
    assert ended.returncode == status
    assert "Traceback" not in ended.stderr


def test_ignored_sigint_stays_ignored(tmp_path: Path) -> None:
    ended = run(tmp_path, "SIGINT", STOP, signal.SIG_IGN)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "target").read_text() == "half"


def test_sigint_after_command_keeps_status_0(tmp_path: Path) -> None:
    ended = run(tmp_path, "SIGINT", "import atexit; atexit.register(stop)")
    assert (ended.returncode, ended.stderr) == (0, "")
