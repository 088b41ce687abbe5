"""`darkparse lower`: rewrite the cfg and state dict of a PyTorch project as plain Darknet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkparse.cli.common import cfg_argument, print_warnings
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.transforming import check_outputs, pair_output_option, write_pair
from darkparse.transform import lower
from darkparse.transform.lowering.families import FAMILIES

if TYPE_CHECKING:
    from darkparse.syntax import Config


@dataclass(frozen=True, slots=True)
class LowerJob:
    """Parameters of `darkparse lower`."""

    cfg: str | Config
    state: str
    out: tuple[Path, Path]
    family: str | None


@click.command(name="lower", cls=HelpCommand)
@cfg_argument
@click.argument("state", type=click.Path())
@pair_output_option
@click.option(
    "--from",
    "family",
    type=click.Choice(list(FAMILIES)),
    metavar="PROJECT",
    show_default="detect it",
    help="Project that the cfg is written for.",
)
@takes(LowerJob)
def command(job: LowerJob) -> None:
    """Rewrite a PyTorch project's cfg and state dict for Darknet.

    The result is a plain AlexeyAB cfg with the same outputs. STATE is the checkpoint or state dict (.pt) of the
    project's training; no code in it is run. Layers that no Darknet fork supports are folded into convolutions where
    that is exact, and replaced by several plain layers elsewhere. The map before each head and its boxes are equal up
    to float32 rounding.

    \b
    Examples:
      darkparse lower yolor_csp.cfg yolor_csp.pt -o csp.cfg csp.weights
      darkparse detect csp.cfg csp.weights dog.jpg
    """
    check_outputs(job.out, job.cfg, job.state)
    network, loaded = lower(job.cfg, job.state, family=job.family)
    print_warnings(network)
    write_pair(loaded, job.out)
