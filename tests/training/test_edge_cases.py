"""Cases that a short training does not reach: damaged lists, ended processes, boxes without a position."""

from __future__ import annotations

import gc
import math
import os
import signal
import sys
import warnings
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from darkparse.datasets import DataFile
from darkparse.layers.training import RegionTraining
from darkparse.layers.tree import read_tree
from darkparse.network.training import bind_net_training
from darkparse.training import memory
from darkparse.training.buffers import snapshot_buffers
from darkparse.training.checkpoints import Checkpoints
from darkparse.training.data import processes
from darkparse.training.data.anchors import fit_anchors
from darkparse.training.data.color import blur, blur_background, distort
from darkparse.training.data.dataset import _labels
from darkparse.training.data.geometry import drop_invalid, drop_tiny
from darkparse.training.losses.region import AlexeyRegionLoss, RegionLoss
from darkparse.training.losses.vectors import SoftmaxLoss
from darkparse.training.precision import Precision, choose_dtype, has_native_bfloat16, is_scaler_state
from darkparse.training.state import digest_cfg
from tests.conftest import DATA
from tests.training.small_network import cfg, trainer

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"


def _end(*statuses: int | None) -> list[Any]:
    return [SimpleNamespace(exitcode=status) for status in statuses]


def test_find_exit_status_returns_the_first_of_ended_processes() -> None:
    assert processes._find_exit_status(_end(None, None), seconds=0) is None
    assert processes._find_exit_status(_end(None, -9, 1), seconds=0) == -9
    assert processes._find_exit_status(_end(0), seconds=0) == 0


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (processes.UNGUARDED, "could not start: start loader processes under `if __name__"),
        (1, "ended with exit status 1\nhint: use --workers 0 to see the error"),
        (0, "ended with exit status 0"),
        (-signal.SIGTERM, "was killed by SIGTERM\nhint: if memory ran out, use fewer --workers"),
    ],
)
def test_explanation_of_an_ended_process_names_its_status(status: int, message: str) -> None:
    assert processes._explain(status).startswith(f"a loader process {message}")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal masks: run it on Linux or macOS")
def test_loader_processes_block_the_signals_that_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_end_with_parent", lambda: None)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        with processes._block_signals():
            assert set(processes.STOP_SIGNALS) <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        processes._prepare(0)
        assert set(processes.STOP_SIGNALS) <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_killed_processes_are_all_killed() -> None:
    killed: list[int] = []
    processes._kill([SimpleNamespace(kill=lambda n=n: killed.append(n)) for n in range(3)])  # type: ignore[misc]
    assert killed == [0, 1, 2]


class LoaderProcess:
    """A loader process that only counts how often it was killed."""

    def __init__(self, exitcode: int | None) -> None:
        self.exitcode = exitcode
        self.kills = 0

    def kill(self) -> None:
        self.kills += 1


def start_loading(
    monkeypatch: pytest.MonkeyPatch, process: LoaderProcess, batches: Iterable[int]
) -> tuple[Generator[Any], list[Any]]:
    """Return mini-batches that come from `process`, and the functions that are called at exit."""
    children: list[Any] = []
    at_exit: list[Any] = []

    def start(*_: Any, **options: Any) -> Iterable[int]:
        assert options["num_workers"] == 1
        children.append(process)
        return batches

    monkeypatch.setattr(torch.utils.data, "DataLoader", start)
    monkeypatch.setattr(processes, "start_fork_server", lambda: None)
    monkeypatch.setattr("multiprocessing.active_children", lambda: list(children))
    monkeypatch.setattr(
        processes, "atexit", SimpleNamespace(register=at_exit.append, unregister=lambda entry: at_exit.remove(entry))
    )
    return processes.load_in_processes(None, iter([0, 1]), 1), at_exit


def test_loader_processes_are_killed_when_no_more_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    process = LoaderProcess(None)
    batches, at_exit = start_loading(monkeypatch, process, [5, 6])
    assert next(batches) == 5
    assert process.kills == 0
    assert len(at_exit) == 1
    batches.close()
    assert process.kills == 1
    assert at_exit == []


@pytest.mark.parametrize(("status", "error"), [(-9, darkparse.DarkparseError), (None, RuntimeError)])
def test_error_of_loader_names_the_process_that_ended(
    status: int | None, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Iterator[int]:
        yield 5
        raise RuntimeError("lost")

    process = LoaderProcess(status)
    batches, at_exit = start_loading(monkeypatch, process, fail())
    assert next(batches) == 5
    with pytest.raises(error, match="lost" if status is None else "was killed by SIGKILL"):
        next(batches)
    assert process.kills == 1
    assert at_exit == []


def test_loader_processes_start_from_a_server_wherever_there_is_one() -> None:
    assert (sys.platform != "win32") == processes.HAS_SERVER


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no module resource: run it on Linux or macOS")
def test_peak_without_proc_is_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PEAK", (tmp_path / "none", tmp_path / "none"))
    used = memory._read_peak(torch.device("cpu"))
    assert used is not None
    assert 2**25 < used < 2**45  # Python with torch takes over 100 MB


def test_peak_is_the_one_since_the_last_reset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, reset = tmp_path / "status", tmp_path / "reset"
    status.write_text("VmPeak:\t 9 kB\nVmHWM:\t 300 kB\nVmRSS:\t 7 kB\n")
    reset.write_text("")
    monkeypatch.setattr(memory, "PEAK", (status, reset))
    gc.freeze()  # what earlier tests left need not be collected
    memory._reset_peak(torch.device("cpu"))
    assert reset.read_text() == memory.RESET_PEAK
    assert memory._read_peak(torch.device("cpu")) == 300 * 1024


def test_digest_of_cfg_repeats_no_warning_about_it() -> None:
    network = darkparse.compile(f"{NET}burn_in=1.5\n[connected]\noutput=2\n[softmax]\n")
    with pytest.warns(UserWarning, match="burn_in"):
        bind_net_training(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(digest_cfg(network)) == 64


def test_labels_of_other_number_than_outputs_raise(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "list.txt").write_text("a.png\n")
    (tmp_path / "x.data").write_text("train=list.txt\nlabels=labels.txt\n")
    files = DataFile.read(tmp_path / "x.data")
    for outputs in (1, 3):
        network = darkparse.compile(f"{NET}[connected]\noutput={outputs}\n[softmax]\n")
        with pytest.raises(darkparse.DarkparseError, match=f"wrong number of labels, got 2; expected {outputs}"):
            _labels(network, files)
    assert _labels(darkparse.compile(f"{NET}[connected]\noutput=2\n[softmax]\n"), files) == ("cat", "dog")


def test_anchors_of_network_without_them_cannot_be_fitted(tmp_path: Path) -> None:
    files: Any = SimpleNamespace()
    with pytest.raises(darkparse.DarkparseError, match="cannot be fitted to network: no head has anchors"):
        fit_anchors(files, darkparse.compile(f"{NET}[avgpool]\n"))
    detection = "[connected]\noutput=24\n[detection]\nclasses=1\ncoords=4\nnum=1\nside=2\n"
    with pytest.raises(darkparse.DarkparseError, match="no head has anchors"):
        fit_anchors(files, darkparse.compile(NET + detection))
    heads = (
        "[convolutional]\nfilters=6\nstride={}\n[region]\nclasses=1\nnum=1\ncoords=4\nanchors=1,1\n[route]\nlayers=-2\n"
    )
    network = darkparse.compile(NET + heads.format(1) + heads.format(2) + "[convolutional]\n")
    with pytest.raises(darkparse.DarkparseError, match="heads have grids of different sizes"):
        fit_anchors(files, network)


@pytest.mark.parametrize("shape", [(2, 3), (1, 5), (1, 4, 2)])
def test_targets_of_other_size_raise(shape: tuple[int, ...]) -> None:
    loss = SoftmaxLoss(noloss=False)
    with pytest.raises(ValueError, match=r"invalid targets; expected a tensor of shape \(1, 4\)"):
        loss(torch.ones(1, 4), torch.ones(shape), 0)
    assert loss(torch.full((1, 4), 0.25), torch.ones(1, 2, 2), 0).cost > 0


@pytest.mark.parametrize("position", [999_999.0, 100_000.5])
@pytest.mark.parametrize("cls", [RegionLoss, AlexeyRegionLoss])
def test_box_without_position_trains_the_class_of_the_likeliest_predictor(cls: Any, position: float) -> None:
    """region_layer.c forward_region_layer: `truth.x > 100000 && truth.y > 100000`, in a word tree only."""
    tree = read_tree(DATA / "kinds" / "words.tree")
    classes, likeliest, options = len(tree.parents), (0, 1, 2, 0), RegionTraining(class_scale=2.0, noobject_scale=0.5)
    loss = cls(options, classes, ((1.0, 1.0), (2.0, 2.0)), softmax=True, tree=DATA / "kinds" / "words.tree", map=None)
    values = torch.rand(1, 2, 3, 3, 5 + classes, generator=torch.Generator().manual_seed(0)) * 0.5
    values[likeliest][4:] = 0.9
    is_pjreddie = cls is RegionLoss
    output = values.permute(0, 1, 4, 2, 3).flatten(1, 2) if is_pjreddie else values.permute(0, 2, 3, 1, 4).flatten(3)
    truth = [torch.tensor([[position] * 4 + [classes - 1.0]])]
    delta = loss(output.contiguous(), truth, 20_000).delta.unflatten(1, (2, -1)).permute(0, 1, 3, 4, 2)
    expected = torch.zeros_like(values)
    if is_pjreddie:  # the objectness of all others is trained towards 0, through the slope of the logistic function
        expected[..., 4] = -0.5 * values[..., 4] * values[..., 4] * (1 - values[..., 4])
    expected[likeliest] = 0
    for node in loss._path(classes - 1):
        expected[likeliest][5:][loss._siblings(node)] = -2 * 0.9
    for node in loss._path(classes - 1):
        expected[likeliest][5 + node] = 2 * (1 - 0.9)
    torch.testing.assert_close(delta, expected)
    empty = torch.zeros(0, 5)
    both = loss(torch.cat((output, output)).contiguous(), [empty, *truth], 20_000).delta
    torch.testing.assert_close(both[1:], loss(output.contiguous(), truth, 20_000).delta)
    torch.testing.assert_close(both[:1], loss(output.contiguous(), [empty], 20_000).delta)


def test_blur_of_background_keeps_the_boxes() -> None:
    image = np.random.default_rng(0).random((3, 32, 64), np.float32)
    boxes = np.array([[0.5, 0.5, 0.25, 0.25, 0], [0.0, 0.0, 0.25, 0.25, 1]], np.float32)
    out, blurred = blur_background(image, boxes), blur(image, 17)
    inside = np.zeros((32, 64), bool)
    inside[12:20, 24:40] = True
    inside[:4, :8] = True
    np.testing.assert_array_equal(out[:, inside], image[:, inside])
    np.testing.assert_array_equal(out[:, ~inside], blurred[:, ~inside])
    assert not np.array_equal(blur(image, 17), blur(image, 19))


def test_distort_of_gray_image_scales_values_only() -> None:
    gray = np.linspace(0, 1, 24, dtype=np.float32).reshape(1, 4, 6)
    np.testing.assert_allclose(distort(gray.copy(), 0.3, 2.0, 1.5), np.minimum(gray * 1.5, 1), rtol=1e-6)
    assert distort(gray, 0, 1, 1) is gray


def test_distort_without_changes_keeps_every_bit() -> None:
    colors = np.random.default_rng(0).random((3, 9, 13), np.float32)
    assert np.array_equal(distort(colors.copy(), 0, 1, 1), colors)
    assert not np.array_equal(distort(colors.copy(), 0.01, 1, 1), colors)
    assert not np.array_equal(distort(colors.copy(), 0, 1.01, 1), colors)
    assert not np.array_equal(distort(colors.copy(), 0, 1, 1.01), colors)


def test_boxes_too_small_are_dropped_as_in_each_fork() -> None:
    """AlexeyAB's least side is a pixel of the input, pjreddie's a thousandth."""
    sides = [0.0009, 0.001, 0.02, 0.025, 0.5]
    boxes = np.array([[0.5, 0.5, side, 0.5, 0] for side in sides], np.float32)
    assert drop_tiny(boxes)[:, 2].tolist() == pytest.approx(sides[1:])
    assert drop_invalid(boxes, (10, 40), 1)[:, 2].tolist() == pytest.approx(sides[3:])
    outside = np.array([[0, 0.5], [0.5, 0], [1, 1], [1.001, 0.5], [0.5, -0.1]], np.float32)
    boxes = np.concatenate((outside, np.full((5, 2), 0.5), np.zeros((5, 1))), 1).astype(np.float32)
    assert drop_invalid(boxes, (10, 40), 1)[:, :2].tolist() == [[1, 1]]
    boxes[:, :2], boxes[:, 4] = 0.5, range(5)
    assert drop_invalid(boxes, (10, 40), 3)[:, 4].tolist() == [0, 1, 2]


def test_state_is_on_disk_before_it_replaces_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = darkparse.build(cfg(tmp_path), initialize=True)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    checkpoints = Checkpoints(model.network, tmp_path / "backup", 8, epoch=6)
    checkpoints.write(model, "state", None)
    assert not synced
    checkpoints.write(model, "state", {"seed": 0})
    assert synced
    assert checkpoints.read() == {"seed": 0}


def test_trainer_without_names_has_none(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'a.png'}\n")
    (tmp_path / "a.txt").touch()
    (tmp_path / "x.data").write_text("classes=4\ntrain=list.txt\nbackup=backup\n")
    assert trainer(tmp_path / "x.data", cfg(tmp_path)).names is None
    (tmp_path / "x.names").write_text("a\nb\nc\nd\n")
    (tmp_path / "x.data").write_text("classes=4\ntrain=list.txt\nbackup=backup\nnames=x.names\n")
    assert trainer(tmp_path / "x.data", cfg(tmp_path)).names == ("a", "b", "c", "d")


def test_trainer_that_has_measured_is_not_due_again(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'a.png'}\n")
    (tmp_path / "a.txt").touch()
    (tmp_path / "x.data").write_text("classes=4\ntrain=list.txt\nbackup=backup\n")
    training: Any = trainer(tmp_path / "x.data", cfg(tmp_path))
    training._eval_loss, training._valid_loss = True, lambda *_: 1.5
    for due in (True, False):
        training._is_validation_due = due
        assert training._build_state("state")["measure_due"] is due
    training._is_validation_due = True
    assert training._measure() == (1.5, None)
    assert training._build_state("state")["measure_due"] is False


@pytest.mark.parametrize(
    ("dtype", "scale", "expected"),
    [
        (None, None, False),
        (torch.bfloat16, None, False),
        (torch.float16, 1024.0, True),
        (torch.float16, 2.0, True),
        (torch.float16, 1.0, False),
    ],
)
def test_overflow_is_tolerated_only_while_the_scale_can_fall(
    dtype: torch.dtype | None, scale: float | None, expected: bool
) -> None:
    precision = Precision(torch.device("cpu"), dtype)
    precision.load_state_dict({})
    state = precision.state_dict()
    assert bool(state) is (scale is not None)
    precision.load_state_dict(state | ({"scale": scale} if scale else {}))
    assert precision.tolerates_overflow is expected


@pytest.mark.parametrize(("name", "valid", "invalid"), [
    ("scale", (1.0, 1e-30, 2.0**40), (0.0, -1.0, math.inf, math.nan, 1, None)),
    ("_growth_tracker", (0, 1999), (-1, 2000, 0.0, True)), ("growth_factor", (2.0,), (1.0, 3.0, 2, None)),
    ("backoff_factor", (0.5,), (0.25, 1.5)), ("growth_interval", (2000,), (1999, 2001, 2000.0)),
])  # fmt: skip
def test_state_of_a_scaler_has_values_that_torch_writes(
    name: str, valid: tuple[Any, ...], invalid: tuple[Any, ...]
) -> None:
    assert all(is_scaler_state(name, value) for value in valid)
    assert not any(is_scaler_state(name, value) for value in invalid)


@pytest.mark.parametrize(("vector", "tile"), [(True, False), (False, True), (True, True), (False, False)])
def test_processor_with_either_extension_computes_bfloat16(
    vector: bool, tile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vector, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tile, raising=False)
    assert has_native_bfloat16() == (vector or tile)


def test_gpu_of_amd_computes_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert choose_dtype(torch.device("cuda")) == torch.bfloat16


def test_state_file_with_objects_is_refused(tmp_path: Path) -> None:
    """Unpickling any object would run code of the file."""
    checkpoints = Checkpoints(darkparse.compile(cfg(tmp_path)), tmp_path, 8)
    torch.save({"seed": tmp_path}, checkpoints.state)
    with pytest.raises(darkparse.DarkparseError, match=r"small_last.state: not a training state \(UnpicklingError\)"):
        checkpoints.read()


def test_snapshot_of_statistics_restores_them_in_place() -> None:
    norm = torch.nn.BatchNorm1d(2)
    before = {name: (value, value.clone()) for name, value in norm.named_buffers()}
    restore = snapshot_buffers(norm)
    norm(torch.tensor([[1.0, 5.0], [3.0, 9.0]]))
    assert not torch.equal(norm.running_mean, before["running_mean"][1])  # type: ignore[arg-type]
    restore()
    for name, value in norm.named_buffers():
        assert value is before[name][0]
        assert torch.equal(value, before[name][1])


def test_peak_of_memory_grows_with_the_images() -> None:
    estimates = [memory.MemoryEstimate(fixed=100, per_image=7, images=images, measured=(1, 2)) for images in (1, 3)]
    assert [estimate.peak for estimate in estimates] == [107, 121]


def test_network_whose_images_take_much_is_measured_with_one_and_two() -> None:
    small = darkparse.compile(f"{NET}[convolutional]\nfilters=1\n[avgpool]\n[softmax]\n")
    assert memory._choose_images(small, 10) == 5
    assert memory._choose_images(small, 1) == 1
    assert memory._choose_images(darkparse.compile("yolov3"), 64) == 1
