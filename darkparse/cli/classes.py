"""`darkparse classes`: keep some classes of a trained network, or change their order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkparse.cli.common import cfg_argument, network_options, print_warnings
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.transforming import check_names_file, check_outputs, pair_output_option, write_pair
from darkparse.datasets.names import find_class_ids, find_names
from darkparse.errors import WeightsError
from darkparse.network.compile_options import CompileOptions
from darkparse.transform import SelectClasses, apply, count_classes
from darkparse.weights import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darkparse.syntax import Config


@dataclass(frozen=True, slots=True)
class ClassesJob:
    """Parameters of `darkparse classes`."""

    cfg: str | Config
    weights: str
    out: tuple[Path, Path]
    keep: str | None
    drop: str | None
    names: str | None
    renormalize: bool
    compile_options: CompileOptions


@click.command(name="classes", cls=HelpCommand)
@cfg_argument
@click.argument("weights", type=click.Path())
@pair_output_option
@click.option("--keep", metavar="NAMES", help="Classes to keep, in their new order.")
@click.option("--drop", metavar="NAMES", help="Classes to remove.")
@click.option("--names", type=click.Path(), show_default="beside the cfg", help="Class names (.names or .data file).")
@click.option("--renormalize", is_flag=True, help="Accept larger scores of a softmax over fewer classes.")
@network_options
@takes(ClassesJob)
def command(job: ClassesJob) -> None:
    """Keep some classes of a trained network.

    Boxes and scores of these classes do not change, and no training is needed. The class names are written beside
    OUT.cfg, with the extension .names.

    \b
    Example:
      darkparse classes yolov4 yolov4.weights --keep dog,cat -o my.cfg my.weights
    """
    check_outputs(job.out, job.cfg, job.weights, job.names)
    if (job.keep is None) == (job.drop is None):
        raise click.UsageError("expected either --keep or --drop")
    loaded = read(job.cfg, job.weights, compile_options=job.compile_options)
    if loaded is None:
        raise WeightsError(f"{job.weights}: no weights")
    print_warnings(loaded.network)
    names = find_names(loaded.network, count_classes(loaded.network), job.names)
    keep = _find_kept(names, job)
    kept_names = [names[number] for number in keep]
    check_names_file(job.out[0], kept_names)
    write_pair(apply(SelectClasses(keep, job.renormalize), loaded), job.out, kept_names)


def _find_kept(names: Sequence[str], job: ClassesJob) -> tuple[int, ...]:
    """Return the numbers of the classes to keep, in their new order."""
    listed = [name.strip() for name in (job.keep or job.drop or "").split(",") if name.strip()]
    numbers = [number for name in listed for number in find_class_ids(names, [name])]
    if job.keep is not None:
        return tuple(numbers)
    return tuple(number for number in range(len(names)) if number not in numbers)
