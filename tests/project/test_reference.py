"""The reference has an entry for each public name, command, option, cfg option, finding, JSON document and extra."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import click
import pytest

import darkparse
from darkparse.cli.main import COMMANDS
from darkparse.cli.main import darkparse as program
from darkparse.diagnostics.codes import CODES, DATA_CODES
from darkparse.layers import REGISTRY
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.base import get_known_keys
from darkparse.layers.net import Net
from darkparse.network.analysis.summary import summarize_network
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def reference() -> Iterator[Any]:
    """The generator of the pages, which Sphinx imports from its directory."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        yield importlib.import_module("reference")
    finally:
        sys.path.remove(str(ROOT / "docs"))


def split_sections(page: str, level: str) -> dict[str, str]:
    """Return the text of each section of a page by its heading."""
    parts = re.split(rf"^{level} (.*)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_api_page_has_every_public_name(reference: Any) -> None:
    documented = set(re.findall(r"^\.\. auto\w+:: (\S+)$", reference.make_api_page(), re.MULTILINE))
    public = {
        f"darkparse.{name}"
        for name in dir(darkparse)
        if name != "__version__" and not inspect.ismodule(getattr(darkparse, name))
    }
    training = {f"darkparse.training.{name}" for name in ("Schedule", "Step", "Trainer", "build_optimizer")}
    assert public | training | {"darkparse.training.losses.Losses"} <= documented
    assert len(public) > 40


def test_commands_page_has_every_command_and_option(reference: Any) -> None:
    sections = split_sections(reference.make_commands_page(), "###")
    assert [f"darkparse {name}" for name in COMMANDS] == list(sections)
    blocks = "".join(re.findall(r"```console\n(.*?)```", "".join(sections.values()), re.DOTALL))
    assert [line for line in blocks.splitlines() if not line.startswith(("darkparse ", "torchrun "))] == []
    with click.Context(program) as ctx:
        for name in COMMANDS:
            command = program.get_command(ctx, name)
            assert command is not None
            for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
                term = next(name for name in option.opts if name.startswith("--"))
                row = re.search(rf"^\| `.*{term}\b.*` \| (.*) \|$", sections[f"darkparse {name}"], re.MULTILINE)
                assert row, (name, option.opts)
                assert (option.help or "").partition("\n")[0][:20].replace("|", r"\|") in row[1], (name, option.opts)


def test_layers_page_has_every_option_of_every_kind(reference: Any) -> None:
    page = reference.make_layers_page()
    sections = split_sections(page, "##")
    common = set(re.findall(r"`(\w+)`", sections["Options of every layer"]))
    classes: list[Any] = [Net, *REGISTRY.values()]
    for cls in classes:
        heading = ", ".join(f"`[{name}]`" for name in (cls.kind, *cls.aliases))
        listed = set(re.findall(r"`(\w+)`", sections[heading]))
        assert set(get_known_keys(cls)) <= listed | common, heading
    assert set(ACTIVATIONS) <= set(re.findall(r"`(\w+)`", sections["Activations"]))


def test_findings_page_has_every_code(reference: Any) -> None:
    page = reference.make_findings_page()
    assert [code for code in (*CODES, *DATA_CODES) if f"| `{code}` | " not in page] == []


def test_schemas_page_has_every_document_and_meaning_of_members(reference: Any) -> None:
    page = reference.make_schemas_page()
    assert re.findall(r"^\| (`.*`) \| .* \|  \|$", page, re.MULTILINE) == []
    sections = split_sections(page, "##")
    names = {path.name.removesuffix(".json") for path in files("darkparse.cli").joinpath("schemas").iterdir()}
    assert set(sections) == names
    assert "| `networks[].paper.year` | integer |" in sections["list"]


def test_start_page_has_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    rows = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "start.md").read_text("utf-8"), re.MULTILINE)
    assert set(extras) <= {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}


def test_every_page_is_in_navigation() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = set(re.findall(r"^(?:.* <)?([\w/-]+)>?$", index, re.MULTILINE))
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).with_suffix("").as_posix() for path in docs.rglob("*.md")}
    assert {page for page in pages if not page.startswith(("reference/", "pictures/"))} - {"index"} <= listed
    generated = set(re.findall(r'^        "(\w+)": make_', (ROOT / "docs" / "reference.py").read_text("utf-8"), re.M))
    assert {f"reference/{name}" for name in generated} == {name for name in listed if name.startswith("reference/")}


def test_one_by_one_page_counts_convolutions_of_networks() -> None:
    page = (ROOT / "docs" / "one-by-one.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert len(rows) == 6
    for name, *counts in rows:
        stats = summarize_network(darkparse.compile(name)).pointwise
        expected = (stats.reducing, stats.keeping, stats.expanding, stats.projecting)
        assert [int(count) for count in counts] == [stats.total, *map(len, expected)], name
