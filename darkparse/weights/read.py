"""A file read as the weights of a network, or an error that explains why it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from darkparse.errors import WeightsError
from darkparse.network import Network
from darkparse.weights.buffer import FileBuffer, WeightsSource, open_source
from darkparse.weights.diagnosis.inspection import report_file
from darkparse.weights.file_type import detect_file_type
from darkparse.weights.layout import Entry, compute_layout, count_stored_floats, get_layer_ends
from darkparse.weights.options import ReadOptions
from darkparse.weights.reader import Floats, WeightsFile, parse_weights


@dataclass(frozen=True, eq=False)
class FittedLayout:
    """A `.weights` file whose size fits, and the arrays to be read from it."""

    file: WeightsFile
    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[tuple[Entry, Floats]]:
        """Every array in file order, in its module's shape."""
        return ((entry, self.file.get_array(entry)) for entry in self.entries)


def read_weights(
    source: WeightsSource | FileBuffer, network: Network, options: ReadOptions = ReadOptions()
) -> FittedLayout:
    """Read a `.weights` file for a network.

    Args:
        source: a path, an open binary file, or bytes.
        network: what `compile` made.
        options: how to read it.

    Raises:
        WeightsError: the file cannot be read, is something else, or does not fit; its report says why.
    """
    blob = open_source(source, mmap=options.mmap)
    entries = compute_layout(network, options.upto)
    if detect_file_type(blob) is not None:
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


def _make_mismatch_error(network: Network, blob: FileBuffer, options: ReadOptions) -> WeightsError:
    report = report_file(network, blob, options)
    return WeightsError(report.problem, report)
