"""A training as a library: what it goes on from, what it writes, and where it stops."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import darkparse
from darkparse._utils.files import atomic_write
from darkparse.datasets import DataFile
from darkparse.model.device import choose_device
from darkparse.training import Trainer, build_for_training
from darkparse.training.checkpoints import Checkpoints
from darkparse.training.distributed import has_unused_parameters
from darkparse.training.losses import Losses
from darkparse.training.precision import choose_dtype
from darkparse.training.validation_run import Validation
from tests.training.small_network import cfg, draw, trainer

pytest.importorskip("PIL")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("made"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """The `.data` file with a folder for weights that is the test's own."""
    path = tmp_path / "own.data"
    text = data.read_text().partition("backup")[0]
    path.write_text(f"{text}backup = {tmp_path / 'backup'}\nsavelast = 2\n")
    return path


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], darkparse.Darknet]:
    """Return a function that returns the module after a whole training with options of `[yolo]`."""

    @cache
    def train(yolo: str) -> darkparse.Darknet:
        folder = tmp_path_factory.mktemp("finished")
        one = trainer(data, cfg(folder, yolo=yolo), out=folder / "backup")
        list(one)
        return one.model

    return train


def same(one: darkparse.Darknet, other: darkparse.Darknet) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("net", ["", "adam=1\nlearning_rate=0.001", "ema_alpha=0.9"])
def test_resumed_trainer_repeats_steps_of_uninterrupted_run(own: Path, tmp_path: Path, net: str) -> None:
    path = cfg(tmp_path, net=net)
    whole = trainer(own, path, batches=7)
    steps = list(whole)
    assert [step.batch for step in steps] == list(range(1, 8))
    before = trainer(own, path, batches=3)
    list(before)
    again = trainer(own, path, seed=5, resume=True, batches=4)
    more = list(again)
    assert [(step.batch, step.loss, step.average, step.rate) for step in more] == [
        (step.batch, step.loss, step.average, step.rate) for step in steps[3:]
    ]
    assert same(again.model, whole.model)
    assert not same(again.model, before.model)
    assert again.model.header is not None
    assert again.model.header.seen == 7 * 4


def test_losses_by_part_sum_to_cost_of_head(own: Path, tmp_path: Path) -> None:
    """Without an IoU loss the cost is the sum of the squares."""
    (step,) = trainer(own, cfg(tmp_path, yolo=""), batches=1)
    (head,) = step.heads.values()
    assert sum(head[part] or 0 for part in ("box", "objectness", "class")) == pytest.approx(head["cost"], rel=1e-5)
    assert min(value or 0 for value in head.values()) > 0
    assert 0 < (head["iou"] or 0) < 1
    assert (head["objects"] or 0) % 1 == 0
    assert step.loss == head["cost"]
    assert step.images == 4
    assert step.to_dict()["images_per_second"] > 0


@pytest.mark.parametrize(("yolo", "batches", "numbered", "last"), [
    ("", 500, ["n_100", "n_200", "n_300", "n_400", "n_500"], "n.backup"),
    ("", 20_000, [f"n_{100 * i}" for i in range(1, 10)] + ["n_10000", "n_20000"], "n.backup"),
    ("iou_loss=ciou", 2500, ["n_1000", "n_2000"], "n_last.weights"),
    ("iou_loss=ciou", 20_000, ["n_10000", "n_20000"], "n_last.weights"),
])  # fmt: skip
def test_checkpoints_have_names_and_intervals_of_fork(
    yolo: str, batches: int, numbered: list[str], last: str, tmp_path: Path
) -> None:
    files = Checkpoints(darkparse.compile(cfg(tmp_path, yolo=yolo, name="n")), tmp_path / "backup", batches)
    due = [(batch, word) for batch in range(1, batches + 1) for word in files.list_due(batch)]
    assert [files.weights_path(word).stem for _, word in due if word != "last"] == [*numbered, "n_final"]
    assert [batch for batch, word in due if word == "last"] == list(range(100, batches + 1, 100))
    assert files.last.name == last


def test_finished_run_writes_final_weights_and_clear_restarts(own: Path, tmp_path: Path) -> None:
    path = cfg(tmp_path)
    steps = list(trainer(own, path))
    wrote = [(step.batch, file.name) for step in steps for file in step.saved]
    last = [(n, "small_last.weights") for n in (2, 4, 6, 8)]
    assert wrote == [*last[:-1], (8, "small_final.weights"), last[-1]]
    final = tmp_path / "backup" / "small_final.weights"
    with pytest.raises(
        darkparse.DarkparseError,
        match=r"max_batches=8 is already reached, got 32 seen "
        r"images(?s:.*) --clear",
    ):
        trainer(own, path, final)
    cleared = trainer(own, path, final, clear=True, batches=2)
    assert [step.batch for step in cleared] == [1, 2]
    assert darkparse.load(path, cleared.checkpoints.last).header.seen == 8  # type: ignore[union-attr]
    with pytest.raises(darkparse.DarkparseError, match="no training state to resume from"):
        trainer(own, cfg(tmp_path, name="other"), resume=True)
    (tmp_path / "backup" / "small_last.state").rename(tmp_path / "backup" / "more_last.state")
    with pytest.raises(darkparse.DarkparseError, match=r"more_last.state: the state belongs to a different cfg"):
        trainer(own, cfg(tmp_path, classes=5, name="more"), resume=True)


@pytest.mark.parametrize(("net", "is_extended"), [("", True), ("ema_alpha=0.9", False)])
def test_resume_with_more_max_batches_extends_the_training(
    own: Path, tmp_path: Path, net: str, is_extended: bool
) -> None:
    """The averages of `ema_alpha` depend on `max_batches`."""
    path = cfg(tmp_path, net=net)
    path.write_text(path.read_text().replace("max_batches=8", "max_batches=2"))
    list(trainer(own, path))
    path.write_text(path.read_text().replace("max_batches=2", "max_batches=4"))
    if is_extended:
        assert [step.batch for step in trainer(own, path, resume=True)] == [3, 4]
    else:
        with pytest.raises(darkparse.DarkparseError, match="belongs to a different cfg"):
            trainer(own, path, resume=True)
    path.write_text(path.read_text().replace("steps=6", "steps=7"))
    with pytest.raises(darkparse.DarkparseError, match="belongs to a different cfg"):
        trainer(own, path, resume=True)


def test_build_for_training_from_other_classes_loads_what_fits(tmp_path: Path) -> None:
    torch.manual_seed(1)
    darkparse.save_weights(darkparse.load(cfg(tmp_path, classes=7, name="seven")), tmp_path / "seven.weights", seen=640)
    old = darkparse.load(tmp_path / "seven.cfg", tmp_path / "seven.weights").state_dict()
    model, said = build_for_training(darkparse.compile(cfg(tmp_path)), tmp_path / "seven.weights")
    new = model.state_dict()
    taken = [key for key in new if torch.equal(new[key], old[key]) and old[key].std() > 0]
    assert taken == ["layers.0.conv.weight", "layers.1.conv.weight"]
    assert new["layers.3.conv.weight"].shape == (27, 16, 1, 1)
    assert said.endswith("seven.weights has 7 classes: loaded all but L3, whose classes differ")
    assert model.header is None


def test_build_for_training_from_backbone_loads_it(tmp_path: Path) -> None:
    whole = darkparse.load(cfg(tmp_path))
    darkparse.save_weights(whole, tmp_path / "small.conv.1", upto=1, seen=0)
    model, said = build_for_training(whole.network, tmp_path / "small.conv.1")
    assert said.endswith("loaded layer 0; unchanged: layers 1, 3")
    key = "layers.0.conv.weight"
    assert torch.equal(model.get_parameter(key), whole.get_parameter(key))
    assert model.training


@pytest.mark.parametrize(("key", "value", "told"), [
    ("layers.1.conv.weight", torch.inf, "weight layers.1.conv.weight of layer 1 .* is not finite"),
    ("layers.0.norm.weight", 3e38, "layer 0 .* is the first with an output that is not finite, worst for image .*jpg"),
    ("layers.3.conv.weight", 1e25, "its inputs are as large as .* for image .*jpg"),
])  # fmt: skip
def test_non_finite_loss_names_batch_and_layer(own: Path, tmp_path: Path, key: str, value: float, told: str) -> None:
    one = trainer(own, cfg(tmp_path, yolo=""))
    with torch.no_grad():
        one.model.get_parameter(key).fill_(value)
    with pytest.raises(darkparse.DarkparseError, match=rf"batch 1: .* layer 4 \[yolo\] .* is not finite.*{told}"):
        list(one)
    assert not one.checkpoints.last.exists()


def test_non_finite_gradient_leaves_weights_unchanged(own: Path, tmp_path: Path) -> None:
    one = trainer(own, cfg(tmp_path))
    before = {name: value.clone() for name, value in one.model.named_parameters()}
    one.model.get_parameter("layers.1.conv.weight").register_hook(lambda gradient: gradient / 0)
    with pytest.raises(darkparse.DarkparseError, match=r"batch 1: the gradient of layer 1 .* is not finite"):
        list(one)
    assert all(torch.equal(before[name], value) for name, value in one.model.named_parameters())


def test_eval_map_measures_and_saves_best_weights(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkparse.training.trainer.MIN_BATCHES_BETWEEN", 3)
    steps = list(trainer(own, cfg(tmp_path), eval_map=True))
    assert [step.batch for step in steps if step.mean_ap is not None] == [6, 8]
    assert "small_best.weights" in [file.name for step in steps for file in step.saved]


CLASSIFIER = """[net]
batch=4
width=16
height=16
channels=3
learning_rate=0.01
max_batches=2
min_crop=16
max_crop=16

[convolutional]
filters=4
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=4
size=1
activation=linear

[avgpool]

[softmax]
"""


def test_trainer_with_map_measures_top1_of_classifier_and_saves_best(tmp_path: Path) -> None:
    path = draw(tmp_path, 6, 3, "--single")
    (tmp_path / "kinds.cfg").write_text(CLASSIFIER)
    steps = list(trainer(path, tmp_path / "kinds.cfg", eval_map=True))
    assert [(step.top1 is None, step.mean_ap) for step in steps] == [(True, None), (False, None)]
    assert 0 <= (steps[-1].top1 or 0) <= 1
    assert ("kinds_best" in [file.stem for file in steps[-1].saved]) == ((steps[-1].top1 or 0) > 0)


def test_amp_losses_are_close_to_float32(own: Path, tmp_path: Path) -> None:
    exact, rough = (list(trainer(own, cfg(tmp_path), batches=4, amp=amp)) for amp in (False, True))
    assert [step.loss for step in rough] != [step.loss for step in exact]
    assert [step.loss for step in rough] == pytest.approx([step.loss for step in exact], rel=0.05)


def test_float16_scales_gradients_and_resumes_with_the_scale(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first scale that is too large skips updates until gradients are finite; the scale is part of the state."""
    monkeypatch.setattr("darkparse.training.trainer.choose_dtype", lambda device: torch.float16)
    path = cfg(tmp_path)
    whole = trainer(own, path, batches=6, amp=True)
    steps = list(whole)
    exact = list(trainer(own, path, batches=6))
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in exact], rel=0.1)
    first = trainer(own, path, batches=3, amp=True)
    first._precision.scaler.load_state_dict(first._precision.state_dict() | {"scale": 2.0**40})
    begun = {name: value.clone() for name, value in first.model.named_parameters()}
    list(first)
    assert all(torch.equal(value, begun[name]) for name, value in first.model.named_parameters())
    state = torch.load(first.checkpoints.state, weights_only=True)
    assert state["scaler"]["scale"] == 2.0**37
    again = trainer(own, path, amp=True, resume=True)
    assert again._precision.scaler.get_scale() == 2.0**37
    torch.save(state | {"scaler": state["scaler"] | {"scale": -1.0}}, first.checkpoints.state)
    with pytest.raises(darkparse.DarkparseError, match=r"damaged: scaler.scale is -1.0; expected a valid scale"):
        trainer(own, path, amp=True, resume=True)


@pytest.mark.parametrize(
    ("cuda", "mps", "device"), [(True, True, "cuda:3"), (False, True, "mps"), (False, False, "cpu")]
)
def test_default_device_is_cuda_then_mps_then_cpu(
    cuda: bool, mps: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device() == torch.device(device)


@pytest.mark.parametrize(("device", "capability", "dtype"), [
    ("cuda", (7, 5), torch.float16), ("cuda", (8, 0), torch.bfloat16), ("mps", None, torch.float16),
    ("cpu", None, torch.bfloat16),
])  # fmt: skip
def test_amp_dtype_is_what_the_device_computes(
    device: str, capability: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_dtype(torch.device(device)) == dtype


def test_largest_input_is_tried_first_without_side_effect(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, sizes = trainer(own, cfg(tmp_path, yolo="iou_loss=ciou\nrandom=1")), list[tuple[int, ...]]()
    run = darkparse.Darknet.layer_outputs

    def noted(self: darkparse.Darknet, x: torch.Tensor) -> list[torch.Tensor]:
        sizes.append(tuple(x.shape))
        return run(self, x)

    monkeypatch.setattr(darkparse.Darknet, "layer_outputs", noted)
    before = {name: value.clone() for name, value in one.model.state_dict().items()}
    one.reserve_memory()
    assert sizes == [(2, 3, 128, 128)]
    assert all(torch.equal(before[name], value) for name, value in one.model.state_dict().items())
    assert all(parameter.grad is None for parameter in one.model.parameters())


@pytest.mark.parametrize(("option", "has_unused"), [("", False), ("stopbackward=1\n", True)])
def test_has_unused_parameters_finds_those_before_stopbackward(tmp_path: Path, option: str, has_unused: bool) -> None:
    path = cfg(tmp_path)
    path.write_text(path.read_text().replace("[convolutional]\n", f"[convolutional]\n{option}", 1))
    model = darkparse.load(path).train()
    losses, before = Losses(model), [buffer.clone() for buffer in model.buffers()]
    assert has_unused_parameters(model, {*losses.heads, *losses.entries.values()}) == has_unused
    assert all(torch.equal(old, new) for old, new in zip(before, model.buffers(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("size", [3, 4])
def test_batch_that_does_not_divide_among_processes_raises(size: int, own: Path, tmp_path: Path) -> None:
    one = trainer(own, cfg(tmp_path))
    one._parallel.size = size
    with pytest.raises(darkparse.DarkparseError, match=f"cannot divide batch=4 with subdivisions=2 among {size}"):
        list(one)


def _saved(one: Trainer) -> int:
    """Batches that a state holds."""
    return int(torch.load(one.checkpoints.state, weights_only=True)["seen"]) // 4


def test_exception_of_caller_saves_last_batch(
    own: Path, tmp_path: Path, finished: Callable[[str], darkparse.Darknet]
) -> None:
    one = trainer(own, cfg(tmp_path))

    def run() -> None:
        with closing(iter(one)) as steps:
            for step in steps:
                if step.batch == 3:
                    raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run()
    assert _saved(one) == 3
    again = trainer(own, cfg(tmp_path), resume=True)
    list(again)
    assert same(again.model, finished("iou_loss=ciou"))


@pytest.mark.parametrize("yolo", ["iou_loss=ciou", pytest.param("", marks=pytest.mark.slow)])
def test_unreadable_image_saves_batch_before(
    own: Path,
    tmp_path: Path,
    yolo: str,
    monkeypatch: pytest.MonkeyPatch,
    finished: Callable[[str], darkparse.Darknet],
) -> None:
    """It fails in the second mini-batch of a batch, when rolling statistics have moved already."""
    path = cfg(tmp_path, yolo=yolo)
    one = trainer(own, path)
    load = darkparse.training.data.Loader.__getitem__

    def loaded(self: darkparse.training.data.Loader, number: int) -> object:
        return darkparse.DarkparseError("gone") if number == 7 else load(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(darkparse.training.data.Loader, "__getitem__", loaded)
        with pytest.raises(darkparse.DarkparseError, match="gone"):
            list(one)
    assert _saved(one) == 3
    again = trainer(own, path, resume=True)
    list(again)
    assert same(again.model, finished(yolo))


def test_interrupted_update_saves_nothing(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some parameters were updated then, and others not."""
    one = trainer(own, cfg(tmp_path))
    steps = iter(one)
    assert [next(steps).batch for _ in range(3)] == [1, 2, 3]
    step = one.optimizer.step

    def interrupted() -> None:
        step()
        raise KeyboardInterrupt

    monkeypatch.setattr(one.optimizer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    assert _saved(one) == 2  # by savelast


@pytest.mark.parametrize(
    "file",
    [
        *(pytest.param(f"small_{name}.weights", marks=pytest.mark.slow) for name in ("4", "final", "last")),
        "small_last.state",
    ],
)
def test_resume_after_full_disk_writes_every_due_file(
    own: Path, tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the state is there, so are the numbered and the final weights."""
    own.write_text(own.read_text().replace("savelast = 2", "savelast = 1000\nsaveweights = 4"))
    whole = trainer(own, cfg(tmp_path))
    list(whole)
    files = {path.name: path.read_bytes() for path in (tmp_path / "backup").glob("*.weights")}
    shutil.rmtree(tmp_path / "backup")
    one = trainer(own, cfg(tmp_path))

    def full(path: Path, **options: bool) -> Any:
        if path.name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return atomic_write(path, **options)

    with monkeypatch.context() as patch:
        for module in ("training.checkpoints", "weights.writer"):
            patch.setattr(f"darkparse.{module}.atomic_write", full)
        with pytest.raises((OSError, darkparse.WeightsError), match="No space left"):
            list(one)
    list(trainer(own, cfg(tmp_path), resume=one.checkpoints.state.exists()))
    assert {path.name: path.read_bytes() for path in (tmp_path / "backup").glob("*.weights")} == files


@pytest.mark.parametrize("batch", [6, pytest.param(8, marks=pytest.mark.slow)])
def test_failed_measurement_is_repeated_on_resume(
    own: Path, tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkparse.training.trainer.MIN_BATCHES_BETWEEN", 3)
    whole = trainer(own, cfg(tmp_path), eval_map=True)
    list(whole)
    best = (tmp_path / "backup" / "small_best.weights").read_bytes()
    shutil.rmtree(tmp_path / "backup")
    measure = Validation.__call__

    def failing(self: Validation, model: darkparse.Darknet) -> Any:
        if model.iteration == batch:
            raise darkparse.ImageError("gone")
        return measure(self, model)

    one = trainer(own, cfg(tmp_path), eval_map=True)
    with monkeypatch.context() as patch:
        patch.setattr(Validation, "__call__", failing)
        with pytest.raises(darkparse.ImageError, match="gone"):
            list(one)
    assert _saved(one) == batch
    again = trainer(own, cfg(tmp_path), eval_map=True, resume=True)
    assert len(list(again)) == 8 - batch
    assert again.best == whole.best
    assert (tmp_path / "backup" / "small_best.weights").read_bytes() == best


def test_second_trainer_in_directory_is_refused(own: Path, tmp_path: Path) -> None:
    steps = iter(trainer(own, cfg(tmp_path)))
    next(steps)
    told = (
        rf"{tmp_path / 'backup'} is locked by process {os.getpid()}\nhint: wait until it ends or choose another backup="
    )
    with pytest.raises(darkparse.DarkparseError, match=told):
        list(trainer(own, cfg(tmp_path)))
    steps.close()
    list(trainer(own, cfg(tmp_path)))
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {
        *("small_final.weights", "small_last.state", "small_last.weights")
    }


def test_trainer_seed_out_of_range_raises(own: Path, tmp_path: Path) -> None:
    for seed in (-1, 2**63, 10**30):
        with pytest.raises(darkparse.DarkparseError, match=rf"seed is out of range, got {seed}; expected 0 to 92233"):
            list(Trainer(trainer(own, cfg(tmp_path)).model, DataFile.read(own), seed=seed))


def test_trainer_and_data_file_are_public() -> None:
    assert (Trainer, DataFile) == (darkparse.training.Trainer, darkparse.datasets.DataFile)
