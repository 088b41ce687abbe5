"""Report of a network's weights layout, without a file and without importing numpy."""

from __future__ import annotations

from darkparse.network.network import Network
from darkparse.weights.diagnosis.report import Report, ReportRow
from darkparse.weights.header import Header
from darkparse.weights.layout import Entry, ReadOptions, compute_layout, count_stored_floats


def report_layout(network: Network, options: ReadOptions) -> Report:
    """Report the location of each array in the file that the dialect's Darknet writes."""
    entries = compute_layout(network, options.upto)
    header = Header.from_version(network.dialect.version, network.dialect)
    return Report(
        name=network.name,
        cfg=network.config.source.name,
        dialect=network.dialect.name,
        dialect_reason=network.dialect_reason,
        rows=make_report_rows(entries, header.size),
        header_bytes=header.size,
        floats=count_stored_floats(entries),
    )


def make_report_rows(entries: tuple[Entry, ...], header_size: int) -> tuple[ReportRow, ...]:
    """Return one row per array, with offsets after a header of `header_size` bytes."""
    lines = {entry.node.index: entry.node.section.span.line for entry in entries}
    return tuple(
        ReportRow(
            layer=entry.node.index,
            kind=entry.node.kind,
            line=lines[entry.node.index],
            tensor=entry.tensor.path,
            shape=entry.tensor.shape,
            floats=entry.size,
            offset=header_size + 4 * entry.start,
        )
        for entry in entries
    )
