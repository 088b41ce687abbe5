"""Fitting a `.weights` file to a cfg: compiling with the file as evidence, reading it, and reporting a mismatch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from darkparse.errors import Cause, CfgError, WeightsError
from darkparse.network import Network, compile
from darkparse.network.compile_options import CfgLike, CompileOptions, Size
from darkparse.syntax import read
from darkparse.weights.buffer import Arrays, FileBuffer, WeightsSource, open_source
from darkparse.weights.diagnosis.case import FileMismatch
from darkparse.weights.diagnosis.causes import diagnose, find_other_layout
from darkparse.weights.diagnosis.head_filters import explain_head_filters
from darkparse.weights.diagnosis.layout_report import make_report_rows, report_layout
from darkparse.weights.diagnosis.report import Report
from darkparse.weights.diagnosis.statistics import find_oddities, measure_row
from darkparse.weights.header import read_version
from darkparse.weights.layout import (
    Entry,
    ReadOptions,
    WeightsFile,
    compute_layout,
    count_stored_floats,
    get_layer_ends,
    parse_weights,
)


def inspect_weights(
    cfg: CfgLike,
    weights: WeightsSource | FileBuffer | None = None,
    options: ReadOptions = ReadOptions(),
    *,
    dialect: str | None = None,
    size: Size | None = None,
    compile_options: CompileOptions = CompileOptions(),
) -> Report:
    """Compare a weights file with a cfg and report each array's location and values, and why the file does not fit.

    Args:
        cfg: Path, name of a cfg that ships with darkparse, text of a cfg, parsed Config, or Network.
        weights: Path, open binary file, or bytes; None reports the layout only.
        options: Options for reading; only `upto`, `header_size` and `mmap` are used.
        dialect: Overrides `compile_options.dialect`.
        size: Overrides `compile_options.size`.
        compile_options: Options for compiling the cfg.

    Returns:
        The report: `fits` is whether the sizes agree, `causes` are explanations if they do not, and `findings` are
        problems with the values.

    Raises:
        CfgError: The cfg is invalid; for a wrong `filters=` before a head, a note suggests the right value.
        WeightsError: The file cannot be read.

    >>> report = darkparse.inspect_weights("yolov3-tiny", "tiny.weights")
    >>> report.fits, report.floats, report.rows[0].tensor
    (True, 8858734, 'norm.bias')
    """
    compile_options = compile_options.override(size=size, dialect=dialect)
    if weights is None:
        return report_layout(compile(cfg, compile_options), options)
    blob = open_source(weights, mmap=options.mmap)
    network = compile_with_weights(cfg, blob, compile_options)
    return report_file(network, blob, options)


def compile_with_weights(
    cfg: CfgLike,
    weights: WeightsSource | FileBuffer,
    options: CompileOptions,
    fits: Callable[[Network], bool] | None = None,
) -> Network:
    """Compile a cfg; the weights file is evidence for the dialect and for the correction of an invalid head.

    Args:
        cfg: Cfg as for `compile`.
        weights: Weights file, open or not.
        options: Options for compiling.
        fits: Function that returns whether the file fits a network; default: the file is a `.weights` file.

    Raises:
        CfgError: The cfg is invalid.
        WeightsError: The weights file cannot be read.
    """
    config = cfg if isinstance(cfg, Network) else read(cfg)
    blob = open_source(weights)
    version = None if blob.file_type else read_version(blob.read_head(20))
    try:
        return compile(config, options, version=version)
    except CfgError as problem:
        if isinstance(config, Network):
            raise
        fits = fits or partial(_is_exact_fit, blob)
        raise explain_head_filters(problem, config, blob.name, options.dialect, fits) from None


def _is_exact_fit(blob: FileBuffer, network: Network) -> bool:
    return parse_weights(blob, network.dialect).fits(network.stored_floats)


@dataclass(frozen=True, eq=False)
class FittedLayout:
    """`.weights` file with a fitting size, and the arrays to read from it."""

    file: WeightsFile
    entries: tuple[Entry, ...]

    @property
    def arrays(self) -> Arrays:
        """The arrays by their names in the state_dict."""
        return {entry.name: self.file.get_lazy_array(entry) for entry in self.entries}


def read_weights(
    source: WeightsSource | FileBuffer, network: Network, options: ReadOptions = ReadOptions()
) -> FittedLayout:
    """Read a `.weights` file for a network.

    Args:
        source: Path, open binary file, or bytes.
        network: Compiled network.
        options: Options for reading.

    Raises:
        WeightsError: The file cannot be read, has another type, or does not fit; the report explains why.
    """
    blob = open_source(source, mmap=options.mmap)
    entries = compute_layout(network, options.upto)
    if blob.file_type is not None:
        raise _make_mismatch_error(network, blob, options)
    try:
        file = parse_weights(blob, network.dialect, options.header_size)
    except ValueError as problem:
        if options.header_size not in (None, 16, 20):
            raise WeightsError(str(problem)) from None
        raise _make_mismatch_error(network, blob, options) from None
    if file.fits(count_stored_floats(entries), allow_longer=options.upto is not None or not options.strict):
        return FittedLayout(file, entries)
    if options.allow_partial and (
        fitting_layers := [index for index, end in get_layer_ends(entries).items() if file.fits(end)]
    ):
        last = max(fitting_layers)
        return FittedLayout(file, tuple(entry for entry in entries if entry.node.index <= last))
    raise _make_mismatch_error(network, blob, options)


def report_file(network: Network, blob: FileBuffer, options: ReadOptions) -> Report:
    """Report how a file's bytes fit a network."""
    report = replace(report_layout(network, options), file=blob.name, file_bytes=blob.size)
    if (file_type := blob.file_type) is not None:
        remedy = file_type.remedy.format(blob.name)
        return replace(report, causes=(Cause(file_type.code, f"it is {file_type.title}", remedy, file_type.facts),))
    try:
        case = FileMismatch.from_buffer(network, blob, options)
    except ValueError as problem:
        cause = Cause("header", str(problem), "download or copy it again", {"bytes": blob.size})
        return replace(report, causes=(cause,))
    file, rows = case.file, []
    for entry, row in zip(case.entries, make_report_rows(case.entries, file.header.size), strict=True):
        row = replace(row, floats_in_file=min(max(case.available_floats - entry.start, 0), entry.size))
        rows.append(measure_row(row, file.block[entry.start : entry.end]) if row.floats_in_file == row.floats else row)
    fits = file.fits(case.needed_floats, allow_longer=options.upto is not None)
    findings = find_oddities(tuple(rows)) if fits else ()
    if any(finding.code == "negative-variance" for finding in findings):
        findings = (*find_other_layout(case), *findings)
    causes = () if fits else diagnose(case)
    return replace(
        report, header=file.header, header_bytes=file.header.size, rows=tuple(rows), causes=causes, findings=findings
    )


def _make_mismatch_error(network: Network, blob: FileBuffer, options: ReadOptions) -> WeightsError:
    report = report_file(network, blob, options)
    return WeightsError(report.problem, report)
