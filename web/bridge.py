"""Python side of the web page: one function per view, from the text of a cfg to values that JSON can express.

It runs in Pyodide without torch and numpy, and does not refer to the browser, so that tests call it directly.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import darkparse
from darkparse.datasets.names import find_names
from darkparse.diagnostics import Diagnostic, Source, Span
from darkparse.errors import CfgError, DarkparseError
from darkparse.layers.tree import read_tree
from darkparse.network import Network
from darkparse.network.compile_options import CompileOptions
from darkparse.network.dynamic_axes import Heads
from darkparse.network.image_input import default_resize
from darkparse.syntax.config import Config
from darkparse.syntax.reader import find_shipped_cfgs, load_source, make_source, parse
from darkparse.views.diagram.sheet import Sheet, arrange_sheet
from darkparse.views.diagram.svg import svg_text
from darkparse.views.diagram.theme import ThemeName
from darkparse.views.layer_info import layer_facts
from darkparse.views.text.explanation import card_heading, card_rows
from darkparse.views.text.layer_report import layer_report
from darkparse.views.text.network_diff import report_differences
from darkparse.views.text.table import table, totals
from darkparse.weights.buffer import open_source
from darkparse.weights.fitting import compile_with_weights

Values = dict[str, Any]
OPEN_FILE = "Open or drop the file of this name (.tree, .map) here, too."
METHODS: dict[str, Callable[..., Values]] = {}
"""Functions that the page may call, by name."""


def method(function: Callable[..., Values]) -> Callable[..., Values]:
    """Let the page call a function."""
    METHODS[function.__name__] = function
    return function


def call(name: str, arguments: str) -> str:
    """Call a method with keyword arguments in JSON; return JSON with the `result`, or with the text of an `error`."""
    try:
        values = json.loads(arguments)
        _use_files(values.pop("files", _files))
        result = METHODS[name](**values)
    except DarkparseError as problem:
        return json.dumps({"error": str(problem)})
    except RecursionError:
        return json.dumps({"error": "this cfg is nested too deeply for the page"})
    return json.dumps({"result": result})


_files: dict[str, str] = {}
"""Texts of the files that cfgs may name (`tree=`, `map=`), by name."""


def _use_files(files: dict[str, str]) -> None:
    """Let cfgs name these files; what was compiled with others is dropped."""
    if files != _files:
        _files.clear()
        _files.update(files)
        for cached in (_parse, _compile, _draw):
            cached.cache_clear()


# A view of a text follows its check, and comparisons need two networks.
@lru_cache(maxsize=4)
def _parse(name: str, text: str) -> Config:
    # The path names the network and does not exist: a cfg from the web reads only files that were opened with it.
    source = Source(name, text, Path("/cfg") / Path(name).name, folders=())
    if not _files:
        return parse(source)
    folder = Path(tempfile.mkdtemp(prefix="files-"))
    config = parse(replace(source, folders=(folder,)))
    for option in (option for section in config.sections for option in section.options):
        _write_file(folder, (option.text or "").strip())
    return config


def _write_file(folder: Path, name: str) -> None:
    """Write an opened file where a cfg names it: in a directory such as `data`, too, but not outside of the folder."""
    path = folder / name
    if path.name in _files and path.resolve().is_relative_to(folder.resolve()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_files[path.name], "utf-8")


@lru_cache(maxsize=4)
def _compile(name: str, text: str) -> Network:
    return darkparse.compile(_parse(name, text))


@lru_cache(maxsize=2)
def _draw(name: str, text: str) -> darkparse.Diagram:
    return darkparse.draw(_compile(name, text))


@method
def decode(name: str, latin1: str) -> Values:
    """Decode the bytes of a cfg, which arrive as one character each."""
    return {"text": make_source(latin1.encode("latin-1"), name).text}


@method
def shipped(name: str) -> Values:
    """Return the text of a cfg that ships with darkparse."""
    path = find_shipped_cfgs().get(name)
    if path is None:
        raise DarkparseError(f"unknown network {name!r}; expected one of {', '.join(find_shipped_cfgs())}")
    return {"name": path.name, "text": load_source(path).text}


@method
def check(name: str, text: str) -> Values:
    """Return the findings of a cfg, and its totals if it compiles."""
    try:
        network = _compile(name, text)
    except CfgError as problem:
        return {"findings": [*map(_describe_finding, problem.diagnostics)], "network": None}
    except DarkparseError as problem:
        finding = Diagnostic("error", "unreadable", str(problem))
        return {"findings": [_describe_finding(finding)], "network": None}
    return {"findings": [*map(_describe_finding, network.diagnostics)], "network": _describe_network(network)}


def _draw_inline(sheet: Sheet, label: str = "Layers") -> str:
    """Return SVG without its style sheet, which is part of the page's: the policy allows no style in markup."""
    head, _, rest = svg_text(sheet, "", label=label).partition("<style>")
    return head + rest.partition("</style>")[2]


def _describe_finding(finding: Diagnostic) -> Values:
    spans = [span for span in (finding.span, *finding.more) if span is not None]
    return {
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
        "notes": [*(note.message for note in finding.notes), *([OPEN_FILE] if finding.code == "no-file" else [])],
        "places": [_describe_place(span) for span in spans],
    }


def _describe_place(span: Span) -> Values:
    """Return a line and the offsets of its text in UTF-16 units, as JavaScript counts."""
    units = _count_units(span.source.text)
    return {"line": span.line, "start": units(span.start), "end": units(span.end)}


@lru_cache(maxsize=4)
def _count_units(text: str) -> Callable[[int], int]:
    """Return the function from offsets in code points to offsets in UTF-16 units."""
    if all(ord(char) < 0x10000 for char in text):
        return lambda offset: offset
    return lambda offset: offset + sum(ord(char) >= 0x10000 for char in text[:offset])


def _describe_network(network: Network) -> Values:
    sections = [node.section for node in network.nodes]
    return {
        "name": network.name,
        "totals": totals(network),
        "dialect": f"{network.dialect.name}: {network.dialect_reason}",
        "bflops": network.bflops,
        "lines": [section.span.line for section in sections],
    }


@method
def overview(name: str, text: str) -> Values:
    """Return the diagram with one box per stage."""
    diagram = _draw(name, text)
    return {"svg": _draw_inline(arrange_sheet(diagram.models, "TB", diagram.overviews), "Stages")}


@method
def layers(name: str, text: str) -> Values:
    """Return the diagram with one row per layer; copies of a repeated block are shown by the row of the first."""
    diagram = _draw(name, text)
    rows = {copy: row.index for card in diagram.models[0].cards for row in card.rows for copy in row.copies}
    return {"svg": _draw_inline(diagram.sheet), "rows": rows}


@method
def layer(name: str, text: str, index: int) -> Values:
    """Return the report on one layer."""
    facts = layer_facts(_compile(name, text))
    if not 0 <= index < len(facts):
        raise DarkparseError(f"unknown layer {index}; expected 0 to {len(facts) - 1}")
    return asdict(layer_report(facts[index])) | {"sources": list(facts[index].node.inputs)}


@method
def explain(name: str, text: str) -> Values:
    """Return the explanation: paragraphs, then one table per scale."""
    explanation = darkparse.explain(_compile(name, text))
    cards = [
        {
            "heading": card_heading(card),
            "rows": [
                {
                    "index": row.index,
                    "cells": cells,
                    "tones": (row.spatial.tone, row.channels.tone),
                    "notes": [{"text": note.text, "saves": note.saves} for note in row.notes],
                }
                for row, cells in card_rows(card)
            ],
        }
        for card in explanation.model.cards
    ]
    return {"paragraphs": [asdict(part) for part in explanation.prose], "cards": cards}


@method
def show(name: str, text: str) -> Values:
    """Return the table of layers."""
    network = _compile(name, text)
    return {"rows": [asdict(row) for row in table(network)], "totals": totals(network)}


@method
def source(name: str, text: str) -> Values:
    """Return PyTorch source."""
    return {"text": darkparse.to_source(_compile(name, text)), "file": f"{_stem(name)}.py"}


@method
def compare(name: str, text: str, other_name: str, other_text: str) -> Values:
    """Return the differences between a network and another one, as text and as a diagram of both."""
    before, after = _compile(other_name, other_text), _compile(name, text)
    difference = report_differences(before, after)
    return {
        "same": not difference,
        "totals": [str(total) for total in difference.totals],
        "layers": [
            {"sign": one.sign, "place": one.place, "layer": one.layer, "changes": [*map(str, one.changes)]}
            for one in difference.layers
        ],
        "svg": _draw_inline(darkparse.draw(before, after).sheet),
    }


@method
def download(name: str, text: str, form: str, theme: ThemeName) -> Values:
    """Return the diagram of the layers as the text of a file; an SVG with fixed colors."""
    diagram = darkparse.draw(_compile(name, text), theme=theme)
    if form == "svg":
        return {"file": f"{_stem(name)}.svg", "text": svg_text(diagram.sheet, theme, plain=True)}
    return {"file": f"{_stem(name)}.{form}", "text": diagram.data(form).decode()}


@method
def weights(name: str, text: str, path: str) -> Values:
    """Return whether a weights file fits, the arrays in it, and if it does not fit, the likely causes."""
    file = open_source(path)
    network = compile_with_weights(_parse(name, text), file, CompileOptions())
    report = darkparse.inspect_weights(network, file)
    rows = [
        {
            "layer": row.layer,
            "kind": row.kind,
            "tensor": row.tensor,
            "shape": "×".join(map(str, row.shape)),
            "floats": row.floats,
            "offset": row.offset,
            "in_file": row.floats_in_file,
        }
        for row in report.rows
    ]
    message = str(report).replace(path, Path(path).name)
    return {
        "fits": report.fits,
        "message": message,
        "header": str(report.header) if report.header else None,
        "dialect": f"{report.dialect}: {report.dialect_reason}",
        "rows": rows,
        "detects": bool(network.heads),
    }


@method
def graph(
    name: str, text: str, path: str, heads: Heads, threshold: float = 0.25, names: Sequence[str] | None = None
) -> Values:
    """Write an ONNX graph beside a `.weights` file, whose arrays it refers to, and describe its input and output."""
    config, target = _parse(name, text), f"{Path(path).with_suffix('')}.{heads}.onnx"
    # The file is evidence for the dialect, as for `darkparse detect`.
    network = compile_with_weights(config, open_source(path), CompileOptions())
    heads_of = [network.nodes[index].layer for index in network.heads]
    classes = max((getattr(one, "classes", 0) for one in heads_of), default=network.nodes[-1].out_shape.size)
    labels = find_names(network, classes, names)
    darkparse.to_onnx(network, target, weights=path, heads=heads, in_place=True, threshold=threshold, names=labels)
    net = network.net
    return {
        "path": target,
        "file": f"{_stem(name)}.onnx",
        "weights": Path(path).name,
        "names": labels,
        "size": [net.height, net.width],
        "channels": net.channels if net.has_image else 0,
        "detects": bool(network.heads),
        "resize": default_resize(network, classifies=not network.heads),
        "crop_first": network.dialect.resize == "letterbox",
        "exif": network.dialect.applies_exif,
        "stays_in_letterbox": bool(heads_of) and bool(getattr(heads_of[0], "stays_in_letterbox", False)),
        "bflops": network.bflops,
        "parents": () if network.heads else _list_parents(network),
        "leaves_only": network.dialect.ranks_leaves_only,
    }


def _list_parents(network: Network) -> tuple[int, ...]:
    """Return the parent of each class in a classifier's word tree, or nothing if it has none."""
    tree = getattr(network.nodes[network.outputs[0]].layer, "tree", None)
    return () if tree is None else read_tree(tree).parents


@cache
def list_networks() -> tuple[str, ...]:
    """Return the names of the cfgs that ship with darkparse."""
    return tuple(find_shipped_cfgs())


def _stem(name: str) -> str:
    return Path(name).stem or "network"
