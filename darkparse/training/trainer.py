"""Training from Darknet datasets to Darknet weights, batch by batch."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from darkparse._utils.lock import lock_directory
from darkparse.datasets.dataset import Dataset
from darkparse.datasets.names import read_names
from darkparse.detect.task import is_classifier
from darkparse.errors import DarkparseError, DarkparseWarning
from darkparse.model.darknet import Darknet
from darkparse.network.training import bind_net_training
from darkparse.network.training_schedule import TrainingLength, check_batch_norm, count_classes
from darkparse.training import data
from darkparse.training.buffers import snapshot_buffers
from darkparse.training.checkpoints import Checkpoints
from darkparse.training.data.label_check import check_labels
from darkparse.training.distributed import Parallel
from darkparse.training.finite_check import check_gradients, check_loss
from darkparse.training.head_summary import HeadMonitor, iterate_values, summarize_heads
from darkparse.training.initialization import build_optimizer
from darkparse.training.losses import Losses
from darkparse.training.memory import MemoryEstimate, measure_memory, reserve_memory
from darkparse.training.memory_format import convert_model
from darkparse.training.precision import Precision, choose_dtype
from darkparse.training.resume import restore
from darkparse.training.state import State, digest_cfg
from darkparse.training.step import Step
from darkparse.training.validation_loss import ValidationLoss
from darkparse.training.validation_run import Validation
from darkparse.weights import Header

MIN_BATCHES_BETWEEN, EPOCHS_BETWEEN = 100, 4
"""Minimum batches and number of epochs between two validations (AlexeyAB detector.c)."""

STATE_KINDS = ("last", "state")
"""Kinds of saved files that include the state."""

INTERVALS = ("savelast", "saveweights")
"""Options of a `.data` file: intervals between saved weights, in batches."""


class Trainer:
    """Trains a network as its cfg and its `.data` file specify; each iteration trains one batch.

    Weights are saved under Darknet's names at Darknet's intervals, in `out` or the directory that `backup` names. The
    last weights come with a state file for `resume`, which continues with identical results on the CPU.

    Attributes:
        model: The module being trained, on its device.
        end: Number of the last batch.
        best: Best mean average precision, or top-1 accuracy of a classifier, so far.
        names: Class names, as the `.data` file lists them.

    Args:
        model: A module with weights, in training mode; see `build_for_training`. Its parameters are converted to
            torch's channels-last format.
        files: The data set.
        seed: Random seed.
        workers: Number of processes that load images; 0 loads in this process.
        batches: Number of batches to train; by default up to `max_batches`.
        resume: Continue from the state of the last run; it replaces the model's values.
        clear: Count images and batches from 0, regardless of the weights' header.
        eval_map: Measure the mean average precision, or the top-1 accuracy of a classifier, every four epochs and save
            the best weights.
        amp: Run the network in bfloat16 or float16, whichever the device computes natively, where that is precise
            enough (torch.autocast).
        out: Directory for the weights; by default `backup` of the `.data` file, else `backup`.
        eval_loss: Compute the loss on `valid` whenever the average precision would be measured.

    Raises:
        CfgError: An option is invalid.
        DarkparseError: `max_batches` is reached or missing, the state to resume from is missing or invalid, the data
            cannot be read, or none of the first images has a label.
    """

    def __init__(
        self,
        model: Darknet,
        files: Dataset,
        *,
        seed: int = 0,
        workers: int = 0,
        batches: int | None = None,
        resume: bool = False,
        clear: bool = False,
        eval_map: bool = False,
        amp: bool = False,
        out: Path | None = None,
        eval_loss: bool = False,
    ) -> None:
        model, network = convert_model(model), model.network
        self.model, self.files, self.seed, self.workers = model, files, seed, workers
        self.net = bind_net_training(network)
        intervals = {key: number for key in INTERVALS if (number := files.number(key))}
        folder = out or files.backup or Path("backup")
        self.num_images = len(files.images("train", network.dialect))
        self.checkpoints = Checkpoints(network, folder, self.net.max_batches, epoch=self.num_images, **intervals)
        self.best, self._stopping = 0.0, False
        self._average: float | None = None
        self._is_validation_due = False
        if resume:
            self.optimizer, self.schedule, state = restore(model, self.checkpoints)
            self.seed, self._average, self.best = state["seed"], state["loss"], state["best"]
            self._is_validation_due = state["measure_due"]
        else:
            self.optimizer, self.schedule = build_optimizer(model, 0 if clear else None)
        self._saved, self._is_consistent = self.schedule.seen, True
        self._pending: list[str | int] = []
        self.end = self._last_batch(batches)
        self.losses, self._head_monitor = Losses(model), HeadMonitor()
        self._parallel = Parallel(model, {*self.losses.heads, *self.losses.entries.values()})
        check_batch_norm(network, self._parallel.size)
        self._device = next(model.parameters()).device
        self._precision = Precision(self._device, choose_dtype(self._device) if amp else None)
        self._precision.load_state_dict(state["scaler"] if resume else {})
        if (warning := check_labels(files, network)) and self.is_main:
            warnings.warn(warning, DarkparseWarning, stacklevel=2)
        has_names = {"names", "labels"} & files.keys
        self.names = read_names(files.path) if has_names else None
        self._validation = Validation(network, files.path, self.names) if eval_map and self.is_main else None
        self._valid_loss = ValidationLoss(network, files) if eval_loss and self.is_main else None
        self._eval_map, self._eval_loss = eval_map, eval_loss

    def _last_batch(self, batches: int | None) -> int:
        batches_done, max_batches = self.schedule.batch - 1, self.net.max_batches
        if not max_batches and batches is None:
            raise DarkparseError(
                f"{self.model.network.name} has no max_batches=\nhint: set the number of batches with --batches"
            )
        if batches_done >= max_batches > 0 and not self._is_validation_due:
            raise DarkparseError(
                f"max_batches={max_batches:,} is already reached, got {self.schedule.seen:,} seen images, which are "
                f"{batches_done:,} batches\nhint: restart the count with --clear, or continue with a larger "
                f"max_batches= in the cfg"
            )
        return (
            min(batches_done + batches, max_batches or batches_done + batches) if batches is not None else max_batches
        )

    @cached_property
    def _validation_interval(self) -> int:
        """Number of batches between two validations."""
        epoch_batches = EPOCHS_BETWEEN * self.num_images // self.schedule.images
        return max(MIN_BATCHES_BETWEEN, epoch_batches)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files; a single process always does."""
        return self._parallel.rank == 0

    def compute_length(self, batches: int | None) -> TrainingLength:
        """Return the length of training on this data set, for `batches` more batches or up to `max_batches`."""
        network = self.model.network
        return TrainingLength(network, self.num_images, count_classes(network), batches, self.schedule.batch - 1)

    def stop(self) -> None:
        """Stop after the current batch and save the last weights."""
        self._stopping = True

    def __iter__(self) -> Generator[Step]:
        """Train, and yield each Step after its files are written.

        However the iteration ends (by an exception here or in a loader process, or by closing the generator), the last
        weights and the state of the last complete batch are saved, unless a loss or a gradient is not finite.

        Raises:
            DarkparseError: A loss or a gradient is not finite (the message names head, layer and image), or another
                process is training into the same directory.
            OSError: A file cannot be written, for example because the disk is full; earlier files stay intact.
        """
        folder = self.checkpoints.state.parent
        lock = lock_directory(folder, "backup=", DarkparseError) if self.is_main else nullcontext()
        with lock, closing(self.batches()) as batches:
            try:
                yield from self._train_batches(batches)
            finally:
                if self._is_consistent and self.schedule.seen != self._saved:
                    self._write_checkpoints(is_last_due=True)

    def _train_batches(self, batches: Iterator[data.Batch]) -> Iterator[Step]:
        if self._is_validation_due and (
            self._eval_map or self._eval_loss
        ):  # the previous run was stopped during validation
            self._measure()
            self._write_checkpoints(is_last_due=True)
        if self._device.type == "cuda":
            self.reserve_memory()
        while self.schedule.batch <= self.end:
            step = self._train_batch(batches)
            is_over = self._parallel.any(self._stopping) or step.batch == self.end
            yield self._finish_step(step, is_over)
            if is_over:
                return

    def batches(self) -> Generator[data.Batch]:
        """Return the remaining mini-batches of this process.

        Raises:
            DarkparseError: The batch cannot be divided among the processes.
        """
        network, size = self.model.network, self._parallel.size
        if network.net.batch % (network.net.subdivisions * size):
            raise DarkparseError(
                f"cannot divide batch={network.net.batch} with subdivisions={network.net.subdivisions} among {size} "
                "processes"
            )
        shares = replace(network, net=replace(network.net, subdivisions=network.net.subdivisions * size))
        return data.batches(
            shares,
            self.files,
            seed=self.seed,
            workers=self.workers,
            start=self.schedule.batch - 1,
            rank=self._parallel.rank,
            world=size,
        )

    def reserve_memory(self) -> None:
        """Run the largest mini-batch once, so that a run with `random=1` does not run out of memory halfway.

        Raises:
            DarkparseError: There is not enough memory.
        """
        restore = snapshot_buffers(self.model)
        try:
            reserve_memory(self._parallel.selected, self.losses, self._precision, self._largest_shape())
        finally:
            self.optimizer.zero_grad()
            restore()

    def measure_memory(self) -> MemoryEstimate | None:
        """Measure the memory of the training for a dry run, which trains on noise; see `measure_memory`."""
        outputs, shape = self._parallel.selected, self._largest_shape()
        return measure_memory(outputs, self.losses, self.optimizer, self._precision, shape)

    def _largest_shape(self) -> tuple[int, int, int, int]:
        """Return the shape of the largest mini-batch of this process."""
        network = self.model.network
        loader = data.Loader(network, self.files, self.seed, fixed_size=False)
        size = max((loader.input_size(batch) for batch in (0, self.net.max_batches)), key=math.prod)
        return loader.rows // self._parallel.size * network.net.time_steps, loader.channels, *size

    def _train_batch(self, batches: Iterator[data.Batch]) -> Step:
        """Compute the gradients of one batch and update the weights; an exception before the update changes nothing."""
        start, restore = time.perf_counter(), snapshot_buffers(self.model)
        try:
            step = self._accumulate_gradients(batches)
            pending, is_validation_due = list(self.checkpoints.list_due(step.batch)), self._should_validate(step.batch)
        except BaseException:
            self.optimizer.zero_grad()
            restore()
            raise
        self._is_consistent = False
        self._precision.scaler.step(self.optimizer)
        self._precision.scaler.update()
        self.optimizer.zero_grad()
        self._parallel.average_statistics()
        self.schedule.step()
        self._average, self._pending, self._is_validation_due = step.average, pending, is_validation_due
        self._is_consistent = True
        return replace(step, seconds=time.perf_counter() - start)

    def _accumulate_gradients(self, batches: Iterator[data.Batch]) -> Step:
        """Sum the gradients of one batch over its mini-batches."""
        data_time, seen, images = 0.0, self.schedule.seen, self.schedule.images
        number, subdivisions, size = self.schedule.batch, self.model.network.net.subdivisions, self._parallel.size
        # Seeding each batch by its number makes it unnecessary to save random states for resuming.
        torch.manual_seed(hash((self.seed, number, self._parallel.rank)))
        sums: dict[tuple[int, str], Tensor] = {}
        for subdivision in range(subdivisions):
            wait_start = time.perf_counter()
            mini_batch = next(batches)
            data_time += time.perf_counter() - wait_start
            x = mini_batch.images.to(self._device, non_blocking=True)
            with self._parallel.mini_batch(is_last=subdivision == subdivisions - 1):
                with self._precision.autocast():
                    outputs = self._parallel.outputs(x)
                images_done = (subdivision * size + self._parallel.rank + 1) * len(x)
                loss = self.losses(outputs, mini_batch.truth, seen=seen + images_done)
                with self._discard_on_error():
                    check_loss(self.model, number, x, mini_batch.paths, loss, self.checkpoints.last)
                self._precision.scaler.scale(
                    loss.total * size
                ).backward()  # DistributedDataParallel averages gradients over processes
            for key, value in iterate_values(loss):
                sums[key] = sums.get(key, 0) + value
        self._precision.scaler.unscale_(self.optimizer)
        if not self._precision.tolerates_overflow:
            with self._discard_on_error():
                check_gradients(self.model, number, self.checkpoints.last)
        totals = self._parallel.sum(torch.stack(tuple(sums.values()))).tolist()
        heads = summarize_heads(dict(zip(sums, totals, strict=True)), images, subdivisions * size)
        cost = sum(head["cost"] or 0.0 for head in heads.values()) / len(heads)
        return Step(
            batch=number,
            rate=self.schedule.rate(number),
            loss=cost,
            average=cost if self._average is None else 0.9 * self._average + 0.1 * cost,
            heads=heads,
            warnings=self._head_monitor.update(heads, is_burnt_in=number > self.net.burn_in),
            images=images,
            size=(x.shape[2], x.shape[3]),
            seconds=math.nan,  # measured once the weights are updated
            data_time=data_time,
        )

    @contextmanager
    def _discard_on_error(self) -> Iterator[None]:
        """Prevent saving after an error: the weights of the previous batch are often bad already."""
        try:
            yield
        except DarkparseError:
            self._is_consistent = False
            raise

    def _should_validate(self, batch: int) -> bool:
        is_due = batch > self.net.burn_in and batch % self._validation_interval == 0
        return (self._eval_map or self._eval_loss) and (batch == self.end or is_due)

    def _finish_step(self, step: Step, is_over: bool) -> Step:
        """Run the validation and write the files that are due after a batch."""
        if self._is_validation_due:
            step = self._validate(step)
        return replace(step, saved=self._write_checkpoints(is_last_due=is_over))

    def _write_checkpoints(self, *, is_last_due: bool) -> tuple[Path, ...]:
        """Write the files that are due, with the state last, so that its presence implies that of the others."""
        if is_last_due:
            self._pending = list(self.checkpoints.complete(self._pending))
        saved = []
        while self._pending:
            kind = self._pending[0]
            if self.is_main:
                saved.append(self.checkpoints.write(self.model, kind, self._build_state(kind)))
            if kind in STATE_KINDS:
                self._saved = self.schedule.seen
            self._pending.pop(0)
        return tuple(path for path in saved if path is not None)

    def _validate(self, step: Step) -> Step:
        """Return a step with what was measured after it."""
        loss, score = self._measure()
        is_accuracy = is_classifier(self.model.network)
        return replace(
            step, valid_loss=loss, top1=score if is_accuracy else None, mean_ap=None if is_accuracy else score
        )

    def _measure(self) -> tuple[float | None, float | None]:
        """Measure in the main process while the others wait; schedule saving if the weights are the best so far.

        Returns:
            The loss on `valid`, and the mean average precision or top-1 accuracy; None for what was not requested.
        """
        loss = score = None
        if self._eval_loss:
            loss = self._share(self._valid_loss(self.model, self.losses, self.schedule.seen) if self._valid_loss else 0)
        if self._eval_map:
            score = self._share(self._validation(self.model).score if self._validation else 0)
            if score >= self.best and score > 0:
                self.best = score
                self._pending.insert(0, "best")
        self._is_validation_due = False
        return loss, score

    def _share(self, value: float) -> float:
        """Return a value of the main process in every process."""
        return self._parallel.sum(torch.tensor(float(value), device=self._device)).item()

    def _build_state(self, kind: str | int) -> State | None:
        if kind not in STATE_KINDS:
            return None
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.model.named_parameters()}
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "averages": {names[parameter]: mean for parameter, mean in self.optimizer.averages.items()},
            "header": asdict(self.model.header or Header()),
            "cfg": digest_cfg(self.model.network),
            "seen": self.schedule.seen,
            "seed": self.seed,
            "loss": self._average,
            "best": self.best,
            "measure_due": self._is_validation_due,
            "scaler": self._precision.state_dict(),
        }
