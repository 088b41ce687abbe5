"""The report on a cfg and a weights file."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from darkparse.errors import Cause, CfgError
from darkparse.network import Network, compile
from darkparse.network.compiler import Size
from darkparse.syntax import Config, read
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
    cfg: str | os.PathLike[str] | Config | Network,
    weights: WeightsSource | FileBuffer | None = None,
    options: ReadOptions | None = None,
    *,
    dialect: str | None = None,
    size: Size | None = None,
    **overrides: Any,
) -> Report:
    """Lay a weights file beside a cfg: every array with its place and values, and whether they fit, or why not.

    Args:
        cfg: a path, the name of a cfg that ships with darkparse, the text of a cfg, a parsed Config, or a Network.
        weights: a path, an open binary file, or bytes; left out, the report holds the layout alone.
        options: how to read the file: `upto` and `header_size` matter here.
        dialect: `"pjreddie"`, `"alexeyab"`, or None to choose by evidence.
        size: input size instead of the cfg's, n or (height, width).
        overrides: fields of `options`, by name.

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
    options = replace(options or ReadOptions(), **overrides)
    if weights is None:
        return report_layout(compile(cfg, size=size, dialect=dialect), options)
    blob = open_source(weights, mmap=options.mmap)
    network = compile_with_weights(cfg, blob, dialect=dialect, size=size)
    return report_file(network, blob, options)


def compile_with_weights(
    cfg: str | os.PathLike[str] | Config | Network,
    blob: FileBuffer,
    *,
    dialect: str | None = None,
    size: Size | None = None,
    strict: bool = False,
    reorg: str | None = None,
) -> Network:
    """Compile a cfg that a weights file is at hand for: it is evidence for the dialect, and for what a wrong head
    should be.

    Raises:
        CfgError: the cfg is wrong.
    """
    config = cfg if isinstance(cfg, Network) else read(cfg)
    try:
        return compile(
            config, size=size, dialect=dialect, strict=strict, version=get_weights_version(blob), reorg=reorg
        )
    except CfgError as problem:
        raise problem if isinstance(config, Network) else explain_head_filters(problem, config, blob, dialect) from None


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
