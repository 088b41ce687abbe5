"""Generate the reference from the source: python docs/reference.py FOLDER."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from reference_api import make_api_page

import darkparse
from darkparse.cli.help import HEADINGS, describe_option, find_position
from darkparse.cli.main import COMMAND_GROUPS
from darkparse.cli.main import darkparse as program
from darkparse.diagnostics.codes import CODES, DATA_CODES
from darkparse.layers import DIALECTS, REGISTRY, Layer
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.net import Net
from darkparse.layers.reference import OptionEntry, get_parser_function, list_options
from darkparse.network.zoo import ShippedNetwork, load_shipped_networks
from darkparse.syntax.reader import locate_cfg


def table(header: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table; the header's columns are separated by bars."""
    columns = header.split("|")
    escaped = [[cell.replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    lines = (f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *escaped))
    return "\n".join(["{.terms}", *lines]) + "\n"


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# Layer kinds and their options.


def make_layers_page() -> str:
    """Return the page of all sections, activations and options."""
    common = set(list_options(Layer))
    parts = [
        "# Layers and options",
        "Every section that a cfg can have, and every option of it. A fork in the last column means that only this "
        "fork and those that derive from it know the option; the others ignore it. Places are those in the source of "
        "both forks, unless one is named.",
        "## `[net]`, `[network]`",
        _describe_class(Net),
        *_list_tables(list_options(Net)),
        "## Options of every layer",
        *_list_tables(list_options(Layer)),
    ]
    for cls in sorted(set(REGISTRY.values()), key=lambda cls: cls.kind.lower()):
        parts.append(f"## {', '.join(f'`[{name}]`' for name in (cls.kind, *cls.aliases))}")
        parts.append(_describe_class(cls))
        parts += _list_tables(entry for entry in list_options(cls) if entry not in common)
    forks = {name: row.dialect or "" for name, row in ACTIVATIONS.items()}
    parts += ["## Activations", table("activation|fork", ((code(name), fork) for name, fork in forks.items()))]
    return "\n\n".join(parts)


def _describe_class(cls: Any) -> str:
    forks = [d.title.partition("/")[0] for d in DIALECTS.values() if d.supports(cls.dialect, f"[{cls.kind}]")]
    support = "" if len(forks) == len(DIALECTS) else f" Supported by {' and '.join(forks)}."
    doc = " ".join((cls.__doc__ or "").split())
    parser = get_parser_function(cls)
    place = "" if parser in doc else f" Darknet reads it in `parser.c {parser}`."
    return f"{doc}{place}{support}"


def _list_tables(entries: Iterable[OptionEntry]) -> Iterator[str]:
    """Yield the tables of options that affect inference, those of training, and those that darkparse ignores."""
    entries = list(entries)
    groups = {
        "": [entry for entry in entries if not entry.is_training],
        "In training only:": [entry for entry in entries if entry.is_training and entry.is_used],
        "Read by Darknet and ignored by darkparse:": [entry for entry in entries if not entry.is_used],
    }
    for title, group in groups.items():
        if group:
            yield title
            yield _make_table(group)


def _make_table(entries: list[OptionEntry]) -> str:
    if not entries[0].is_used:
        return table("option|meaning|fork", ((code(e.keys[0]), e.help, e.dialect or "") for e in entries))
    rows = ((", ".join(map(code, e.keys)), _type(e), e.default, e.help, e.dialect or "") for e in entries)
    return table("option|type|default|meaning|fork", rows)


def _type(entry: OptionEntry) -> str:
    return ", ".join(map(code, entry.choices)) if entry.choices and entry.type != "activation" else entry.type


# Commands.


def make_commands_page() -> str:
    """Return the page of all commands and their options."""
    parts = ["# Commands", "CFG is a path, or the name of a network that ships with darkparse (`darkparse list`)."]
    with click.Context(program, info_name="darkparse") as ctx:
        for group, commands in COMMAND_GROUPS.items():
            parts += [f"## {group}", *(part for name in commands for part in _describe_command(ctx, name))]
    return "\n\n".join(parts)


def _describe_command(parent: click.Context, name: str) -> Iterator[str]:
    command = program.get_command(parent, name)
    assert command is not None
    with click.Context(command, info_name=name, parent=parent) as ctx:
        yield f"### darkparse {name}"
        yield f"```text\n{ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}\n```"
        text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
        yield text.strip()
        if examples:
            yield f"```console\n{_strip_indent(examples)}\n```"
        options = [option for option in command.params if isinstance(option, click.Option)]
        options.sort(key=lambda option: find_position(name, option))
        for number, group in groupby(options, key=lambda option: find_position(name, option)[0]):
            rows = [describe_option(option, ctx) for option in group]
            yield table(f"{list(HEADINGS)[number]}|meaning", ((code(term), text) for term, text in rows))


def _strip_indent(examples: str) -> str:
    lines = [line.strip() for line in examples.splitlines()]
    return "\n".join(line for line in lines if line and line not in ("Example:", "Examples:"))


# Findings, JSON documents, networks.


def make_findings_page() -> str:
    """Return the page of diagnostic codes."""
    parts = ["# Findings", "Codes that `darkparse check` prints and that `Diagnostic.code` has."]
    for title, codes in {"Of a cfg": CODES, "Of a data set": DATA_CODES}.items():
        parts += [f"## {title}", table("code|meaning", ((code(name), text) for name, text in codes.items()))]
    return "\n\n".join(parts)


def make_schemas_page() -> str:
    """Return the page of the JSON documents."""
    parts = ["# JSON documents", "Members that commands print with `--format json`. [JSON](../json.md) has the rules."]
    for path in sorted(files("darkparse.cli").joinpath("schemas").iterdir(), key=lambda path: path.name):
        schema = json.loads(path.read_text("utf-8"))
        parts += [f"## {path.name.removesuffix('.json')}", schema.get("title", "")]
        parts.append(table("member|type|meaning", _list_members(schema, "")))
        for name, member in schema.get("$defs", {}).items():
            if "properties" in member:
                parts += [f"### {name}", table("member|type|meaning", _list_members(member, ""))]
    return "\n\n".join(parts)


def _list_members(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, type and meaning of each member of an object, and of objects in it."""
    for name, member in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield code(path), _json_type(member), member.get("description", "")
        yield from _list_members(member, f"{path}.")
        yield from _list_members(member.get("items", {}), f"{path}[].")
        for option in (*member.get("oneOf", ()), *member.get("anyOf", ())):
            yield from _list_members(option, f"{path}.")


def _json_type(member: dict[str, Any]) -> str:
    if "$ref" in member:
        return str(member["$ref"]).rpartition("/")[2].removesuffix(".json")
    if "const" in member or "enum" in member:
        return ", ".join(code(json.dumps(value)) for value in member.get("enum", [member.get("const")]))
    choices = (*member.get("oneOf", ()), *member.get("anyOf", ()))
    kinds = member.get("type") or [_json_type(choice) for choice in choices]
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    return f"{text} of {_json_type(member['items'])}" if kinds == "array" and member.get("items") else text


def make_networks_page(folder: Path) -> str:
    """Draw an overview of each network that ships with darkparse, and return their gallery."""
    folder.mkdir(exist_ok=True)
    parts = ["# Networks", "The networks that ship with darkparse, by the year of their papers."]
    for entry in load_shipped_networks():
        darkparse.draw(entry.network, detail="stages").render(folder / f"{entry.name}.svg")
        parts += [f"## {entry.name}", f"{entry.description}.", _list_facts(entry)]
        parts.append(f"![overview of {entry.name}](networks/{entry.name}.svg)")
    return "\n\n".join(parts)


def draw_diagrams(folder: Path) -> None:
    """Draw the diagrams of the other pages, and the image with boxes that `darkparse demo` makes."""
    folder.mkdir(exist_ok=True)
    for name, (network, options) in DIAGRAMS.items():
        darkparse.draw(network, title=False, **options).render(folder / f"{name}.svg")
    demo = locate_cfg("shapes").with_suffix("")
    detector = darkparse.Detector.load("shapes", demo / "shapes.weights")
    detector.detect(demo / "shapes1.jpg").draw().save(folder / "found.png")


DIAGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "yolov1": ("yolov1", {"layers": range(3, 8)}),
    "yolov2": ("yolov2", {"layers": range(12, 18)}),
    "yolov3": ("yolov3", {"layers": range(5, 12)}),
    "yolov4": ("yolov4", {"layers": range(11, 24)}),
    "yolov7": ("yolov7", {"layers": range(13, 28)}),
    "resnet50": ("resnet50", {"layers": range(14, 22)}),
}
"""Network and options of `darkparse.draw` by file name."""


def _list_facts(entry: ShippedNetwork) -> str:
    network, paper = entry.network, entry.paper
    facts = {
        "paper": f"{paper.authors}, “{paper.title}”, {paper.year}, {paper.where}" if paper else "none",
        "weights": f"{entry.weights}; {entry.weights_bytes / 1e6:,.1f} MB" if entry.weights else "ship with darkparse",
        "input": str(network.input_shape),
        "parameters": f"{network.cost.params:,}",
        "FLOPs": f"{2 * network.cost.macs / 1e9:,.2f} billion",
        "reductions": entry.reductions,
    }
    return table("fact|value", facts.items())


def write(folder: Path) -> None:
    """Write all pages to a folder; pages that did not change keep their time, so that Sphinx skips them."""
    folder.mkdir(exist_ok=True)
    draw_diagrams(folder / "diagrams")
    pages = {
        "layers": make_layers_page(),
        "commands": make_commands_page(),
        "findings": make_findings_page(),
        "schemas": make_schemas_page(),
        "networks": make_networks_page(folder / "networks"),
        "api": make_api_page(),
    }
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
