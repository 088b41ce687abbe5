"""`darkparse check`: everything that is odd about cfgs and data sets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkparse._utils.text import pluralize
from darkparse.cli.common import CfgType, network_options, stderr, stdout
from darkparse.datasets.data_file import DataFile
from darkparse.diagnostics.diagnostic import MAX_PRINTED_DIAGNOSTICS, Diagnostic, sort_diagnostics
from darkparse.errors import CfgError, DarkparseError
from darkparse.layers.dialect import DIALECTS
from darkparse.network.compile_options import CompileOptions
from darkparse.network.training_lint import lint_training

if TYPE_CHECKING:
    from darkparse.network import Network
    from darkparse.syntax import Config
    from darkparse.training.data.dataset_check import DatasetReport

FOUND, REFUSED = 1, 2
"""Exit statuses, as linters have them: something was found; a file is none that can be looked at to its end."""


@click.command(name="check")
@click.argument("cfgs", nargs=-1, required=True, type=CfgType(), metavar="CFG|DIR|DATA...")
@network_options
@click.option("--training", is_flag=True, help="Tell training options too that do not do what they say.")
@click.option("--decode", is_flag=True, help="Decode every image of a data set, to find truncated ones.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="How to print it; github makes notes on the lines of a pull request.",
)
def command(cfgs: tuple[str | Config, ...], form: str, strict: bool, decode: bool, **options: Any) -> None:
    """Check cfgs, and all in a folder: print every error and warning with its place, and what Darknet makes of it.

    Of a `.data` file all that is named there is checked: pictures, labels, names; with a cfg also whether they fit it,
    and the options of training.

    Exit status 0 if all is well, 1 if there are warnings with --strict, 2 if there are errors: a cfg does not compile,
    a data set is broken, a file cannot be read.

    \b
    darkparse check yolov4.cfg cfgs/
    darkparse check my.data my.cfg
    """
    data = [str(given) for given in cfgs if str(given).endswith(".data")]
    options["training"] |= bool(data)
    checked: list[Checked] = [_check(cfg, **options) for given in cfgs if given not in data for cfg in _files(given)]
    networks: list[Network | None] = [one.network for one in checked if one.network]
    checked += [
        _check_data(path, network, options["dialect"], decode=decode) for path in data for network in networks or [None]
    ]
    if form == "json":
        click.echo(json.dumps([one.to_dict() for one in checked], ensure_ascii=False, indent=1))
    elif form == "github":
        for one in checked:
            click.echo("".join(f"{_annotation(one.name, finding)}\n" for finding in one.found), nl=False)
    else:
        _print(checked)
    if any(one.is_refused for one in checked):
        sys.exit(REFUSED)
    sys.exit(FOUND if strict and any(one.found for one in checked) else 0)


@dataclass(frozen=True, slots=True)
class Checked:
    """A cfg and what was found."""

    name: str
    found: tuple[Diagnostic, ...]
    network: Network | None

    @property
    def is_refused(self) -> bool:
        return self.network is None

    @property
    def summary(self) -> str:
        """One line: how many findings, and whether it compiles."""
        errors = sum(d.severity == "error" for d in self.found)
        count = f"{self.name}: {pluralize(errors, 'error')}, {pluralize(len(self.found) - errors, 'warning')}"
        if any(d.code == "unreadable" for d in self.found):
            return f"{self.name}: cannot be read"
        if errors and all(d.code == "refused" for d in self.found if d.severity == "error"):
            return f"{count}; compiles elsewhere, and this Darknet's reader refuses it"
        if self.network is None:
            return f"{count}; does not compile; what depends on this was not looked at yet"
        dialect = f"dialect {self.network.dialect.name} ({self.network.dialect_reason})"
        return f"{count}; compiles, {pluralize(len(self.network.nodes), 'layer')}, {dialect}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        dialect = self.network.dialect.name if self.network else None
        findings = [d.to_dict() for d in self.found]
        return {"file": self.name, "compiles": self.network is not None, "dialect": dialect, "findings": findings}


@dataclass(frozen=True, slots=True)
class CheckedData(Checked):
    """A data set and what was found."""

    data: DatasetReport | None = None

    @property
    def is_refused(self) -> bool:
        return any(one.severity == "error" for one in self.found)

    @property
    def summary(self) -> str:
        if self.data is None:
            return f"{self.name}: cannot be read"
        errors, data = sum(d.severity == "error" for d in self.found), self.data
        found = f"{pluralize(errors, 'error')}, {pluralize(len(self.found) - errors, 'warning')}"
        decoded = "" if data.is_decoded else " (not decoded; --decode finds truncated ones)"
        held = f"{pluralize(data.images, 'picture')}{decoded}, {pluralize(data.objects, 'object')}"
        return f"{self.name}: {found}; {held}, labels as {data.dialect.title} looks for them"

    def to_dict(self) -> dict[str, Any]:
        data = self.data
        counts = {"pictures": data.images, "decoded": data.is_decoded, "objects": data.objects} if data else {}
        return {"file": self.name, **counts, "findings": [d.to_dict() for d in self.found]}


def _check_data(path: str, network: Network | None, dialect: str, *, decode: bool) -> Checked:
    from rich.progress import track

    from darkparse.training.data.dataset_check import check_data

    console = stderr()
    progress = partial(track, description="checking", console=console, transient=True, disable=not console.is_terminal)
    try:
        data = check_data(DataFile.read(path), DIALECTS.get(dialect), network, progress, decode=decode)
    except DarkparseError as problem:
        return CheckedData(path, (Diagnostic("error", "unreadable", str(problem)),), network)
    return CheckedData(path, tuple(data.diagnostics), network, data)


def _files(cfg: str | Config) -> Iterator[str | Config]:
    if isinstance(cfg, str) and Path(cfg).is_dir():
        yield from map(str, sorted(Path(cfg).rglob("*.cfg")))
    else:
        yield cfg


def _check(cfg: str | Config, *, training: bool, **options: Any) -> Checked:
    from darkparse.network import compile

    name = cfg if isinstance(cfg, str) else cfg.source.name
    try:
        network = compile(cfg, CompileOptions(**options))
    except CfgError as problem:
        return Checked(name, problem.diagnostics, None)
    except DarkparseError as problem:
        return Checked(name, (Diagnostic("error", "unreadable", str(problem)),), None)
    advice = lint_training(network) if training else ()
    return Checked(name, sort_diagnostics((*network.diagnostics, *advice)), network)


def _print(checked: list[Checked]) -> None:
    """The findings file by file; of many files those without any are only counted."""
    from rich.text import Text

    console = stdout()
    for one in checked:
        text = Text()
        for finding in one.found[:MAX_PRINTED_DIAGNOSTICS]:
            text.append(f"{finding}\n", "red" if finding.severity == "error" else "")
        if len(one.found) > MAX_PRINTED_DIAGNOSTICS:
            text.append(f"… and {len(one.found) - MAX_PRINTED_DIAGNOSTICS:,} more; --format json lists them all\n")
        if one.found or isinstance(one, CheckedData) or len(checked) == 1:
            console.print(text.append(one.summary), soft_wrap=True)
    checked = [one for one in checked if not isinstance(one, CheckedData)]
    if len(checked) > 1:
        odd = sum(bool(one.found) for one in checked)
        broken = sum(one.is_refused for one in checked)
        told = f"{pluralize(len(checked), 'cfg')}: {broken:,} do not compile, {odd - broken:,} have warnings only"
        console.print(f"{told}, {len(checked) - odd:,} are clean", soft_wrap=True)


def _annotation(name: str, finding: Diagnostic) -> str:
    """A workflow command of GitHub's, which shows a finding at its line."""
    places = f",line={finding.span.line},col={finding.span.column}" if finding.span else ""
    name = finding.span.source.name if finding.span else name
    file = _escaped(name).replace(":", "%3A").replace(",", "%2C")
    notes = "".join(f"\n{note.message}" for note in finding.notes)
    message = _escaped(finding.headline.partition(f"{finding.severity}: ")[2] + notes)
    return f"::{finding.severity} file={file}{places},title=darkparse {finding.code}::{message}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
