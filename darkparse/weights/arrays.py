"""Networks with arrays from a weights file of any kind, which is opened once and read on demand, without torch."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse._utils.text import pluralize
from darkparse.errors import DarkparseWarning, WeightsError
from darkparse.network import Network
from darkparse.network.compile_options import CfgLike, CompileOptions
from darkparse.syntax.files import is_file
from darkparse.weights.buffer import Arrays, FileBuffer, WeightsSource, open_source
from darkparse.weights.completion import complete_arrays
from darkparse.weights.containers import ContainerContent, get_container_kind, read_container, write_container
from darkparse.weights.fitting import compile_with_weights, read_weights
from darkparse.weights.header import Header
from darkparse.weights.keras import check_flatten_order
from darkparse.weights.layout import ReadOptions, compute_layout, get_tensors, state_key
from darkparse.weights.matching import fits_arrays, match_arrays, split_counters
from darkparse.weights.origin import Origin
from darkparse.weights.writer import write_weights


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Result of loading weights into a module.

    Attributes:
        name: Name of the file.
        header: Header of the file; None for a container without one.
        layers: Indices of the layers with weights in the file.
        missing: Indices of the layers with weights that were not in the file: layers after the end of a partial file,
            and layers with `dontload`, `dontloadscales` or `numload`. They keep their values.
    """

    name: str
    header: Header | None
    layers: tuple[int, ...]
    missing: tuple[int, ...]

    @classmethod
    def from_shapes(
        cls, name: str, header: Header | None, network: Network, shapes: Mapping[str, tuple[int, ...]]
    ) -> LoadResult:
        """Determine the loaded and the missing layers from the shapes of the arrays in a file."""
        layers, missing = [], []
        for node in network.nodes:
            expected = {state_key(node, tensor): tensor.shape for tensor in node.tensors}
            if any(key in shapes for key in expected):
                layers.append(node.index)
            if any(shapes.get(key) != shape for key, shape in expected.items()):
                missing.append(node.index)
        return cls(name, header, tuple(layers), tuple(missing))

    def __str__(self) -> str:
        text = f"{self.name}: loaded {format_ranges(self.layers)}" if self.layers else f"{self.name}: loaded no layers"
        return f"{text}; unchanged: {format_ranges(self.missing)}" if self.missing else text


def format_ranges(layers: tuple[int, ...]) -> str:
    """Format layer indices with ranges: `layers 0–73, 75`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    texts = [str(a) if a == b else f"{a}–{b}" for a, b in runs]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(texts)}"


@dataclass(frozen=True, eq=False)
class LoadedArrays:
    """Network and its arrays from a weights file."""

    network: Network
    file: FileBuffer
    header: Header | None
    """Header of the `.weights` file that the arrays come from."""
    stored: Arrays
    """Arrays in the file; with `numload`, only the first rows of an array."""

    @cached_property
    def arrays(self) -> Arrays:
        """All arrays of the network; those that the file does not contain have Darknet's initial values."""
        return complete_arrays(self.stored, self.network)

    @property
    def loaded(self) -> LoadResult:
        """Loaded and missing layers."""
        shapes = {key: array.shape for key, array in self.stored.items()}
        return LoadResult.from_shapes(self.file.name, self.header, self.network, shapes)

    def save(
        self,
        path: Path,
        *,
        upto: int | None = None,
        seen: int | None = None,
        version: str | None = None,
        widen: bool = False,
    ) -> int:
        """Write a `.weights` file or a container, depending on the file extension, and return the number of bytes.

        Args:
            path: File to write; an existing file is only replaced when the new one is complete.
            upto: Write only the layers before this one.
            seen: Number of images seen in training, for the header of a `.weights` file.
            version: Version for the header.
            widen: Convert other dtypes to float32, which a `.weights` file requires.

        Raises:
            WeightsError: The file cannot be written, or `version` is invalid.
        """
        network, entries = self.network, compute_layout(self.network, upto)
        if get_container_kind(path) is not None:
            arrays = {name: self.arrays[name] for name in get_tensors(network, upto)}
            return write_container(path, arrays, Origin.from_network(network, self.header))
        header = self.header or Header.from_version(network.dialect.version, network.dialect)
        try:
            header = header.with_changes(network.dialect, seen, version)
        except ValueError as problem:
            raise WeightsError(str(problem)) from None
        return write_weights(path, header, entries, self.arrays, widen=widen)


def read(
    cfg: CfgLike,
    weights: WeightsSource | FileBuffer | LoadedArrays | None = None,
    options: ReadOptions = ReadOptions(),
    compile_options: CompileOptions = CompileOptions(),
) -> LoadedArrays | None:
    """Open a weights file, compile its cfg and check that they fit.

    Args:
        cfg: Cfg as for `darkparse.load`.
        weights: Weights as for `darkparse.load`, or the result of an earlier call. Only `.pt` files require torch.
        options: Options for reading.
        compile_options: Options for compiling; the dialect, size and `[reorg]` variant stored in a container replace
            unset ones.

    Returns:
        The network with its arrays; None if `weights` is None and `cfg` is not a container.

    Raises:
        CfgError: The cfg is invalid.
        WeightsError: The weights cannot be read or do not fit.
    """
    if isinstance(weights, LoadedArrays):
        return weights
    file = _find_container(cfg, options) if weights is None else open_source(weights, mmap=options.mmap)
    if file is None:
        return None
    content = read_container(file, file.container) if file.container else None
    origin = content.origin if content else None
    if weights is None:
        if origin is None:
            raise WeightsError(
                f"{file.path} does not contain its cfg, because darkparse did not write it\n"
                f"hint: pass both: darkparse.load(cfg, {str(file.path)!r})"
            )
        cfg = origin.parse_cfg(Path(file.name))
        size, reorg = compile_options.size or origin.size, compile_options.reorg or origin.reorg
        compile_options = replace(compile_options, size=size, reorg=reorg)
    if origin is not None and compile_options.dialect in (None, "auto"):
        compile_options = replace(compile_options, dialect=origin.dialect)
    fits = partial(fits_arrays, file.name, split_counters(content.arrays)[0], options) if content else None
    network = compile_with_weights(cfg, file, compile_options, fits)
    return _fit(file, content, network, options)


def read_for(network: Network, weights: WeightsSource | FileBuffer, options: ReadOptions) -> LoadedArrays:
    """Open a weights file for a compiled network.

    Raises:
        WeightsError: The weights cannot be read or do not fit.
    """
    file = open_source(weights, mmap=options.mmap)
    return _fit(file, read_container(file, file.container) if file.container else None, network, options)


def _find_container(cfg: object, options: ReadOptions) -> FileBuffer | None:
    """Open the container if a CFG argument is the path of one; None otherwise."""
    if not isinstance(cfg, str | os.PathLike) or not is_file(cfg) or Path(cfg).suffix == ".cfg":
        return None
    file = open_source(cfg, mmap=options.mmap)
    return file if file.container else None


def _fit(file: FileBuffer, content: ContainerContent | None, network: Network, options: ReadOptions) -> LoadedArrays:
    if content is not None:
        if file.container == "h5":
            check_flatten_order(file.name, network)
        arrays, counters = split_counters(content.arrays)
        if counters:
            message = (
                f"{file.name}: ignored {pluralize(len(counters), 'counter')} of the package thop (total_ops, "
                f"total_params)"
            )
            warnings.warn(message, DarkparseWarning, stacklevel=_count_own_frames())
        stored = match_arrays(file.name, arrays, network, options)
        _warn_about_non_finite(file.name, ((key, array.read()) for key, array in stored.items()))
        return LoadedArrays(network, file, content.origin.header if content.origin else None, stored)
    fitted = read_weights(file, network, options)
    floats = fitted.file.floats
    _warn_about_non_finite(file.name, ((entry.name, floats[entry.start : entry.end]) for entry in fitted.entries))
    return LoadedArrays(network, file, fitted.file.header, fitted.arrays)


def _warn_about_non_finite(name: str, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Warn about NaN and infinite values, which diverged training leaves behind.

    The sum of an array detects them in a fraction of the loading time.
    """
    counts = {}
    with np.errstate(invalid="ignore", over="ignore"):  # single-threaded: threads would wait for the file's pages
        for key, array in arrays:
            if not isfinite(array.sum()) and (
                count := int((~np.isfinite(array)).sum())
            ):  # a sum of finite values may overflow
                counts[key] = count
    if total := sum(counts.values()):
        message = f"{name}: {pluralize(total, 'NaN or infinite value')}, the first in {next(iter(counts))}"
        warnings.warn(f"{message}; run `darkparse weights` for details", stacklevel=_count_own_frames())


def _count_own_frames() -> int:
    """Return the `stacklevel` of a warning that names the line outside of this project that called it."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("darkparse."):
        frame, level = frame.f_back, level + 1
    return level
