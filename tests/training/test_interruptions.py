"""However a training ends, its progress is saved, and `--resume` comes to the bytes of one that was not stopped."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import select
import shutil
import signal
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.training.processes import (
    BATCHES,
    STATUS,
    check_same,
    count_logged,
    count_saved,
    end,
    find_loaders,
    finish,
    heed_signals,
    make,
    start,
    wait_for,
    wait_for_end,
    write_cfg,
)

if sys.platform == "win32":
    pytest.skip("needs POSIX signals: run it on Linux or macOS", allow_module_level=True)
pytest.importorskip("PIL")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was not stopped."""
    return finish(data, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """A copy of the data set, to take files from."""
    shutil.copytree(data.parent, tmp_path / "own")
    path = tmp_path / "own" / data.name
    for file in (path, *path.parent.glob("*.txt")):
        file.write_text(file.read_text().replace(str(data.parent), str(path.parent)))
    return path


@pytest.mark.long
def test_end_of_batches_resumes_to_same_bytes(data: Path, whole: Path, tmp_path: Path) -> None:
    finish(data, tmp_path, "--batches", "40")
    assert count_saved(data, tmp_path) == 40
    check_same(finish(data, tmp_path, "--resume"), whole)


@pytest.mark.parametrize(("name", "workers"), [
    ("SIGTERM", "2"),
    *(pytest.param(name, workers, marks=pytest.mark.long) for name in STATUS for workers in "02"
      if (name, workers) != ("SIGTERM", "2")),
])  # fmt: skip
def test_signal_finishes_batch_and_saves(name: str, workers: str, data: Path, whole: Path, tmp_path: Path) -> None:
    """It goes to all processes, as a terminal and a process manager send it."""
    run = start(data, tmp_path, "--workers", workers, start_new_session=True)
    wait_for(tmp_path, run)
    loaders = find_loaders(run)
    assert len(loaders) == int(workers)
    os.killpg(run.pid, signal.Signals[name])
    status, message = end(run)
    assert status == STATUS[name], message
    assert "Traceback" not in message
    assert "stopping after this batch" in message
    assert count_saved(data, tmp_path) == count_logged(tmp_path) < BATCHES
    wait_for_end(loaders)
    check_same(finish(data, tmp_path, "--resume"), whole)


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_second_signal_does_not_wait_for_batch(name: str, data: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    write_cfg(data.parent, "two", batch=800, subdivisions=400, max_batches=2)
    run = start(data, folder, name="two")
    wait_for(folder, run, 1)
    for _ in range(2):
        run.send_signal(signal.Signals[name])
        time.sleep(0.1)
    status, message = end(run)
    assert status == STATUS[name], message
    assert "Traceback" not in message
    assert count_logged(folder) == 1
    check_same(finish(data, folder, "--resume", name="two"), finish(data, tmp_path / "whole", name="two"))


@pytest.mark.long
def test_closed_terminal_finishes_batch_and_saves(data: Path, whole: Path, tmp_path: Path) -> None:
    """The system sends SIGHUP, and every line that is printed from then on is an error."""
    terminal, side = pty.openpty()

    def control() -> None:
        heed_signals()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    run = start(data, tmp_path, start_new_session=True, preexec_fn=control, stdin=side, stdout=side, stderr=side)
    os.close(side)
    while count_logged(tmp_path) < 3:
        if select.select([terminal], [], [], 0.01)[0]:
            os.read(terminal, 1 << 16)
    os.close(terminal)
    assert run.wait(60) == STATUS["SIGHUP"]
    assert count_saved(data, tmp_path) == count_logged(tmp_path) < BATCHES
    check_same(finish(data, tmp_path, "--resume"), whole)


def test_closed_stdout_saves_and_exits_1(data: Path, whole: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    status, message = end(start(data, tmp_path, stdout=writer))
    os.close(writer)
    assert status == 1
    assert message.startswith("weights: none, all layers are initialized\n")
    assert "Traceback" not in message
    assert count_saved(data, tmp_path) == count_logged(tmp_path) == 1
    check_same(finish(data, tmp_path, "--resume"), whole)


@pytest.mark.long
def test_stdout_never_open_trains_to_end(data: Path, whole: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    status, message = end(start(data, folder, stdout=None, preexec_fn=lambda: os.close(1)))
    assert status == 0, message
    check_same(folder, whole)


def test_killed_loader_is_named_and_progress_saved(data: Path, whole: Path, tmp_path: Path) -> None:
    run = start(data, tmp_path, "--workers", "2")
    wait_for(tmp_path, run)
    os.kill(find_loaders(run)[0], signal.SIGKILL)
    status, message = end(run)
    assert status == 2
    error = "darkparse: error: a loader process was killed by SIGKILL\nhint: if memory ran out, use fewer --workers"
    assert "\n".join(message.splitlines()[-2:]) == error
    assert "Traceback" not in message
    assert 3 <= count_saved(data, tmp_path) == count_logged(tmp_path) < BATCHES
    check_same(finish(data, tmp_path, "--resume"), whole)


def test_killed_training_ends_its_loaders(data: Path, tmp_path: Path) -> None:
    run = start(data, tmp_path, "--workers", "2")
    wait_for(tmp_path, run)
    loaders = find_loaders(run)
    assert len(loaders) == 2
    run.kill()
    wait_for_end(loaders)
    end(run)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full: run it on Linux")
def test_full_disk_of_log_saves_and_exits_2(data: Path, whole: Path, tmp_path: Path) -> None:
    status, message = end(start(data, tmp_path, "--log", "/dev/full"))
    assert (status, message.splitlines()[-1]) == (2, "darkparse: error: /dev/full: No space left on device")
    assert count_saved(data, tmp_path) == 1
    check_same(finish(data, tmp_path, "--resume"), whole)


@pytest.mark.long
def test_log_beyond_size_limit_ends_with_whole_line(data: Path, whole: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    (tmp_path / "log").write_bytes(b" " * (1 << 20) + b"\n")
    limit = (1 << 20) + 1000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    status, message = end(start(data, tmp_path, preexec_fn=limited))
    assert (status, message.splitlines()[-1]) == (2, "darkparse: error: log: No space left on device")
    assert (tmp_path / "log").read_bytes().endswith(b"}\n")
    assert count_saved(data, tmp_path) == count_logged(
        tmp_path
    )  # the log's first line is not of a batch, its last is lost
    check_same(finish(data, tmp_path, "--resume"), whole)


@pytest.mark.long
@pytest.mark.parametrize("workers", ["0", "2"])
def test_missing_image_is_named_and_progress_saved(own: Path, whole: Path, tmp_path: Path, workers: str) -> None:
    (folder := tmp_path / "run").mkdir()
    run = start(own, folder, "--workers", workers)
    wait_for(folder, run, 1)
    images = list((own.parent / "train").glob("*.jpg"))
    for image in images:
        image.rename(image.with_suffix(".gone"))
    status, message = end(run)
    assert status == 2
    assert message.splitlines()[-1].endswith(".jpg: No such file or directory")
    assert "Traceback" not in message
    assert 1 <= count_saved(own, folder) == count_logged(folder) < BATCHES
    for image in images:
        image.with_suffix(".gone").rename(image)
    check_same(finish(own, folder, "--resume"), whole)


@pytest.mark.long
def test_missing_label_is_named_and_progress_saved(own: Path, tmp_path: Path) -> None:
    """In pjreddie's dialect, whose Darknet ends there too; AlexeyAB's takes the image for one without objects."""
    whole = finish(own, tmp_path / "whole", "--dialect", "pjreddie")
    (folder := tmp_path / "run").mkdir()
    run = start(own, folder, "--dialect", "pjreddie")
    wait_for(folder, run)
    labels = list((own.parent / "train").glob("*.txt"))
    for label in labels:
        label.rename(label.with_suffix(".gone"))
    status, message = end(run)
    assert status == 2
    assert ".txt: no label file" in message
    assert 3 <= count_saved(own, folder) == count_logged(folder) < BATCHES
    for label in labels:
        label.with_suffix(".gone").rename(label)
    check_same(finish(own, folder, "--resume", "--dialect", "pjreddie"), whole)


def test_non_finite_loss_keeps_earlier_files(data: Path, tmp_path: Path) -> None:
    write_cfg(data.parent, "steep", learning_rate=1e20)
    status, message = end(start(data, tmp_path, name="steep"))
    assert status == 2
    assert "is not finite" in message.splitlines()[-2]
    assert not list((tmp_path / "backup").iterdir())


@pytest.mark.long
def test_sigkill_keeps_earlier_state(data: Path, whole: Path, tmp_path: Path) -> None:
    often = data.with_name("often.data")
    often.write_text(data.read_text().replace("savelast = 1000000", "savelast = 10"))
    run = start(often, tmp_path)
    wait_for(tmp_path, run, 20 + random.Random(0).randint(1, 9))
    run.kill()
    end(run)
    assert count_saved(data, tmp_path) % 10 == 0
    check_same(finish(often, tmp_path, "--resume"), whole)


@pytest.mark.long
def test_second_training_in_directory_names_first_process(data: Path, whole: Path, tmp_path: Path) -> None:
    write_cfg(data.parent, "long", batch=800, subdivisions=400, max_batches=1000)
    first = start(data, tmp_path, name="long")
    wait_for(tmp_path, first, 1)
    status, message = end(start(data, tmp_path))
    assert status == 2
    error = (
        f"darkparse: error: backup is locked by process {first.pid}\nhint: wait until it ends or choose another backup="
    )
    assert "\n".join(message.splitlines()[-2:]) == error
    first.kill()
    end(first)
    check_same(finish(data, tmp_path), whole)
