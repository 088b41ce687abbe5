"""`darkparse prune`: remove channels of a trained network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkparse.cli.common import FRACTION, cfg_argument, network_options, print_warnings
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.transforming import check_outputs, pair_output_option, write_pair
from darkparse.errors import WeightsError
from darkparse.network.compile_options import CompileOptions
from darkparse.transform import Prune, apply
from darkparse.transform.pruning import PruningPlan
from darkparse.views.formatting.numbers import flops_text, number_text, percent_text
from darkparse.weights import read

if TYPE_CHECKING:
    from darkparse.network import Network
    from darkparse.syntax import Config


@dataclass(frozen=True, slots=True)
class PruneJob:
    """Parameters of `darkparse prune`."""

    cfg: str | Config
    weights: str
    out: tuple[Path, Path]
    share: float | None
    flops: float | None
    compile_options: CompileOptions


@click.command(name="prune", cls=HelpCommand)
@cfg_argument
@click.argument("weights", type=click.Path())
@pair_output_option
@click.option("--share", type=FRACTION, help="Share of the channels to remove, of those that can be removed.")
@click.option("--flops", type=FRACTION, help="Share of the FLOPs to keep.")
@network_options
@takes(PruneJob)
def command(job: PruneJob) -> None:
    """Remove the channels with the smallest batch-norm scales.

    Train the result to restore its accuracy. Channels that shortcuts add, gates multiply or routes slice are removed
    together. Channels that a head or a layer over all channels reads stay; these layers are listed.

    \b
    Examples:
      darkparse prune my.cfg my.weights --share 0.3 -o small.cfg small.weights
      darkparse prune my.cfg my.weights --flops 0.5 -o half.cfg half.weights
    """
    check_outputs(job.out, job.cfg, job.weights)
    if (job.share is None) == (job.flops is None):
        raise click.UsageError("expected either --share or --flops")
    loaded = read(job.cfg, job.weights, compile_options=job.compile_options)
    if loaded is None:
        raise WeightsError(f"{job.weights}: no weights")
    print_warnings(loaded.network)
    pruned = apply(Prune(job.share or 0.0, job.flops), loaded)
    write_pair(pruned, job.out)
    for line in _compare(loaded.network, pruned.network):
        click.echo(line)
    mixing = PruningPlan(loaded.network, loaded.arrays).coupling.mixing
    for reason, layers in mixing.items():
        click.echo(f"channels stay before {reason}: {', '.join(f'L{index}' for index in layers)}")


def _compare(before: Network, after: Network) -> Iterator[str]:
    """Yield what each size of maps loses, then the parameters and FLOPs before and after."""
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for network, counter in zip((before, after), counts, strict=True):
        for node in network.nodes:
            if node.weights:
                counter[f"{node.out_shape.h}×{node.out_shape.w}"] += node.out_shape.c
    for size, channels in counts[0].items():
        if counts[1][size] != channels:
            lost = percent_text(channels - counts[1][size], channels)
            yield f"{size}: {channels:,} → {counts[1][size]:,} channels (−{lost})"
    yield f"parameters: {number_text(before.cost.params)} → {number_text(after.cost.params)}"
    yield f"FLOPs: {flops_text(before.cost.macs)} → {flops_text(after.cost.macs)}"
