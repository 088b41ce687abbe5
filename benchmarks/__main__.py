"""Command line of the benchmarks."""

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

from benchmarks.case import Case, prepare_case, write_residual_cfg
from benchmarks.end_to_end import write_noise_images
from benchmarks.measure import Plan, Row, measure_end_to_end, measure_steady_state, measure_training
from benchmarks.peers import PEERS
from benchmarks.report import describe_machine, draw_chart, format_markdown, group_by_table, match_rows
from darkparse.datasets.image_files import find_images

START, END = "<!-- results -->\n", "<!-- end of results -->\n"
SCALING_PEERS = ("darkparse.optimize", "ONNX Runtime")
NOISE = 0.1
"""Smaller relative differences are not significant."""

Network = tuple[str, str | None, int | None]
"""Cfg, weights (None: generate them) and input size (None: the cfg's)."""


@click.group()
def main() -> None:
    """Benchmark darkparse and its peers. Peers that are not installed are skipped and reported."""


@main.command()
@click.argument("cfgs", nargs=-1)
@click.option("--trained", nargs=2, multiple=True, metavar="CFG WEIGHTS", help="Trained network (repeatable).")
@click.option(
    "--images", type=click.Path(exists=True, file_okay=False, path_type=Path), show_default="generated noise",
    help="Images for the end-to-end benchmark.",
)  # fmt: skip
@click.option(
    "--peer", "peers", multiple=True, type=click.Choice(list(PEERS)), show_default="all",
    help="Peer to run (repeatable).",
)  # fmt: skip
@click.option("--size", default=416, show_default=True, help="Input height and width of CFGS.")
@click.option("--batch", "batches", multiple=True, default=(1, 8), show_default=True, help="Batch size (repeatable).")
@click.option(
    "--threads", "thread_counts", multiple=True, type=click.IntRange(1), default=(1, os.cpu_count() or 1),
    show_default=True, help="Threads per peer (repeatable). Scaling, end to end and training use the last value.",
)  # fmt: skip
@click.option("--rounds", default=Plan.rounds, show_default=True, help="Timed blocks per peer.")
@click.option("--quick", is_flag=True, help="Run one small network for a minute instead of most of an hour.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for the results.")
def run(
    cfgs: tuple[str, ...], trained: tuple[tuple[str, str], ...], images: Path | None, peers: tuple[str, ...],
    size: int, batches: tuple[int, ...], thread_counts: tuple[int, ...], rounds: int, quick: bool, out: Path | None,
) -> None:  # fmt: skip
    """Measure CFGS with random weights, and --trained networks.

    CFGS default to yolov3, yolov4 and yolov4-tiny. The end-to-end benchmark uses the --trained networks, or else the
    last of CFGS. Prints the results as Markdown.
    """
    plan, names = Plan(rounds=rounds), peers or tuple(PEERS)
    cfgs = cfgs or (("yolov3-tiny",) if quick else ("yolov3", "yolov4", "yolov4-tiny"))
    sizes, batch_sizes, depths = [224, 320, 416, 608], [1, 2, 4, 8], [2, 4, 8, 16]
    if quick:
        plan, size, batches = Plan(starts=1, rounds=1, seconds=0.01), 64, (1,)
        sizes, batch_sizes, depths = [size], [1], [1]
    thread_counts = tuple(dict.fromkeys(thread_counts[-1:] if quick else thread_counts))
    log = Console(stderr=True).print
    results: dict[str, Any] = {"machine": describe_machine(thread_counts), "rows": []}

    def add(rows: list[Row]) -> None:
        results["rows"] += rows
        if out:
            out.write_text(json.dumps(results, indent=1, ensure_ascii=False), "utf-8")

    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)

        def get_case(
            title: str, network: Network, batch: int, names: tuple[str, ...] = names, threads: int = thread_counts[-1]
        ) -> Case:
            cfg, weights, input_size = network
            formats = frozenset(filter(None, (PEERS[name].file_format for name in names)))
            # Cases that differ only in their number of threads share their files.
            case = prepare_case(
                cfg, weights, directory, size=input_size, batch=batch, threads=thread_counts[-1], formats=formats
            )
            case = replace(case, threads=threads)
            log(f"{title}: {case.title}")
            return case

        paths = find_images(images) if images else write_noise_images(directory, 2 if quick else 12)
        trained_networks: list[Network] = [(*files, None) for files in trained]
        for network in (*((cfg, None, size) for cfg in cfgs), *trained_networks):
            for batch, threads in product(batches, thread_counts):
                case = get_case("network", network, batch, threads=threads)
                add(measure_steady_state(case, names, plan, log))
        last = cfgs[-1]
        scaling_peers = tuple(name for name in SCALING_PEERS if name in names)
        scaling: list[tuple[Network, int]] = [((last, None, input_size), 1) for input_size in sizes]
        scaling += [((last, None, size), batch) for batch in batch_sizes]
        scaling += [((write_residual_cfg(depth, directory), None, None), 1) for depth in depths]
        for network, batch in dict.fromkeys(scaling):
            case = get_case("scaling", network, batch, scaling_peers)
            add(measure_steady_state(case, scaling_peers, replace(plan, starts=1), log, what="growth"))
        for network in trained_networks or [(last, None, size)]:
            add(measure_end_to_end(get_case("end to end", network, 1), [str(path) for path in paths], names, plan, log))
        add(measure_training(get_case("training", (last, None, size), batches[-1], ("PyTorch, eager",)), plan))
    click.echo(format_markdown(results))


@main.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.argument("page", type=click.Path(exists=True, path_type=Path))
def write(results: tuple[Path, ...], page: Path) -> None:
    """Update the tables and charts of PAGE from RESULTS.

    Each file of RESULTS becomes a section, in the given order. Text outside the markers of PAGE does not change. Charts
    are written to pictures/ in the directory of PAGE.
    """
    text = page.read_text("utf-8")
    if START not in text or END not in text:
        raise click.ClickException(f"{page} has no markers; expected the lines {START.strip()} and {END.strip()}")
    directory = page.parent / "pictures"
    directory.mkdir(exist_ok=True)
    for old in directory.glob("performance-*.svg"):
        old.unlink()
    sections = []
    for path in results:
        content = json.loads(path.read_text("utf-8"))
        get_chart = f"{directory.name}/performance-{path.stem}-{{}}.svg".format
        sections.append(format_markdown(content, get_chart))
        for number, rows in enumerate(group_by_table(content)):
            draw_chart(rows, page.parent / get_chart(number))
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text("".join((before, START, "\n".join(sections), END, after)), "utf-8")


@main.command()
@click.argument("old", type=click.Path(exists=True, path_type=Path))
@click.argument("new", type=click.Path(exists=True, path_type=Path))
def compare(old: Path, new: Path) -> None:
    """Print the speedup of NEW over OLD per row. Exit with status 1 if any is below 0.9."""
    table = Table("network", "peer", "old, ms", "new, ms", "speedup")
    slower = False
    for case, peer, before, after in match_rows(*(json.loads(path.read_text("utf-8")) for path in (old, new))):
        ratio = before / after
        slower |= ratio < 1 - NOISE
        text = f"[bold]{ratio:.2f}[/]" if abs(ratio - 1) > NOISE else f"{ratio:.2f}"
        table.add_row(case, peer, f"{before:.1f}", f"{after:.1f}", text)
    Console().print(table)
    sys.exit(slower)


if __name__ == "__main__":
    main()
