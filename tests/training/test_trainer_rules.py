"""When a trainer ends, measures, saves and reports, and what the processes of a training share."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import darkparse
from darkparse.training import Trainer
from darkparse.training.distributed import Parallel
from tests.training.small_network import trainer
from tests.training.tiny_data import CLASSIFIER, write_cfg, write_data


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_data(tmp_path, f"backup = {tmp_path / 'backup'}\n")


def _trainer(own: Path, cfg: dict[str, Any] | None = None, **options: Any) -> Trainer:
    return trainer(own, write_cfg(own.parent, **(cfg or {})), **options)


@pytest.mark.parametrize(("max_batches", "done", "batches", "end"), [
    (8, 0, None, 8), (8, 0, 3, 3), (8, 6, 5, 8), (8, 6, 1, 7), (0, 0, 3, 3), (0, 2, 3, 5), (8, 7, None, 8),
])  # fmt: skip
def test_trainer_ends_after_requested_batches_or_at_max_batches(
    max_batches: int, done: int, batches: int | None, end: int, own: Path
) -> None:
    weights = own.parent / "begun.weights"
    darkparse.save_weights(darkparse.load(write_cfg(own.parent)), weights, seen=4 * done)
    training = _trainer(own, {"max_batches": max_batches}, weights=weights, batches=batches)
    assert training.end == end
    assert training.compute_length(batches).start == done


@pytest.mark.parametrize(
    ("done", "is_due", "is_over"), [(7, False, False), (8, False, True), (9, False, True), (8, True, False)]
)
def test_training_that_is_over_resumes_only_to_measure(done: int, is_due: bool, is_over: bool, own: Path) -> None:
    training = _trainer(own)
    training.schedule.seen, training._is_validation_due = 4 * done, is_due
    if is_over:
        with pytest.raises(darkparse.DarkparseError, match=f"got {4 * done} seen images, which are {done} batches"):
            training._last_batch(None)
    else:
        assert training._last_batch(None) == 8


@pytest.mark.parametrize(("options", "out", "folder"), [
    ("backup = there\n", None, "there"), ("backup = there\n", Path("deep/er"), "deep/er"), ("", None, "backup"),
    ("", Path("here"), "here"),
])  # fmt: skip
def test_weights_are_written_to_out_else_backup_else_a_folder_of_that_name(
    options: str, out: Path | None, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (step,) = _trainer(write_data(tmp_path, options), out=out, batches=1)
    assert {path.resolve().parent for path in step.saved} == {tmp_path / folder}


@pytest.mark.parametrize(("images", "eval_map", "eval_loss", "measured"), [
    (30, True, False, [200, 300, 400, 450]),  # every 100 batches, but not while burn_in lasts
    (150, False, True, [150, 300, 450]),  # every 4 epochs
    (150, False, False, []),
    (600, True, True, [450]),
])  # fmt: skip
def test_training_is_measured_every_four_epochs_after_burn_in_and_at_its_end(
    images: int, eval_map: bool, eval_loss: bool, measured: list[int], own: Path
) -> None:
    (own.parent / "train.txt").write_text(f"{own.parent / 'cat0.png'}\n" * images)
    training = _trainer(own, {"max_batches": 450, "burn_in": 100}, eval_map=eval_map, eval_loss=eval_loss)
    assert [batch for batch in range(1, 451) if training._should_validate(batch)] == measured


def test_best_weights_are_due_when_a_score_reaches_the_best_so_far(own: Path) -> None:
    training: Any = _trainer(own)
    training._eval_map, is_best = True, []
    for score in (0.0, 0.25, 0.25, 0.125, 0.5):
        training._validation, training._pending = lambda _, score=score: SimpleNamespace(score=score), ["final"]
        training._is_validation_due = True
        assert training._measure() == (None, score)
        assert not training._is_validation_due
        is_best.append(training._pending == ["best", "final"])
    assert is_best == [False, True, True, False, True]
    assert training.best == 0.5


@pytest.mark.parametrize(("is_due", "eval_map", "eval_loss", "is_measured"), [
    (True, True, False, True), (True, False, True, True), (True, False, False, False), (False, True, True, False),
])  # fmt: skip
def test_measurement_that_is_due_precedes_the_first_batch(
    is_due: bool, eval_map: bool, eval_loss: bool, is_measured: bool, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = _trainer(own, batches=3, eval_map=eval_map, eval_loss=eval_loss)
    training._is_validation_due = is_due
    events: list[object] = []
    monkeypatch.setattr(training, "_measure", lambda: events.append("measure"))
    monkeypatch.setattr(training, "_write_checkpoints", lambda *, is_last_due: events.append(is_last_due))
    monkeypatch.setattr(training, "_train_batch", lambda _: events.append("train"))
    with pytest.raises(AttributeError):
        list(training)
    assert events == [*(["measure", True] if is_measured else []), "train"]


@pytest.mark.parametrize("text", ["detector", "classifier"])
def test_step_reports_the_score_of_its_kind_and_the_loss_on_valid(text: str, own: Path) -> None:
    cfg = {"text": CLASSIFIER} if text == "classifier" else {}
    steps = list(_trainer(own, cfg, batches=2, eval_map=True, eval_loss=True))
    assert (steps[0].mean_ap, steps[0].top1, steps[0].valid_loss) == (None, None, None)
    assert (steps[1].mean_ap is None, steps[1].top1 is None) == (text == "classifier", text == "detector")
    assert (steps[1].valid_loss or 0) > 0
    assert all(path.exists() for step in steps for path in step.saved)


def test_steps_report_rates_sizes_times_and_moving_averages(own: Path) -> None:
    training = _trainer(own)
    burnt_in: list[bool] = []

    def update(heads: Any, *, is_burnt_in: bool) -> tuple[str, ...]:
        burnt_in.append(is_burnt_in)
        return ()

    training._head_monitor.update = update  # type: ignore[method-assign]
    start = time.perf_counter()
    steps = list(training)
    duration = time.perf_counter() - start
    assert [(step.images, step.size, step.saved != ()) for step in steps] == [(4, (8, 16), n == 8) for n in range(1, 9)]
    assert burnt_in == [False, False, *[True] * 6]
    assert all(0 < step.data_time < step.seconds for step in steps)
    assert sum(step.seconds for step in steps) < duration
    average = steps[0].loss
    for step in steps:
        average = average if step.batch == 1 else 0.9 * average + 0.1 * step.loss
        assert step.average == pytest.approx(average)
        assert step.to_dict()["images_per_second"] == 4 / step.seconds
        assert step.rate == training.schedule.rate(step.batch)


def test_loss_is_the_mean_of_the_costs_of_the_heads(own: Path) -> None:
    second = (
        "[route]\nlayers=-2\n[convolutional]\nfilters=7\nactivation=linear\n[yolo]\nanchors=9,9\nclasses=2\nnum=1\n"
    )
    (step,) = _trainer(own, {"yolo": second}, batches=1)
    costs = [head["cost"] for head in step.heads.values()]
    assert len(costs) == 2
    assert step.loss == pytest.approx(sum(cost or 0 for cost in costs) / 2)


def test_stopped_training_ends_after_the_current_batch_and_saves_it(own: Path) -> None:
    training, batches = _trainer(own), []
    for step in training:
        batches.append(step.batch)
        if step.batch == 3:
            training.stop()
    assert batches == [1, 2, 3, 4]
    assert torch.load(training.checkpoints.state, weights_only=True)["seen"] == 16


def test_failed_batch_leaves_no_gradients(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = _trainer(own)
    monkeypatch.setattr("darkparse.training.trainer.summarize_heads", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(training)
    assert all(parameter.grad is None for parameter in training.model.parameters())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_memory_is_reserved_before_the_first_batch_on_a_gpu_alone(
    device: str, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = _trainer(own, batches=1)
    monkeypatch.setattr(training, "reserve_memory", lambda: 1 / 0)
    if device == "cuda":
        training._device = torch.device("cuda")
        with pytest.raises(ZeroDivisionError):
            list(training)
    else:
        assert len(list(training)) == 1


@pytest.mark.parametrize(("dialect", "largest"), [("pjreddie", (608, 608)), ("alexeyab", (32, 64))])
def test_largest_mini_batch_has_the_size_of_the_last_or_first_batches(
    dialect: str, largest: tuple[int, int], own: Path
) -> None:
    cfg = write_cfg(own.parent, max_batches=2000, yolo="random=1")
    model = darkparse.build(darkparse.compile(cfg, dialect=dialect), initialize=True).train()
    training = Trainer(model, darkparse.datasets.DataFile.read(own))
    assert training._largest_shape() == (2, 3, *largest)


class SecondOfTwo(Parallel):
    """The second of two processes, without the first: sums are only recorded."""

    def __init__(self, model: darkparse.Darknet, layers: set[int]) -> None:
        super().__init__(model, layers)
        self.rank, self.size = 1, 2
        self.last: list[bool] = []
        self.averaged = 0

    def mini_batch(self, *, is_last: bool) -> Any:
        self.last.append(is_last)
        return super().mini_batch(is_last=is_last)

    def average_statistics(self) -> None:
        self.averaged += 1


@pytest.fixture
def _is_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkparse.training.trainer.Parallel", SecondOfTwo)


@pytest.mark.usefixtures("_is_second")
def test_second_process_trains_its_share_and_writes_nothing(own: Path, recwarn: pytest.WarningsRecorder) -> None:
    for name in ("dog1", "cat2"):  # two of three images without a label: the first process alone warns
        (own.parent / f"{name}.txt").unlink()
    training = _trainer(own, {"yolo": "iou_loss=mse"}, batches=2, eval_map=True, eval_loss=True)
    compute, scale = training.losses, training._precision.scaler.scale
    seen: list[int] = []
    totals: list[float] = []
    scaled: list[float] = []
    confidence: list[float] = []

    def compute_loss(outputs: Any, truth: Any, **options: int) -> Any:
        loss = compute(outputs, truth, seen=options["seen"])
        seen.append(options["seen"])
        totals.append(float(loss.total))
        confidence.extend(map(float, loss.objectness.values()))
        return loss

    def scale_loss(total: Any) -> Any:
        scaled.append(float(total))
        return scale(total)

    training.losses = compute_loss  # type: ignore[assignment]
    training._precision.scaler.scale = scale_loss  # type: ignore[assignment, method-assign]
    steps = list(training)
    parallel: Any = training._parallel
    assert seen == [2, 4, 6, 8], "mini-batches of one image, of which the first process has every other"
    assert scaled == [2 * total for total in totals], "the mean of the gradients over the processes is their sum"
    assert parallel.last == [False, True, False, True]
    assert parallel.averaged == 2
    assert training._largest_shape() == (1, 3, 8, 16)
    (head,) = steps[0].heads.values()
    assert head["confidence"] == pytest.approx(sum(confidence[:2]) / 4), "the mean over all four mini-batches"
    assert [(step.batch, step.saved) for step in steps] == [(1, ()), (2, ())]
    assert (steps[-1].mean_ap, steps[-1].valid_loss) == (0, 0), "the first process measures"
    assert not (own.parent / "backup").exists()
    assert not [warning for warning in recwarn if "have no label" in str(warning.message)]
