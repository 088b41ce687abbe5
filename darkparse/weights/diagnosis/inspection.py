"""The report on a cfg and a weights file."""

from __future__ import annotations

from dataclasses import replace

from darkparse.errors import Cause, CfgError
from darkparse.network import Network, compile
from darkparse.network.compile_options import CfgLike, CompileOptions, Size
from darkparse.syntax import read
from darkparse.weights.buffer import FileBuffer, WeightsSource, open_source
from darkparse.weights.diagnosis.case import Mismatch
from darkparse.weights.diagnosis.causes import diagnose, find_other_layout
from darkparse.weights.diagnosis.head_filters import explain_head_filters
from darkparse.weights.diagnosis.layout_report import make_report_rows, report_layout
from darkparse.weights.diagnosis.report import Report
from darkparse.weights.diagnosis.statistics import find_oddities, measure_row
from darkparse.weights.file_type import FileType, detect_file_type
from darkparse.weights.header import Version, read_version
from darkparse.weights.options import ReadOptions


def inspect_weights(
    cfg: CfgLike,
    weights: WeightsSource | FileBuffer | None = None,
    options: ReadOptions = ReadOptions(),
    *,
    dialect: str | None = None,
    size: Size | None = None,
    compile_options: CompileOptions = CompileOptions(),
) -> Report:
    """Lay a weights file beside a cfg: every array with its place and values, and whether they fit, or why not.

    Args:
        cfg: a path, the name of a cfg that ships with darkparse, the text of a cfg, a parsed Config, or a Network.
        weights: a path, an open binary file, or bytes; left out, the report holds the layout alone.
        options: how to read the file: `upto` and `header_size` matter here.
        dialect: overrides `compile_options.dialect`.
        size: overrides `compile_options.size`.
        compile_options: how the cfg is compiled.

    Returns:
        The report. `fits` says whether the sizes agree, `causes` what explains it if they do not, `findings` what is
        odd about the values.

    Raises:
        CfgError: the cfg is wrong; where a `filters=` before a head is, a note says what the file speaks for.
        WeightsError: the file cannot be read.

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


def compile_with_weights(cfg: CfgLike, blob: FileBuffer, options: CompileOptions) -> Network:
    """Compile a cfg that a weights file is at hand for: it is evidence for the dialect, and for what a wrong head
    should be.

    Raises:
        CfgError: the cfg is wrong.
    """
    config = cfg if isinstance(cfg, Network) else read(cfg)
    try:
        return compile(config, options, version=get_weights_version(blob))
    except CfgError as problem:
        if isinstance(config, Network):
            raise
        raise explain_head_filters(problem, config, blob, options.dialect) from None


def get_weights_version(blob: FileBuffer) -> Version | None:
    """The version in a file's header, None if the file is something else."""
    return None if detect_file_type(blob) else read_version(blob.read_head(20))


def report_file(network: Network, blob: FileBuffer, options: ReadOptions) -> Report:
    """Report how a file's bytes fit a network."""
    report = replace(report_layout(network, options), file=blob.name, file_bytes=blob.size)
    file_type = detect_file_type(blob)
    if file_type is not None:
        return replace(report, causes=(_make_cause(file_type, blob),))
    try:
        case = Mismatch.from_buffer(network, blob, options)
    except ValueError as problem:
        cause = Cause("header", str(problem), "download or copy it again", {"bytes": blob.size})
        return replace(report, causes=(cause,))
    file, rows = case.file, []
    for entry, row in zip(case.entries, make_report_rows(case.entries, file.header.size), strict=True):
        row = replace(row, held=min(max(case.available_floats - entry.start, 0), entry.size))
        rows.append(measure_row(row, file.floats[entry.start : entry.end]) if row.held == row.floats else row)
    fits = file.fits(case.needed_floats, allow_longer=options.upto is not None)
    findings = find_oddities(tuple(rows)) if fits else ()
    if any(finding.code == "negative-variance" for finding in findings):
        findings = (*find_other_layout(case), *findings)
    causes = () if fits else diagnose(case)
    return replace(
        report, header=file.header, header_bytes=file.header.size, rows=tuple(rows), causes=causes, findings=findings
    )


def _make_cause(file_type: FileType, blob: FileBuffer) -> Cause:
    return Cause(file_type.code, f"it is {file_type.title}", file_type.remedy.format(blob.name), file_type.facts)
