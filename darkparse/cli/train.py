"""`darkparse train`: train a network on Darknet's data and write Darknet's weights."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkparse._utils.memory import free_memory
from darkparse._utils.text import pluralize
from darkparse.cli.common import cfg_argument, compile_cfg, network_options, report_written, stderr
from darkparse.cli.detector import device_option
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.output import replace_non_finite
from darkparse.cli.progress import Progress
from darkparse.datasets.formats import open_dataset
from darkparse.errors import DarkparseError
from darkparse.network.compile_options import CompileOptions
from darkparse.training.chart import Chart
from darkparse.training.data.processes import start_fork_server
from darkparse.training.data.seed import MAX_SEED
from darkparse.views.overlay import bytes_text

if TYPE_CHECKING:
    from types import FrameType

    import torch

    from darkparse.network import Network
    from darkparse.syntax import Config
    from darkparse.training import Step, Trainer

MAX_WORKERS = 8
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True, slots=True)
class TrainJob:
    """Parameters of `darkparse train`."""

    data: Path
    cfg: str | Config
    weights: str | None
    compile_options: CompileOptions
    batches: int | None
    resume: bool
    clear: bool
    eval_map: bool
    seed: int
    out: Path | None
    eval_loss: bool
    dry_run: Path | None
    chart: Path
    log: Path | None
    tensorboard: str | None
    device: str | None
    amp: bool
    workers: int | None


@click.command(name="train", cls=HelpCommand)
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@cfg_argument
@click.argument("weights", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--batches", type=click.IntRange(1), metavar="N", help="Stop after N batches.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run with identical results.")
@click.option("--clear", is_flag=True, help="Reset the image count of WEIGHTS (Darknet: -clear).")
@click.option("--map", "eval_map", is_flag=True, help="Measure mAP or top-1 accuracy every four epochs.")
@click.option("--val-loss", "eval_loss", is_flag=True, help="Compute the loss on `valid` as often as --map measures.")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), metavar="N", default=0, help="Random seed.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    show_default="backup of DATA, else backup/",
    help="Directory for the weights.",
)
@click.option(
    "--dry-run",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Measure memory, write the augmented images of one batch to DIR, and exit.",
)
@click.option(
    "--chart",
    type=click.Path(dir_okay=False, path_type=Path),
    default="chart.svg",
    help="Write a chart of loss, rate and mAP (Darknet: chart.png).",
)
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Append a JSON line per batch.")
@click.option("--tensorboard", type=click.Path(file_okay=False), metavar="DIR", help="Write TensorBoard events.")
@device_option
@click.option("--amp", is_flag=True, help="Use bfloat16 or float16 where it is accurate enough.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    show_default="one per core up to 8; on CPU a fourth",
    help="Processes that load images.",
)
@network_options
@takes(TrainJob)
def command(job: TrainJob) -> None:
    """Train a network on a data set.

    DATA is a .data file, a data.yaml, a COCO .json file, or a directory with VOC .xml files.

    WEIGHTS are initial weights: of a whole network, of a backbone such as yolov4.conv.137, or of a network with other
    classes.

    Weights are written to --out as NAME_last, NAME_1000, …, NAME_best (--map) and NAME_final,
    which Darknet can load. --resume continues from NAME_last.state. Both are written when the training is interrupted:
    Ctrl-C, SIGTERM and SIGHUP stop it after the current batch; a second signal stops it at once.

    \b
    Examples:
      darkparse train obj.data my.cfg yolov4.conv.137 --map
      darkparse train obj.data my.cfg --dry-run preview
      torchrun --nproc-per-node 2 -m darkparse train obj.data my.cfg
    """
    if job.workers:
        start_fork_server()
    network = compile_cfg(job.cfg, job.compile_options, job.weights)
    with _join_processes(job.device) as device:
        trainer = _make_trainer(job, network, device)
        if job.dry_run is not None:
            _report_memory(trainer, device)
            _preview(trainer, job.dry_run)
            return
        _run(job, trainer)


@contextmanager
def _join_processes(device: str | None) -> Iterator[Any]:
    """Yield the device of this process, which is one of several if torchrun started it."""
    from torch import cuda, distributed

    from darkparse.model.device import choose_device

    is_distributed = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if is_distributed and cuda.is_available():
        cuda.set_device(int(os.environ["LOCAL_RANK"]))
    own_device = choose_device(device)
    if is_distributed:
        distributed.init_process_group("nccl" if own_device.type == "cuda" else "gloo")
    try:
        yield own_device
    finally:
        if is_distributed:
            distributed.destroy_process_group()


def _make_trainer(job: TrainJob, network: Network, device: torch.device) -> Trainer:
    import torch

    from darkparse.training import Trainer, build_for_training
    from darkparse.training.precision import has_native_bfloat16

    torch.manual_seed(job.seed)
    model, message = build_for_training(network, job.weights, device=device)
    cores = os.cpu_count() or 1
    default_workers = min(cores // 4 if device.type == "cpu" else cores, MAX_WORKERS)
    trainer = Trainer(
        model,
        open_dataset(job.data),
        seed=job.seed,
        workers=default_workers if job.workers is None else job.workers,
        batches=job.batches if job.dry_run is None else 1,
        resume=job.resume,
        clear=job.clear,
        eval_map=job.eval_map,
        amp=job.amp,
        out=job.out,
        eval_loss=job.eval_loss,
    )
    if trainer.is_main:
        if job.resume:
            message = (
                f"resuming from {trainer.checkpoints.state} at batch {trainer.schedule.batch:,} of {trainer.end:,}"
            )
        stderr().print(message, soft_wrap=True)
        if device.type == "cpu" and not job.amp and has_native_bfloat16():
            stderr().print("bfloat16 is native here: --amp shortens steps, except of small networks", soft_wrap=True)
        _report_length(trainer, None if job.dry_run else job.batches)
    return trainer


def _report_length(trainer: Trainer, batches: int | None) -> None:
    """Print how long the schedule trains on the data set, and warnings about it."""
    length = trainer.compute_length(batches)
    for finding in length.lint():
        stderr().print(finding.headline, style="yellow", soft_wrap=True)
    stderr().print(str(length), soft_wrap=True)


def _report_memory(trainer: Trainer, device: torch.device) -> None:
    """Print how much memory training takes, and how much is free."""
    import torch

    estimate = trainer.measure_memory()
    if estimate is None:
        stderr().print("memory: not measured, because this system does not report the peak memory of a process")
        return
    few, twice = estimate.measured
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    owner = "tensors on the GPU" if device.type == "cuda" else "this process without loaders and cached images"
    stderr().print(
        f"memory: {bytes_text(estimate.peak)} for mini-batches of {pluralize(estimate.images, 'image')} "
        f"({bytes_text(estimate.fixed)} + {bytes_text(estimate.per_image)} per image), "
        f"{bytes_text(free)} free; extrapolated from the peaks of {owner} in training steps with "
        f"{few} and {pluralize(twice, 'image')}",
        soft_wrap=True,
    )


def _preview(trainer: Trainer, folder: Path) -> None:
    from darkparse.training.preview import write_preview

    written: list[tuple[Path, int]] = []
    batches = trainer.batches()
    for _ in range(trainer.model.network.net.subdivisions):
        batch = next(batches)
        written += write_preview(batch, trainer.names, folder, len(written))
    height, width = batch.images.shape[2:]
    summary = f"{len(written)} images of {width}×{height} with {sum(n for _, n in written)} objects"
    report_written(folder, f"{summary}: batch {trainer.schedule.batch:,} as the network would see it")


def _run(job: TrainJob, trainer: Trainer) -> None:
    """Train and show the progress. The trainer saves the weights even if a listener raises an exception."""
    with ExitStack() as stack:
        listeners = []
        if trainer.is_main:
            if job.log is not None:
                listeners.append(stack.enter_context(_log(job.log)))
            if job.tensorboard is not None:
                listeners.append(stack.enter_context(_tensorboard(job.tensorboard)))
            listeners.append(_make_chart_writer(job.chart, trainer))
            listeners.append(stack.enter_context(Progress(trainer)).show)
        stack.enter_context(_stopping_on_signals(trainer))
        for step in stack.enter_context(closing(iter(trainer))):
            for listener in listeners:
                listener(step)


def _make_chart_writer(path: Path, trainer: Trainer) -> Callable[[Step], None]:
    """Return a listener that writes the chart whenever weights are written; a failure does not stop the training."""
    chart = Chart(path, trainer.model.network.name, trainer.net.max_batches or trainer.end)
    chart.restore(trainer.schedule.batch - 1)
    failures = list[OSError]()

    def write(step: Step) -> None:
        chart.add(step)
        if not step.saved:
            return
        try:
            chart.write()
        except OSError as problem:
            if not failures:
                stderr().print(f"warning: {path}: {problem.strerror or problem}", style="yellow", soft_wrap=True)
            failures.append(problem)

    return write


@contextmanager
def _stopping_on_signals(trainer: Trainer) -> Iterator[None]:
    """End the training after the current batch on Ctrl-C, SIGTERM or SIGHUP, then the program by the same signal.

    A second signal ends the program without waiting for the batch. Ignored signals stay ignored, such as SIGHUP under
    nohup.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    received = list[int]()

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            _end_by(number, before[number])
        received.append(number)
        trainer.stop()
        # The console may be in the middle of a line, or its terminal may be closed.
        with suppress(OSError):
            os.write(2, b"stopping after this batch; a second signal stops at once\n")

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except OSError as problem:
        if not (received and problem.errno == errno.EIO):  # a terminal that hung up accepts no output
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        _end_by(received[0], before[received[0]])


def _end_by(number: int, handler: Any) -> None:
    """End the program by a signal."""
    if number == signal.SIGINT:
        signal.signal(number, handler)
        signal.raise_signal(number)
    sys.exit(128 + number)


@contextmanager
def _log(path: Path) -> Iterator[Callable[[Step], None]]:
    """Append one JSON line per batch to a file; remove a line that does not fit on the disk."""
    with path.open("ab", buffering=0) as file:

        def write(step: Step) -> None:
            line, written = json.dumps(replace_non_finite(step.to_dict())).encode() + b"\n", 0
            try:
                written = file.write(line) or 0
                reason = os.strerror(errno.ENOSPC)
            except OSError as problem:
                reason = problem.strerror or str(problem)
            if written == len(line):
                return
            with suppress(OSError):  # a pipe
                file.truncate(os.fstat(file.fileno()).st_size - written)
            raise DarkparseError(f"{path}: {reason}")

        yield write


@contextmanager
def _tensorboard(folder: str) -> Iterator[Any]:
    """Write the numbers of each batch as TensorBoard scalars."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DarkparseError("--tensorboard requires tensorboard\nhint: pip install tensorboard") from None
    with SummaryWriter(folder) as writer:

        def write(step: Step) -> None:
            numbers = {"loss": step.loss, "rate": step.rate, "mAP": step.mean_ap, "top-1": step.top1}
            numbers |= {f"L{index}/{name}": value for index, head in step.heads.items() for name, value in head.items()}
            for name, value in numbers.items():
                if value is not None:
                    writer.add_scalar(name, value, step.batch)

        yield write
