"""A file read as the weights of a network, or an error that explains why it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from darkparse.network import Network
from darkparse.weights.errors import WeightsError
from darkparse.weights.inspection import report_on
from darkparse.weights.layout import Entry, layer_ends, layout, stored_floats
from darkparse.weights.reader import Floats, WeightsFile, as_weights
from darkparse.weights.signature import signature
from darkparse.weights.source import Blob, WeightsSource, open_source


@dataclass(frozen=True, eq=False)
class Fitted:
    """A `.weights` file whose size fits, and the arrays to be read from it."""

    file: WeightsFile
    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[tuple[Entry, Floats]]:
        """Every array in file order, in its module's shape."""
        return ((entry, self.file.array(entry)) for entry in self.entries)


def read_weights(
    source: WeightsSource | Blob,
    network: Network,
    *,
    strict: bool = True,
    upto: int | None = None,
    allow_partial: bool = False,
    mmap: bool = True,
    header_size: int | None = None,
) -> Fitted:
    """Read a `.weights` file for a network.

    Args:
        source: a path, an open binary file, or bytes.
        network: what `compile` made.
        strict: refuse floats behind those that the network needs.
        upto: read only the layers before this one; the file may go on behind them.
        allow_partial: accept a file that ends exactly after a layer.
        mmap: map a file given by its path.
        header_size: 16 or 20, for a file whose header is not as wide as its version says.

    Raises:
        WeightsError: the file cannot be read, is something else, or does not fit; its report says why.
    """
    blob = open_source(source, mmap=mmap)
    entries = layout(network, upto)
    if signature(blob) is not None:
        raise _misfit(network, blob, header_size, upto)
    try:
        file = as_weights(blob, network.dialect, header_size)
    except ValueError as problem:
        if header_size is not None and header_size not in (16, 20):
            raise WeightsError(str(problem)) from None
        raise _misfit(network, blob, header_size, upto) from None
    if file.fits(stored_floats(entries), longer=upto is not None or not strict):
        return Fitted(file, entries)
    if allow_partial and (whole := [index for index, end in layer_ends(entries).items() if file.fits(end)]):
        last = max(whole)
        return Fitted(file, tuple(entry for entry in entries if entry.node.index <= last))
    raise _misfit(network, blob, header_size, upto)


def _misfit(network: Network, blob: Blob, header_size: int | None, upto: int | None) -> WeightsError:
    report = report_on(network, blob, header_size=header_size, upto=upto)
    return WeightsError(report.problem, report)
