"""The command: `python -m tests.snapshots --help`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from tests.snapshots.cases import find_cases
from tests.snapshots.digest import Line, SnapshotError, find_differences, read_lines
from tests.snapshots.run import all_lines

FILE = click.Path(dir_okay=False, path_type=Path)
TEXT_ASPECTS = ("text", "text-flat")


@click.command()
@click.argument("old", required=False, type=FILE)
@click.option("-o", "--output", type=FILE, help="Write the snapshot to this file.")
@click.option("--quick", is_flag=True, help="Cover every layer kind and trained model with the small cfgs alone.")
@click.option("--text", is_flag=True, help="Include the text of emitted source.")
@click.option("--compare", nargs=2, type=FILE, metavar="OLD NEW", help="Compare two files and compute nothing.")
def main(old: Path | None, output: Path | None, quick: bool, text: bool, compare: tuple[Path, Path] | None) -> None:
    """Print one hash per cfg, dialect and aspect, or compare with the file OLD.

    A comparison prints the lines that differ and ends with exit status 1 if there are any. With --quick, or without
    --text, lines of OLD that this run does not compute are ignored.
    """
    try:
        if compare is not None:
            _report(*map(read_lines, compare))
            return
        before = None if old is None else read_lines(old)
    except SnapshotError as error:
        raise click.UsageError(str(error)) from None
    cases = find_cases(quick=quick)
    lines = all_lines(cases, with_text=text)
    shown = "".join(f"{line}\n" for line in lines)
    if output is not None:
        output.write_text(shown, "utf-8", newline="\n")
    if before is not None:
        covered = {(case.name, dialect) for case in cases for dialect in ("auto", *case.dialects)}
        wanted = [line for line in before if not quick or (line.case, line.dialect) in covered]
        _report([line for line in wanted if text or line.aspect not in TEXT_ASPECTS], lines)
    elif output is None:
        click.echo(shown, nl=False)


def _report(old: Iterable[Line], new: Iterable[Line]) -> None:
    """Print the differences; exit with status 1 if there are any."""
    differences = find_differences(old, new)
    click.echo("".join(f"{line}\n" for line in differences), nl=False)
    click.echo(f"{len(differences)} lines differ" if differences else "equal", err=True)
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
