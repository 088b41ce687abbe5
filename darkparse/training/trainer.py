"""A training from Darknet's data to Darknet's weights, batch by batch."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darkparse._utils.lock import lock_directory
from darkparse.datasets import DataFile
from darkparse.datasets.names import read_names
from darkparse.errors import DarkparseError, DarkparseWarning
from darkparse.model.darknet import Darknet
from darkparse.network.training import bind_net_training
from darkparse.training import data
from darkparse.training.checkpoints import Checkpoints
from darkparse.training.data.label_check import check_labels
from darkparse.training.distributed import Parallel
from darkparse.training.finite_check import check_gradients, check_loss
from darkparse.training.initialization import build_optimizer
from darkparse.training.losses import Losses
from darkparse.training.losses.network import Loss
from darkparse.training.resume import restore
from darkparse.training.state import State, digest_cfg
from darkparse.training.validation_run import Validation
from darkparse.weights import Header

MIN_BATCHES_BETWEEN, EPOCHS_BETWEEN = 100, 4
"""Batches, and times all pictures, between two measures of the average precision (AlexeyAB detector.c)."""

INTERVALS = ("savelast", "saveweights")
"""Options of a `.data` file, in batches."""


@dataclass(frozen=True, slots=True)
class Step:
    """One batch that was trained.

    Attributes:
        batch: its number, from 1.
        rate: its learning rate.
        loss: what Darknet prints: the mean of the heads' costs over the pictures.
        average: of the losses so far, the newest weighing a tenth.
        heads: for each head, by its layer's index, `cost`, and what of the squared delta is for `box`, `objectness` and
            `class`, all a picture.
        images: pictures in the batch.
        size: height and width of the network's input.
        seconds: that it took, waiting for pictures included.
        data_time: seconds of them that it waited.
        mean_ap: mean average precision, where it was measured after this batch.
        saved: the weights that were written after it.
    """

    batch: int
    rate: float
    loss: float
    average: float
    heads: Mapping[int, Mapping[str, float]]
    images: int
    size: tuple[int, int]
    seconds: float
    data_time: float
    mean_ap: float | None = None
    saved: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = asdict(self)
        values["waited"], values["wrote"] = values.pop("data_time"), [str(path) for path in values.pop("saved")]
        return values | {"pictures_a_second": self.images / self.seconds}


class Trainer:
    """Trains a network as its cfg and its `.data` file say; iterating it trains, a batch at a time.

    Weights are written under Darknet's names after Darknet's intervals, in the folder that `backup` names, and with the
    last ones a state from which `resume` goes on: on the CPU to the same numbers.

    Attributes:
        model: what is trained, on its device.
        end: the last batch.
        best: the best mean average precision so far.
        names: of the classes, as the `.data` file says them.

    Args:
        model: a module with values, in training mode; see `begin`.
        files: what the `.data` file names.
        seed: of all chance.
        workers: processes that load pictures, 0 to load in this one.
        batches: train so many, then stop; by default up to `max_batches`.
        resume: go on from the state that the last run left; the model's own values are not used then.
        clear: count pictures and batches from 0, whatever the weights say.
        eval_map: measure the mean average precision every four epochs, and keep the best weights.
        amp: run the network in bfloat16 where that is exact enough (torch.autocast).

    Raises:
        CfgError: an option is wrong.
        DarkparseError: `max_batches` is reached or missing, there is no state to resume from or a wrong one, the data
            cannot be read, or none of the first images has a label.
    """

    def __init__(
        self,
        model: Darknet,
        files: DataFile,
        *,
        seed: int = 0,
        workers: int = 0,
        batches: int | None = None,
        resume: bool = False,
        clear: bool = False,
        eval_map: bool = False,
        amp: bool = False,
    ) -> None:
        network = model.network
        self.model, self.files, self.seed, self.workers = model, files, seed, workers
        self.net, self._amp = bind_net_training(network), amp
        intervals = {key: number for key in INTERVALS if (number := files.number(key))}
        self.checkpoints = Checkpoints(network, files.backup or Path("backup"), self.net.max_batches, **intervals)
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
        self.losses = Losses(model)
        self._parallel = Parallel(model, {*self.losses.heads, *self.losses.entries.values()})
        self._device = next(model.parameters()).device
        if (warning := check_labels(files, network)) and self.is_main:
            warnings.warn(warning, DarkparseWarning, stacklevel=2)
        has_names = {"names", "labels"} & files.options.keys()
        self.names = read_names(files.path) if has_names else None
        self._validation = Validation(network, files.path, self.names) if eval_map and self.is_main else None
        self._eval_map = eval_map

    def _last_batch(self, batches: int | None) -> int:
        batches_done, max_batches = self.schedule.batch - 1, self.net.max_batches
        if not max_batches and batches is None:
            raise DarkparseError(f"{self.model.network.name} has no max_batches=: --batches says how many to train")
        if batches_done >= max_batches > 0 and not self._is_validation_due:
            raise DarkparseError(
                f"max_batches={max_batches:,} is reached: {self.schedule.seen:,} pictures were seen, which are "
                f"{batches_done:,} batches. --clear counts from 0; a larger max_batches= in the cfg goes on"
            )
        return (
            min(batches_done + batches, max_batches or batches_done + batches) if batches is not None else max_batches
        )

    @cached_property
    def _validation_interval(self) -> int:
        """Batches between two measures."""
        images = self.files.images("train", self.model.network.dialect)
        epoch_batches = EPOCHS_BETWEEN * len(images) // self.schedule.images
        return max(MIN_BATCHES_BETWEEN, epoch_batches)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes, of several or alone."""
        return self._parallel.rank == 0

    def stop(self) -> None:
        """Write the last weights after the batch that is running, and end."""
        self._stopping = True

    def __iter__(self) -> Generator[Step]:
        """Train; each Step has been written to the disk where it is due when it comes out.

        However the iteration ends, the last weights and the state of the last whole batch are written, unless a loss
        or a gradient is not finite: by an exception here or in a process that loads, or by closing the generator.

        Raises:
            DarkparseError: a loss or a gradient is not finite (the message names head, layer and picture), or another
                process trains into the same directory.
            OSError: a file cannot be written, as where the disk is full; those of before are whole.
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
        if self._is_validation_due and self._eval_map:  # the run before was stopped while it measured
            self._validate()
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
        """The mini-batches to come, of those that fall to this process."""
        network, size = self.model.network, self._parallel.size
        if network.net.batch % (network.net.subdivisions * size):
            raise DarkparseError(
                f"batch={network.net.batch} of {network.net.subdivisions} subdivisions cannot be shared out among "
                f"{size} processes"
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
        """Take memory for the largest input first, so that none is wanting in the middle of a run with `random=1`.

        Raises:
            DarkparseError: there is not enough.
        """
        network = self.model.network
        loader = data.Loader(network, self.files, self.seed, fixed_size=False)
        size = max((loader.input_size(batch) for batch in (0, max(self.net.max_batches - 1, 0))), key=math.prod)
        rows = loader.rows // self._parallel.size * network.net.time_steps
        restore = self._snapshot_buffers()
        try:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._amp):
                outputs = self.model.layer_outputs(torch.zeros(rows, loader.channels, *size, device=self._device))
            torch.stack([outputs[entry].float().sum() for entry in self.losses.entries.values()]).sum().backward()
        except torch.OutOfMemoryError:
            message = f"{rows} pictures of {size[1]}×{size[0]} do not fit into the memory of {self._device}"
            raise DarkparseError(f"{message}: more subdivisions= make it fewer") from None
        finally:
            restore()

    def _snapshot_buffers(self) -> Callable[[], None]:
        """Return a function that undoes what forward and backward passes from now on change."""
        buffers = [buffer.clone() for buffer in self.model.buffers()]

        def restore() -> None:
            self.optimizer.zero_grad()
            for buffer, saved in zip(self.model.buffers(), buffers, strict=True):
                buffer.copy_(saved)

        return restore

    def _train_batch(self, batches: Iterator[data.Batch]) -> Step:
        """Compute the gradients of one batch, and update. An exception before the update leaves all as it was."""
        start, restore = time.perf_counter(), self._snapshot_buffers()
        try:
            step = self._accumulate_gradients(batches)
            pending, is_validation_due = list(self.checkpoints.list_due(step.batch)), self._should_validate(step.batch)
        except BaseException:
            restore()
            raise
        self._is_consistent = False
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._parallel.average_statistics()
        self.schedule.step()
        self._average, self._pending, self._is_validation_due = step.average, pending, is_validation_due
        self._is_consistent = True
        return replace(step, seconds=time.perf_counter() - start)

    def _accumulate_gradients(self, batches: Iterator[data.Batch]) -> Step:
        """Add up the gradients of one batch."""
        data_time, seen, images = 0.0, self.schedule.seen, self.schedule.images
        number, subdivisions, size = self.schedule.batch, self.model.network.net.subdivisions, self._parallel.size
        # All chance of a batch follows from its number, so that none of it need be kept to resume.
        torch.manual_seed(hash((self.seed, number, self._parallel.rank)))
        sums: dict[tuple[int, str], Tensor] = {}
        for subdivision in range(subdivisions):
            wait_start = time.perf_counter()
            mini_batch = next(batches)
            data_time += time.perf_counter() - wait_start
            x = mini_batch.images.to(self._device, non_blocking=True)
            with self._parallel.mini_batch(is_last=subdivision == subdivisions - 1):
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._amp):
                    outputs = self._parallel.outputs(x)
                images_done = (subdivision * size + self._parallel.rank + 1) * len(x)
                loss = self.losses(outputs, mini_batch.truth, seen=seen + images_done)
                with self._discard_on_error():
                    check_loss(self.model, number, x, mini_batch.paths, loss, self.checkpoints.last)
                (loss.total * size).backward()  # the mean over the processes is taken of gradients
            for key, value in _loss_items(loss):
                sums[key] = sums.get(key, 0) + value
        with self._discard_on_error():
            check_gradients(self.model, number, self.checkpoints.last)
        totals = self._parallel.sum(torch.stack(tuple(sums.values()))).div(images).tolist()
        heads: dict[int, dict[str, float]] = {}
        for (index, component), total in zip(sums, totals, strict=True):
            heads.setdefault(index, {})[component] = total
        cost = sum(components["cost"] for components in heads.values()) / len(heads)
        return Step(
            batch=number,
            rate=self.schedule.rate(number),
            loss=cost,
            average=cost if self._average is None else 0.9 * self._average + 0.1 * cost,
            heads=heads,
            images=images,
            size=(x.shape[2], x.shape[3]),
            seconds=0.0,
            data_time=data_time,
        )

    @contextmanager
    def _discard_on_error(self) -> Iterator[None]:
        """Save nothing after an error: the weights of the batch before are often bad already."""
        try:
            yield
        except DarkparseError:
            self._is_consistent = False
            raise

    def _should_validate(self, batch: int) -> bool:
        is_due = batch > self.net.burn_in and batch % self._validation_interval == 0
        return self._eval_map and (batch == self.end or is_due)

    def _finish_step(self, step: Step, is_over: bool) -> Step:
        """Measure and write what is due after a batch."""
        mean_ap = self._validate() if self._is_validation_due else None
        return replace(step, mean_ap=mean_ap, saved=self._write_checkpoints(is_last_due=is_over))

    def _write_checkpoints(self, *, is_last_due: bool) -> tuple[Path, ...]:
        """Write the files that are due, the state at the end: where that is there, so are the others."""
        if is_last_due and "last" not in self._pending:
            self._pending.append("last")
        saved = []
        while self._pending:
            kind = self._pending[0]
            if self.is_main:
                saved.append(self.checkpoints.write(self.model, kind, self._build_state(kind)))
            if kind == "last":
                self._saved = self.schedule.seen
            self._pending.pop(0)
        return tuple(saved)

    def _validate(self) -> float:
        """Measure in the first process, while the others wait; the best weights so far are due then."""
        value = torch.zeros((), device=self._device)
        if self._validation is not None:
            value += self._validation(self.model).mean_ap("area")
        mean_ap = self._parallel.sum(value).item()
        self._is_validation_due = False
        if mean_ap >= self.best:
            self.best = mean_ap
            self._pending.insert(0, "best")
        return mean_ap

    def _build_state(self, kind: str | int) -> State | None:
        if kind != "last":
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
        }


def _loss_items(loss: Loss) -> Iterator[tuple[tuple[int, str], Tensor]]:
    """The numbers of a loss by head and name."""
    for index, cost in loss.costs.items():
        yield (index, "cost"), cost
        for name, component in loss.components.get(index, {}).items():
            yield (index, name), component
