"""Snapshots of cfgs: properties of a network without weights, and its outputs with fixed parameters."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import darkparse
from tests.snapshots.cases import Case
from tests.snapshots.digest import Line, Part, digest, evaluate
from tests.snapshots.internals import is_stateful, onnx_parts, table_json
from tests.snapshots.onnx_files import strip_metadata
from tests.snapshots.values import fixed_input, fixed_parameters

SIZES = (64, 96, 128, 224)
"""Input sizes to try before that of the cfg."""
SMALL = 1_000_000
"""Maximum number of parameters of a network whose whole ONNX file is compared."""
FORMS = ("raw", "decoded", "nms")


def cfg_lines(case: Case, *, with_text: bool = False) -> Iterator[Line]:
    """Yield every line of a cfg."""
    line = partial(Line, case.name)
    yield line("auto", "dialect", evaluate(lambda: [darkparse.compile(case.cfg).dialect.name]))
    computation = Computation(case.cfg)
    for dialect in case.dialects:
        try:
            network = darkparse.compile(case.cfg, dialect=dialect)
        except darkparse.CfgError as error:
            yield line(dialect, "diagnostics", digest(["error", _places(error.diagnostics)]))
        except darkparse.DarkparseError as error:
            yield line(dialect, "diagnostics", type(error).__name__)
        else:
            yield line(dialect, "diagnostics", digest([_places(network.diagnostics)]))
            aspects = chain(_describe(network, case.cfg, with_text=with_text), computation.run(network))
            yield from (line(dialect, *aspect) for aspect in aspects)


def _places(diagnostics: tuple[darkparse.Diagnostic, ...]) -> str:
    """Return codes and locations as JSON, without the messages."""

    def place(span: Any) -> tuple[int, int, int] | None:
        return None if span is None else (span.line, span.column, span.end - span.start)

    return json.dumps(
        [
            [item.severity, item.code, *map(place, (item.span, *item.more)), [place(note.span) for note in item.notes]]
            for item in diagnostics
        ]
    )


def _describe(network: darkparse.Network, path: Path, *, with_text: bool) -> Iterator[tuple[str, str]]:
    """Yield aspects that need no parameters, with their hashes."""
    texts = {
        "yaml": network.to_yaml,
        "cfg": network.to_cfg,
        "table": lambda: table_json(network),
        "svg": lambda: darkparse.draw(network).svg(),
        "state-dict": lambda: _shapes(darkparse.build(network)),
    }
    if with_text:
        texts["text"] = lambda: darkparse.to_source(network)
        texts["text-flat"] = lambda: darkparse.to_source(network, flat=True)
    for aspect, make in texts.items():
        yield aspect, evaluate(lambda make=make: [_without_directory(make(), path)])  # type: ignore[misc]


def _without_directory(text: str, path: Path) -> str:
    """Make the absolute paths of tree and map files relative to the directory of the cfg."""
    folder = path.resolve().parent
    return text.replace(f"{folder}{os.sep}", "").replace(f"{folder.parent}{os.sep}", "../")


def _shapes(model: nn.Module) -> str:
    return json.dumps([(key, str(value.dtype), *value.shape) for key, value in model.state_dict().items()])


class Computation:
    """Hashes of the outputs of one cfg's networks; dialects with identical emitted source share one run.

    Args:
        path: Path of the cfg.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parameters: dict[str, Mapping[str, Tensor]] = {}
        self._sources: dict[str, str] = {}

    def run(self, network: darkparse.Network) -> Iterator[tuple[str, str]]:
        """Yield aspects with their hashes, or only the first aspect if the module cannot be built."""
        network = self._shrink(network)
        try:
            model = darkparse.build(network)
        except darkparse.DarkparseError as error:
            yield "output", type(error).__name__
            return
        parameters = self._fill(model)
        model.load_state_dict(parameters, assign=True)
        x = fixed_input(network.input_shape.tensor)
        yield "output", evaluate(lambda: _outputs(model, x, _count_runs(network)))
        for flat in (False, True):
            yield "source-flat" if flat else "source", self._run_source(network, parameters, x, flat=flat)
        large = sum(value.numel() for value in parameters.values()) > SMALL
        for form in FORMS[: 3 if network.heads else 1]:
            make = partial(onnx_parts if large else onnx_file, model, form)
            yield "onnx" if form == "raw" else f"onnx-{form}", evaluate(make)

    def _shrink(self, network: darkparse.Network) -> darkparse.Network:
        """Return the network at the smallest supported size of a few, or unchanged."""
        for size in SIZES:
            if network.input_shape.h > size:
                try:
                    return darkparse.compile(network.config, size=size, dialect=network.dialect.name)
                except darkparse.DarkparseError:
                    continue  # a vector, or maps that do not meet at this size
        return network

    def _run_source(
        self, network: darkparse.Network, parameters: Mapping[str, Tensor], x: Tensor, *, flat: bool
    ) -> str:
        """Return the hash of the emitted source's keys, shapes and outputs."""
        try:
            text = darkparse.to_source(network, flat=flat)
        except darkparse.DarkparseError as error:
            return type(error).__name__
        if text not in self._sources:
            self._sources[text] = evaluate(lambda: _run_source(text, parameters, x, _count_runs(network)))
        return self._sources[text]

    def _fill(self, model: nn.Module) -> Mapping[str, Tensor]:
        key = _shapes(model)
        if key not in self._parameters:
            self._parameters = {key: fixed_parameters(model.state_dict())}
        return self._parameters[key]


def _count_runs(network: darkparse.Network) -> int:
    return 3 if is_stateful(network) else 1


def _outputs(model: nn.Module, x: Tensor, runs: int) -> Iterator[Part]:
    """Yield the shape and values of each output of each run."""
    for _ in range(runs):
        with torch.inference_mode():
            out = model(x)
        for tensor in out if isinstance(out, tuple) else (out,):
            yield str(tuple(tensor.shape))
            yield tensor


def _run_source(text: str, parameters: Mapping[str, Tensor], x: Tensor, runs: int) -> Iterator[Part]:
    """Yield the keys, shapes and outputs of emitted source."""
    space: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(text, "emitted.py", "exec"), space)
    classes = [value for value in space.values() if isinstance(value, type) and value.__module__ == "emitted"]
    with torch.device("meta"):
        model: nn.Module = classes[-1]().eval()
    yield _shapes(model)
    model.load_state_dict(parameters, assign=True)
    yield from _outputs(model, x, runs)


def onnx_file(source: Any, form: Any, **options: Any) -> Iterator[bytes]:
    """Yield the parts of an ONNX file that `darkparse.to_onnx` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.onnx"
        darkparse.to_onnx(source, path, heads=form, **options)
        data = path.read_bytes()
    yield from strip_metadata(data)
