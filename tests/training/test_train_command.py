"""`darkparse train` as a process: killed, interrupted, on a full disk, as one of two, and from pictures to weights."""

from __future__ import annotations

import gc
import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
import torch

import darkparse
from darkparse.cli import main
from darkparse.evaluation.classification import ClassificationResult
from darkparse.training.validation_run import Validation
from tests.conftest import SHARED
from tests.reliability.commands import heed_ctrl_c
from tests.training.small_network import cfg, command, draw, environment, trainer

pytest.importorskip("PIL")

KILLS = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every batch writes the last weights."""
    path = draw(tmp_path_factory.mktemp("made"))
    path.write_text(path.read_text() + "savelast = 1\n")
    return path


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an own directory, where the chart is written."""
    monkeypatch.chdir(tmp_path)


def _ran(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def _own(data: Path, folder: Path) -> Path:
    """The `.data` file with a folder of its own for weights."""
    folder.mkdir()
    path = folder / "own.data"
    path.write_text(data.read_text().replace("backup = ", "was = ") + f"backup = {folder}\n")
    return path


def test_dry_run_writes_images_of_first_batch(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    gc.freeze()  # measuring memory collects garbage, of which earlier tests left much
    main(["train", str(data), str(cfg(tmp_path)), "--dry-run", str(tmp_path / "look"), "--workers", "0"])
    pictures = sorted((tmp_path / "look").iterdir())
    assert [path.suffix for path in pictures] == [".png"] * 4
    with Image.open(pictures[0]) as picture:
        assert picture.size == (6 * 64, 6 * 64)
    assert "4 images of 64×64 with" in capsys.readouterr().err.replace("\n", " ")
    assert not (data.parent / "backup").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc for the peak memory: run it on Linux")
def test_dry_run_extends_memory_within_15_percent_and_changes_no_file(data: Path, tmp_path: Path) -> None:
    own, path = _own(data, tmp_path / "own"), tmp_path / "mine.cfg"
    main(["edit", "shapes", "--data", str(own), "--set", "batch=64", "--set", "subdivisions=1", "-o", str(path)])
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    # Where the heap grows varies by several percent from run to run.
    estimates = [_estimate_memory(own, path, tmp_path) for _ in range(3)]
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and file.parent.name != "look"}
    assert before == after
    peaks = [_measure_memory(own, path, tmp_path) for _ in range(3)]
    assert median(estimates) == pytest.approx(median(peaks), rel=0.15), (estimates, peaks)


def _estimate_memory(data: Path, path: Path, folder: Path) -> int:
    """Return the bytes that a dry run prints."""
    run = _ran(data, path, "--dry-run", folder / "look", folder=folder)
    assert run.returncode == 0, run.stderr
    found = re.search(r"memory: ([\d.]+) ([MG])B for mini-batches of 64 images", run.stderr)
    assert found, run.stderr
    return int(float(found[1]) * {"M": 1e6, "G": 1e9}[found[2]])


def _measure_memory(data: Path, path: Path, folder: Path) -> int:
    """Return the peak bytes of a process that trains two batches."""
    arguments = ["train", str(data), str(path), "--batches", "2", "--workers", "0"]
    # The peak that the system reports of a child includes that of the process that started it.
    code = f"""
from pathlib import Path
from darkparse.cli.main import main
try:
    main({arguments!r})
finally:
    print(Path("/proc/self/status").read_text())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert found
    return int(found[1]) * 1024


def test_train_prints_and_logs_batches(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, own = tmp_path / "log.jsonl", _own(data, tmp_path / "own")
    main(["train", str(own), str(cfg(tmp_path)), "--batches", "2", "--log", str(log), "--workers", "0"])
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["batch"] for row in rows] == [1, 2]
    assert set(rows[0]["heads"]["4"]) == {"cost", "box", "objectness", "class", "iou", "objects", "confidence"}
    out, err = capsys.readouterr()
    last = f"wrote {own.parent / 'small_last.weights'}"
    assert [line.partition(": ")[0] for line in out.splitlines()] == ["1/2", last, "2/2", last]
    assert "rate 0.01, 64×64, " in out
    assert "weights: none, all layers are initialized" in err


def test_train_writes_weights_and_chart_where_asked(data: Path, tmp_path: Path) -> None:
    options = ["--batches", "2", "--workers", "0", "--out", "deep/er", "--val-loss", "--log", "log"]
    main(["train", str(data), str(cfg(tmp_path)), *options])
    assert {path.name for path in (tmp_path / "deep" / "er").iterdir()} >= {"small_last.weights", "small_last.state"}
    assert "small: batch 2 of 8" in (tmp_path / "chart.svg").read_text()
    assert not (data.parent / "backup").exists()
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert rows[0]["valid_loss"] is None
    assert 0 < rows[1]["valid_loss"] < 1e4


def test_chart_that_cannot_be_written_stops_no_training(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--batches", "2", "--workers", "0", "--out", "out", "--chart", str(tmp_path / "none" / "chart.svg")]
    (tmp_path / "none").write_text("")
    main(["train", str(data), str(cfg(tmp_path)), *options])
    assert capsys.readouterr().err.count("none/chart.svg: ") == 1
    assert (tmp_path / "out" / "small_last.weights").exists()


@pytest.mark.slow
def test_train_tensorboard_equals_log(data: Path, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    own, log, folder = _own(data, tmp_path / "own"), tmp_path / "log", tmp_path / "board"
    run = _ran(own, cfg(tmp_path), "--batches", "2", "--log", log, "--tensorboard", folder, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    board = events.EventAccumulator(str(folder)).Reload()
    for name, values in {
        "loss": [row["loss"] for row in rows],
        "L4/box": [r["heads"]["4"]["box"] for r in rows],
    }.items():
        assert [event.value for event in board.Scalars(name)] == pytest.approx(values)


@pytest.mark.slow
def test_train_sigint_writes_last_weights(data: Path, tmp_path: Path) -> None:
    own = _own(data, tmp_path / "own")
    own.write_text(own.read_text().replace("savelast = 1", "savelast = 1000000"))
    path = cfg(tmp_path)
    path.write_text(path.read_text().replace("max_batches=8", "max_batches=1000000"))
    run = subprocess.Popen(
        command(own, path, "--log", "log"), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    _wait_for(tmp_path / "log")
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert told.endswith("Stopped.\n")
    assert "Traceback" not in told
    batches = len((tmp_path / "log").read_text().splitlines())
    header = darkparse.load(path, tmp_path / "own" / "small_last.weights").header
    assert header is not None
    assert header.seen == batches * 4
    assert torch.load(tmp_path / "own" / "small_last.state", weights_only=True)["seen"] == batches * 4


def _wait_for(log: Path, lines: int = 2) -> None:
    """Until so many batches were trained."""
    end = time.monotonic() + 120
    while not log.exists() or log.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.long
def test_train_killed_repeatedly_ends_in_same_weights(data: Path, tmp_path: Path) -> None:
    path = cfg(tmp_path)
    path.write_text(path.read_text().replace("max_batches=8", "max_batches=80"))
    whole, killed = _own(data, tmp_path / "whole"), _own(data, tmp_path / "killed")
    assert _ran(whole, path, folder=tmp_path).returncode == 0
    chance, state = random.Random(0), tmp_path / "killed" / "small_last.state"
    for kill in range(KILLS):
        log = tmp_path / f"log{kill}"
        resume = ["--resume"] if state.exists() else []
        run = subprocess.Popen(
            command(killed, path, "--log", log, *resume), cwd=tmp_path, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait_for(log, chance.randint(1, 5))
        time.sleep(chance.uniform(0, 0.1))
        run.kill()
        run.wait()
    ended = _ran(killed, path, "--resume", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for name in ("small_last.weights", "small_final.weights"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.long
def test_train_on_full_disk_keeps_earlier_checkpoints(data: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    own, path = _own(data, tmp_path / "own"), cfg(tmp_path)
    assert _ran(own, path, "--batches", "2", folder=tmp_path).returncode == 0
    files = {file: file.read_bytes() for file in own.parent.iterdir()}
    sizes = sorted(len(content) for file, content in files.items() if file.suffix in (".state", ".weights"))
    for limit in (sizes[0] // 2, sizes[0] + 100):  # the weights do not fit, or the state beside them

        def limited(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        run = subprocess.run(
            command(own, path, "--resume"), cwd=tmp_path, env=environment(), capture_output=True, text=True,
            check=False, preexec_fn=limited,
        )  # fmt: skip
        assert run.returncode == 2
        assert run.stderr.strip().endswith("File too large")
        assert "Traceback" not in run.stderr
        assert files.keys() == set(own.parent.iterdir())
        assert (own.parent / "small_last.state").read_bytes() == files[own.parent / "small_last.state"]
        darkparse.load(path, own.parent / "small_last.weights")
    assert _ran(own, path, "--resume", folder=tmp_path).returncode == 0


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_subdivisions(data: Path, tmp_path: Path) -> None:
    """Gradients, and with them the weights, are those of one process; of rolling statistics each has its own share's,
    and their mean is kept."""
    path, twice = cfg(tmp_path), cfg(tmp_path, name="twice")
    for file, parts in ((path, 1), (twice, 2)):
        text = (
            file.read_text()
            .replace("subdivisions=2", f"subdivisions={parts}")
            .replace("probability=0.2", "probability=0")
        )
        file.write_text(text)
    own = _own(data, tmp_path / "own")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    run = subprocess.run(
        [*torchrun, *command(own, path, "--batches", "1")[2:]], cwd=tmp_path, env=environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr
    assert run.stdout.count("1/1: loss ") == 1
    alone = trainer(own, twice, batches=1)
    begun = {name: value.clone() for name, value in alone.model.state_dict().items()}
    shares = []
    for batch, _ in zip(alone.batches(), range(2), strict=False):
        model = darkparse.build(alone.model.network, initialize=True)
        model.load_state_dict(begun)
        model.train()(batch.images)
        shares.append(model.state_dict())
    list(alone)
    both, one = darkparse.load(path, own.parent / "small_last.weights").state_dict(), alone.model.state_dict()
    for name, value in both.items():
        if "running" not in name:
            assert (one[name] - begun[name]).abs().max() > 0
            torch.testing.assert_close(value - begun[name], one[name] - begun[name], rtol=1e-4, atol=1e-8)
        elif value.is_floating_point():
            torch.testing.assert_close(value, (shares[0][name] + shares[1][name]) / 2)


@pytest.mark.long
def test_train_overfits_8_images(tmp_path: Path) -> None:
    """From the first 100 layers of yolo-fastest-1.1, in ten minutes of one processor."""
    models = SHARED / "models"
    if not models.is_dir():
        pytest.skip("needs trained models in ../shared/models, which are not published")
    data = draw(tmp_path, train=8, valid=0)
    text = data.read_text()
    data.write_text(text.replace("valid.txt", "train.txt"))
    main(["convert", *(str(models / f"yolo-fastest-1.1.{kind}") for kind in ("cfg", "weights")), "--upto", "100",
          "--seen", "0", "-o", str(tmp_path / "backbone.weights")])  # fmt: skip
    path = tmp_path / "fast.cfg"
    main(["edit", str(models / "yolo-fastest-1.1.cfg"), "--classes", "4", "-o", str(path)])
    plain = {"saturation": 1, "exposure": 1, "hue": 0, "flip": 0}
    rates = {"learning_rate": 0.001, "burn_in": 50, "max_batches": 500, "steps": "240,280"}
    text = _options(path.read_text(), batch=8, subdivisions=1, **plain, **rates)
    path.write_text(text.replace("jitter=.15", "jitter=0"))
    begun = time.process_time()
    main(["train", str(data), str(path), str(tmp_path / "backbone.weights")])
    assert time.process_time() - begun < 600
    model = darkparse.load(path, tmp_path / "shapes" / "backup" / "fast_final.weights")
    result = Validation(model.network, data, data)(model)
    assert not isinstance(result, ClassificationResult)
    assert result.mean_ap("area", occurring=True) > 0.9


CLASSIFIER = """[net]
batch=32
width=64
height=64
channels=3
min_crop=60
max_crop=64
learning_rate=0.05
burn_in=50
momentum=0.9
decay=0.0005
policy=steps
steps=640
scales=.1
max_batches=800
{layers}
[convolutional]
filters=4
size=1
activation=linear
[avgpool]
[softmax]
"""
BLOCK = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize=3\nstride={}\npad=1\nactivation=leaky\n"


@pytest.mark.long
def test_train_classifier_recognizes_unseen_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The label stands in a picture's path; counted as `classifier valid` does."""
    monkeypatch.chdir(tmp_path)
    layers = "".join(BLOCK.format(*sizes) for sizes in ((16, 2), (32, 2), (64, 2), (64, 1)))
    cfg, data = tmp_path / "kinds.cfg", draw(tmp_path, 800, 200, "--single")
    cfg.write_text(CLASSIFIER.format(layers=layers))
    with pytest.raises(SystemExit) as stop:
        main(["check", str(data), str(cfg), "--strict"])
    assert stop.value.code == 0
    main(["train", str(data), str(cfg)])
    weights = tmp_path / "shapes" / "backup" / "kinds_final.weights"
    detector = darkparse.Detector.load(cfg, weights, names=data)
    paths = (tmp_path / "shapes" / "valid.txt").read_text().split()
    right = sum(
        found[0].name in path
        for path, found in zip(paths, detector.stream(paths, darkparse.DetectionSettings(top=1)), strict=True)
    )
    assert right / len(paths) > 0.85


def _options(text: str, **options: object) -> str:
    """A cfg with other values in `[net]`."""
    net, first, rest = text.partition("[convolutional]")
    lines = [line for line in net.splitlines() if line.partition("=")[0].strip() not in options]
    return "\n".join([*lines, *(f"{key}={value}" for key, value in options.items()), first + rest])
