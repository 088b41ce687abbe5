"""`darkparse check`: report errors and warnings of cfgs and data sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkparse._utils.text import pluralize
from darkparse.cli.common import CfgType, network_options, stderr, stdout
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.output import format_option, print_document
from darkparse.datasets.formats import is_dataset, open_dataset
from darkparse.diagnostics.diagnostic import Diagnostic, select_printed, sort_diagnostics
from darkparse.errors import CfgError, DarkparseError
from darkparse.layers.dialect import DIALECTS
from darkparse.network.compile_options import CompileOptions
from darkparse.network.training_lint import lint_training
from darkparse.views.values import network_values

if TYPE_CHECKING:
    from darkparse.network import Network
    from darkparse.network.training_schedule import TrainingLength
    from darkparse.syntax import Config
    from darkparse.training.data.dataset_check import DatasetReport

EXIT_FINDINGS, EXIT_ERRORS = 1, 2
"""Exit statuses, as in linters: warnings with --strict; a file that is rejected or cannot be read."""


@dataclass(frozen=True, slots=True)
class CheckJob:
    """Parameters of `darkparse check`."""

    cfgs: tuple[str | Config, ...]
    compile_options: CompileOptions
    strict: bool
    training: bool
    decode: bool
    form: str


@click.command(name="check", cls=HelpCommand)
@click.argument("cfgs", nargs=-1, required=True, type=CfgType(), metavar="CFG|DIRECTORY|DATA...")
@network_options
@click.option("--training", is_flag=True, help="Also check the training options.")
@click.option("--decode", is_flag=True, help="Decode every image to find truncated files.")
@format_option("text", "json", "github", help="Output format (github: annotate a pull request).")
@takes(CheckJob)
def command(job: CheckJob) -> None:
    """Check cfgs and data sets for mistakes.

    Prints every error and warning with its position and with what Darknet does in that case. A directory is searched
    for cfgs. Of a data set (.data, data.yaml, COCO .json, directory with VOC .xml files), the images, labels and names
    are checked, and whether they fit the given cfg.

    Exit status 0 without errors, 1 for warnings with --strict, 2 for errors and unreadable files.

    \b
    Examples:
      darkparse check yolov4.cfg cfgs/
      darkparse check my.data my.cfg
    """
    data = [path for path in job.cfgs if isinstance(path, str) and is_dataset(path)]
    # Here --strict only affects the exit status, because warnings are findings in any case.
    options, training = replace(job.compile_options, strict=False), job.training or bool(data)
    results: list[CfgResult] = [
        _check(cfg, options, training=training) for path in job.cfgs if path not in data for cfg in _find_cfgs(path)
    ]
    networks: list[Network | None] = [result.network for result in results if result.network]
    results += [
        _check_data(path, network, options.dialect, decode=job.decode)
        for path in data
        for network in networks or [None]
    ]
    if job.form == "json":
        print_document("check", _as_values(results))
    elif job.form == "github":
        for result in results:
            click.echo(
                "".join(f"{_format_annotation(result.name, finding)}\n" for finding in result.findings), nl=False
            )
    else:
        _print_results(results)
    if any(result.is_refused for result in results):
        sys.exit(EXIT_ERRORS)
    sys.exit(EXIT_FINDINGS if job.strict and any(result.findings for result in results) else 0)


@dataclass(frozen=True, slots=True)
class CfgResult:
    """A cfg and its findings."""

    name: str
    findings: tuple[Diagnostic, ...]
    network: Network | None

    @property
    def is_refused(self) -> bool:
        return self.network is None

    @property
    def summary(self) -> str:
        """One line with the number of findings and whether the cfg compiles."""
        errors = sum(d.severity == "error" for d in self.findings)
        count = f"{self.name}: {pluralize(errors, 'error')}, {pluralize(len(self.findings) - errors, 'warning')}"
        if any(d.code == "unreadable" for d in self.findings):
            return f"{self.name}: cannot be read"
        if errors and all(d.code == "refused" for d in self.findings if d.severity == "error"):
            return f"{count}; compiles, but this Darknet fork rejects it"
        if self.network is None:
            return f"{count}; does not compile; later checks were skipped"
        dialect = f"dialect {self.network.dialect.name} ({self.network.dialect_reason})"
        return f"{count}; compiles, {pluralize(len(self.network.nodes), 'layer')}, {dialect}"

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-serializable values."""
        return {
            "file": self.name,
            "compiles": self.network is not None,
            "network": network_values(self.network) if self.network else None,
            "findings": [d.to_dict() for d in self.findings],
        }


@dataclass(frozen=True, slots=True)
class DatasetResult(CfgResult):
    """A data set and its findings."""

    data: DatasetReport | None = None

    @property
    def is_refused(self) -> bool:
        return any(d.severity == "error" for d in self.findings)

    @property
    def summary(self) -> str:
        if self.data is None:
            return f"{self.name}: cannot be read"
        errors, data = sum(d.severity == "error" for d in self.findings), self.data
        problems = f"{pluralize(errors, 'error')}, {pluralize(len(self.findings) - errors, 'warning')}"
        decoded = "" if data.is_decoded else " (not decoded; --decode finds truncated ones)"
        counts = f"{pluralize(data.images, 'image')}{decoded}, {pluralize(data.objects, 'object')}"
        length = f"\n{data.length.network.config.source.name}: {data.length}" if data.length else ""
        places = f", label paths of {data.dialect.title}" if data.files.is_darknet else ""
        return f"{self.name}: {problems}; {counts}{places}{length}"

    def to_dict(self) -> dict[str, Any]:
        data = self.data
        return {
            "file": self.name,
            "images": data.images if data else None,
            "objects": data.objects if data else None,
            "decoded": data is not None and data.is_decoded,
            "dialect": data.dialect.name if data else None,
            "training": _length_values(data.length) if data and data.length else None,
            "findings": [d.to_dict() for d in self.findings],
        }


def _length_values(length: TrainingLength) -> dict[str, Any]:
    return {"batches": length.end, "epochs": round(length.epochs, 3), "first_rate": length.first_rate}


def _as_values(results: list[CfgResult]) -> dict[str, Any]:
    """Return the members of the JSON document."""
    severities = [finding.severity for result in results for finding in result.findings]
    return {
        "totals": {"errors": severities.count("error"), "warnings": severities.count("warning")},
        "cfgs": [result.to_dict() for result in results if not isinstance(result, DatasetResult)],
        "datasets": [result.to_dict() for result in results if isinstance(result, DatasetResult)],
    }


def _check_data(path: str, network: Network | None, dialect: str | None, *, decode: bool) -> CfgResult:
    from rich.progress import track

    from darkparse.training.data.dataset_check import check_data

    console = stderr()
    progress = partial(track, description="checking", console=console, transient=True, disable=not console.is_terminal)
    try:
        data = check_data(open_dataset(path), DIALECTS.get(dialect or "auto"), network, progress, decode=decode)
    except DarkparseError as problem:
        return DatasetResult(path, (Diagnostic("error", "unreadable", str(problem)),), network)
    return DatasetResult(path, tuple(data.diagnostics), network, data)


def _find_cfgs(cfg: str | Config) -> Iterator[str | Config]:
    if isinstance(cfg, str) and Path(cfg).is_dir():
        yield from map(str, sorted(Path(cfg).rglob("*.cfg")))
    else:
        yield cfg


def _check(cfg: str | Config, options: CompileOptions, *, training: bool) -> CfgResult:
    from darkparse.network import compile

    name = cfg if isinstance(cfg, str) else cfg.source.name
    try:
        network = compile(cfg, options)
    except CfgError as problem:
        return CfgResult(name, problem.diagnostics, None)
    except DarkparseError as problem:
        return CfgResult(name, (Diagnostic("error", "unreadable", str(problem)),), None)
    advice = lint_training(network) if training else ()
    return CfgResult(name, sort_diagnostics((*network.diagnostics, *advice)), network)


def _print_results(results: list[CfgResult]) -> None:
    """Print the findings of each file; of many files, only count those without findings."""
    from rich.text import Text

    console = stdout()
    for result in results:
        text = Text()
        printed = select_printed(result.findings)
        for finding in printed:
            text.append(f"{finding}\n", "red" if finding.severity == "error" else "")
        if len(printed) < len(result.findings):
            text.append(f"… and {len(result.findings) - len(printed):,} more; --format json lists them all\n")
        if result.findings or isinstance(result, DatasetResult) or len(results) == 1:
            console.print(text.append(result.summary), soft_wrap=True)
    results = [result for result in results if not isinstance(result, DatasetResult)]
    if len(results) > 1:
        odd = sum(bool(result.findings) for result in results)
        broken = sum(result.is_refused for result in results)
        summary = f"{pluralize(len(results), 'cfg')}: {broken:,} do not compile, {odd - broken:,} have warnings only"
        console.print(f"{summary}, {len(results) - odd:,} are clean", soft_wrap=True)


def _format_annotation(name: str, finding: Diagnostic) -> str:
    """Return the GitHub workflow command that shows a finding at its line."""
    position = f",line={finding.span.line},col={finding.span.column}" if finding.span else ""
    name = finding.span.source.name if finding.span else name
    file = _escape(name).replace(":", "%3A").replace(",", "%2C")
    notes = "".join(f"\n{note.message}" for note in finding.notes)
    message = _escape(finding.headline.partition(f"{finding.severity}: ")[2] + notes)
    return f"::{finding.severity} file={file}{position},title=darkparse {finding.code}::{message}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
