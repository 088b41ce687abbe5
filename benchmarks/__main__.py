"""python -m benchmarks run --out results.json; python -m benchmarks write results.json docs/performance.md."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.case import Case, deep, prepare
from benchmarks.measure import Plan, Row, end_to_end, steady, training
from benchmarks.peers import PEERS
from benchmarks.pictures import noise
from benchmarks.report import compared, machine, markdown, plot, tables
from darkparse.datasets.image_files import find_images

START, END = "<!-- results -->\n", "<!-- end of results -->\n"
GROWS = ("darkparse.optimize", "ONNX Runtime")
NOISE = 0.1
"""Differences below it say nothing."""


Network = tuple[str, str | None, int | None]
"""A cfg, its weights if there are any, and the input's size if it is not the cfg's."""


@click.group()
def main() -> None:
    """Time darkparse beside every peer that PyPI serves; one that is missing is told and left out."""


@main.command()
@click.argument("cfgs", nargs=-1)
@click.option("--trained", nargs=2, multiple=True, metavar="CFG WEIGHTS", help="A network for end to end too.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder of them.")
@click.option("--peer", "peers", multiple=True, type=click.Choice(list(PEERS)), help="Only these; may be repeated.")
@click.option("--size", default=416, show_default=True, help="Height and width of the CFGS' input.")
@click.option("--batch", "batches", multiple=True, default=(1, 8), show_default=True)
@click.option(
    "--threads",
    "thread_counts",
    multiple=True,
    type=click.IntRange(1),
    default=(1, os.cpu_count() or 1),
    show_default=True,
    help="Threads of every peer; may be repeated. Growth and training use the last number.",
)
@click.option("--rounds", default=Plan.rounds, show_default=True)
@click.option("--quick", is_flag=True, help="A minute instead of most of an hour: one small network.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where the results go, as JSON.")
def run(
    cfgs: tuple[str, ...], trained: tuple[tuple[str, str], ...], pictures: Path | None, peers: tuple[str, ...],
    size: int, batches: tuple[int, ...], thread_counts: tuple[int, ...], rounds: int, quick: bool, out: Path | None,
) -> None:  # fmt: skip
    """Measure CFGS (yolov3, yolov4 and yolov4-tiny by default), with weights that are made, and --trained networks."""
    plan, names = Plan(rounds=rounds), peers or tuple(PEERS)
    cfgs = cfgs or (("yolov3-tiny",) if quick else ("yolov3", "yolov4", "yolov4-tiny"))
    sizes, counts, depths = [224, 320, 416, 608], [1, 2, 4, 8], [2, 4, 8, 16]
    if quick:
        plan, size, batches = Plan(starts=1, rounds=1, seconds=0.01), 64, (1,)
        sizes, counts, depths = [size], [1], [1]
    thread_counts = tuple(dict.fromkeys(thread_counts[-1:] if quick else thread_counts))
    say = Console(stderr=True).print
    results: dict[str, Any] = {"machine": machine(thread_counts), "rows": []}

    def add(rows: list[Row]) -> None:
        results["rows"] += rows
        if out:
            out.write_text(json.dumps(results, indent=1, ensure_ascii=False), "utf-8")

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)

        def ready(
            what: str, network: Network, batch: int, names: tuple[str, ...] = names, threads: int = thread_counts[-1]
        ) -> Case:
            cfg, weights, side = network
            forms = frozenset(filter(None, (PEERS[name].form for name in names)))
            case = prepare(cfg, weights, folder, size=side, batch=batch, threads=thread_counts[-1], forms=forms)
            case = replace(case, threads=threads)
            say(f"{what}: {case.title}")
            return case

        paths = [str(path) for path in find_images(pictures)] if pictures else noise(folder, 2 if quick else 12)
        given: list[Network] = [(*both, None) for both in trained]
        for network in (*((cfg, None, size) for cfg in cfgs), *given):
            for batch, threads in product(batches, thread_counts):
                add(steady(ready("network", network, batch, threads=threads), names, plan, say))
        last, few = cfgs[-1], tuple(name for name in GROWS if name in names)
        grown: list[tuple[Network, int]] = [((last, None, side), 1) for side in sizes]
        grown += [((last, None, size), count) for count in counts]
        for network, batch in dict.fromkeys(grown + [((deep(n, folder), None, None), 1) for n in depths]):
            add(steady(ready("growth", network, batch, few), few, replace(plan, starts=1), say, what="growth"))
        for network in given or [(last, None, size)]:
            add(end_to_end(ready("end to end", network, 1), paths, names, plan, say))
        add(training(ready("training", (last, None, size), batches[-1], ("PyTorch, eager",)), plan))
    click.echo(markdown(results))


@main.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.argument("page", type=click.Path(exists=True, path_type=Path))
def write(results: tuple[Path, ...], page: Path) -> None:
    """Write the tables of RESULTS into PAGE between its markers, and their charts into pictures/ beside it.

    Each file is one machine, in the order given.
    """
    text = page.read_text("utf-8")
    if START not in text or END not in text:
        raise click.ClickException(f"{page} has no lines {START.strip()} and {END.strip()}")
    folder = page.parent / "pictures"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("performance-*.svg"):
        old.unlink()
    sections = []
    for path in results:
        found = json.loads(path.read_text("utf-8"))
        chart = f"{folder.name}/performance-{path.stem}-{{}}.svg".format
        sections.append(markdown(found, chart))
        for number, rows in enumerate(tables(found)):
            plot(rows, page.parent / chart(number))
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text("".join((before, START, "\n".join(sections), END, after)), "utf-8")


@main.command()
@click.argument("old", type=click.Path(exists=True, path_type=Path))
@click.argument("new", type=click.Path(exists=True, path_type=Path))
def compare(old: Path, new: Path) -> None:
    """How much faster NEW is than OLD, row by row; a row that is slower by a tenth or more ends it with status 1."""
    table = Table("network", "", "old, ms", "new, ms", "times as fast")
    slower = False
    for case, peer, before, after in compared(*(json.loads(path.read_text("utf-8")) for path in (old, new))):
        ratio = before / after
        slower |= ratio < 1 - NOISE
        told = f"[bold]{ratio:.2f}[/]" if abs(ratio - 1) > NOISE else f"{ratio:.2f}"
        table.add_row(case, peer, f"{before:.1f}", f"{after:.1f}", told)
    Console().print(table)
    sys.exit(slower)


if __name__ == "__main__":
    main()
