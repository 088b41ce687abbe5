"""Full disks, kills, interruption: the old file or the new one, whole; one line that says why; nothing left behind."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.reliability.commands import COMMAND, heed_ctrl_c, network, writing

if sys.platform == "win32":
    pytest.skip("needs POSIX signals and limits: run it on Linux or macOS", allow_module_level=True)

TARGETS = ("dot", "html", "png", "pdf", "py", "cfg", "weights", "safetensors", "npz", "onnx", "pt", "ts", "pt2")
ALL = ("svg", *(pytest.param(suffix, marks=pytest.mark.slow) for suffix in TARGETS))
"""Of files that commands write; one is enough for the fast tests."""
KILLED = ("weights", "safetensors", "pt", "npz", "onnx", "svg", "py", "jpg")
LIMIT = 4096
"""Bytes that a process may write to a file."""
KILLS = 200
OLD = b"what stood here before"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return network(tmp_path_factory.mktemp("network"))


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def _fails(target: Path, made: tuple[Path, Path], limited: bool) -> str:
    target.write_bytes(OLD)
    run = subprocess.run(
        writing(target, *made), capture_output=True, text=True, check=False, preexec_fn=_limited if limited else None
    )
    assert run.returncode == 2, run.stderr
    assert target.read_bytes() == OLD
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    line = run.stderr.strip().splitlines()[-1]
    assert line.startswith(f"darkparse: error: {target}: ")
    assert "Traceback" not in run.stderr
    return line


@pytest.mark.parametrize("suffix", ALL)
def test_write_beyond_size_limit_keeps_old_file(tmp_path: Path, made: tuple[Path, Path], suffix: str) -> None:
    target = tmp_path / f"x.{suffix}"
    assert _fails(target, made, limited=True).endswith("File too large")


def _drawn(folder: Path, made: tuple[Path, Path]) -> list[str]:
    """`detect --out FOLDER` of a picture that takes more room than the limits leave, onto a drawing that is there."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    Image.fromarray(noise).save(made[0].with_name("x.jpg"))
    (folder / "x.jpg").write_bytes(OLD)
    return writing(folder / "x.jpg", *made)


def _keeps_the_drawing(folder: Path, run: subprocess.CompletedProcess[str], reason: str) -> None:
    assert run.returncode == 2, run.stderr
    assert (folder / "x.jpg").read_bytes() == OLD
    assert not list(folder.glob(".part-*"))
    line = run.stderr.strip().splitlines()[-1]
    assert line.startswith("darkparse: error: "), line
    assert line.endswith(reason), line
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_drawing_beyond_size_limit_keeps_old_drawing(tmp_path: Path, made: tuple[Path, Path]) -> None:
    (folder := tmp_path / "found").mkdir()
    command = _drawn(folder, made)
    run = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=_limited)
    _keeps_the_drawing(folder, run, "File too large")


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 1 MB, all but 8 kB of it taken; takes root."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs to mount a file system: run it as root, or in a privileged container")
    room = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    (folder / "ballast").write_bytes(bytes(room - (8 << 10)))
    (folder / "x").mkdir()
    yield folder / "x"
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["svg", *TARGETS])
def test_write_on_full_disk_keeps_old_file(small_disk: Path, made: tuple[Path, Path], suffix: str) -> None:
    target = small_disk / f"x.{suffix}"
    try:
        assert _fails(target, made, limited=False).endswith("No space left on device")
    finally:
        target.unlink()


@pytest.mark.slow
def test_drawing_on_full_disk_keeps_old_drawing(small_disk: Path, tmp_path: Path, made: tuple[Path, Path]) -> None:
    (folder := small_disk / "found").mkdir()
    command = _drawn(folder, made)
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    _keeps_the_drawing(folder, run, "No space left on device")


def test_show_into_full_device_exits_2() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full: run it on Linux")
    with open("/dev/full", "w") as full:
        run = subprocess.run([*COMMAND, "show", "yolov4"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, "darkparse: error: No space left on device\n")


def test_show_into_broken_pipe_prints_nothing() -> None:
    run = subprocess.Popen([*COMMAND, "show", "yolov4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    assert run.stderr.read() == b""
    assert run.wait() in (0, 1)  # written before it broke, or not
    run.stderr.close()


def _seconds(command: list[str]) -> float:
    """How long a command takes."""
    begin = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - begin


def _content(path: Path) -> bytes:
    """What a file holds; the entries of a .safetensors header come in any order."""
    data = path.read_bytes()
    if path.suffix != ".safetensors" or data == OLD:
        return data
    end = 8 + int.from_bytes(data[:8], "little")
    return json.dumps(json.loads(data[8:end]), sort_keys=True).encode() + data[end:]


def _stopped(command: list[str], after: float, number: signal.Signals) -> tuple[int, bytes]:
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c)
    time.sleep(after)
    run.send_signal(number)
    _, err = run.communicate(timeout=120)
    return run.returncode, err


@pytest.mark.long
@pytest.mark.parametrize("command", ["show", "draw", "convert"])
def test_sigint_at_any_time_prints_one_word(tmp_path: Path, made: tuple[Path, Path], command: str) -> None:
    commands = {
        "show": [*COMMAND, "show", "yolov4"],
        "draw": writing(tmp_path / "x.svg", *made),
        "convert": writing(tmp_path / "x.pt", *made),
    }
    length = _seconds(commands[command])
    times = random.Random(command)
    stopped = 0
    for _ in range(14):
        status, err = _stopped(commands[command], times.uniform(0.1, max(length, 0.2)), signal.SIGINT)
        if status in (1, -signal.SIGINT) and b"in main" not in err:
            continue  # `main` had not started
        told = [line for line in err.splitlines() if not line.startswith(b"wrote ")]
        assert (status, told) == (130, [b"Stopped."]) or status == 0, err.decode()
        assert not list(tmp_path.glob(".part-*"))
        stopped += status == 130
    assert stopped


@pytest.mark.long
@pytest.mark.parametrize("suffix", KILLED)
def test_sigkill_while_writing_leaves_old_or_new_file(tmp_path: Path, made: tuple[Path, Path], suffix: str) -> None:
    folder = tmp_path / "found"
    folder.mkdir()
    target = folder / f"x.{suffix}"
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(made[0].with_name("x.jpg"))
    command = writing(target, *made)
    length = _seconds(command)
    new = _content(target)
    times = random.Random(suffix)
    for _ in range(KILLS // len(KILLED)):
        target.write_bytes(OLD)
        status, _ = _stopped(command, times.uniform(0.3, 1.05) * length, signal.SIGKILL)
        assert status in (0, -signal.SIGKILL)
        assert _content(target) in (OLD, new)
    status, err = _stopped(command, 0.9 * length, signal.SIGTERM)
    assert status in (0, -signal.SIGTERM, 128 + signal.SIGTERM), err.decode()
    subprocess.run(command, check=True, capture_output=True)
    assert not list(folder.glob(".part-*"))
    assert _content(target) == new


@pytest.mark.slow
def test_two_concurrent_writers_leave_one_whole_file(tmp_path: Path, made: tuple[Path, Path]) -> None:
    target = tmp_path / "x.safetensors"
    command = writing(target, *made)
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for run in both:
        _, err = run.communicate()
        assert run.returncode == 0, err.decode()
    alone = tmp_path / "alone.safetensors"
    subprocess.run(writing(alone, *made), check=True, capture_output=True)
    assert _content(target) == _content(alone)
