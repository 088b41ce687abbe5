"""Every code block of the README and of the pages in docs runs as printed, in the order of its page."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import darkparse
from tests.commands import run_command
from tests.conftest import ROOT
from tests.pages.blocks import EXECUTED, PAGES, find_blocks
from tests.pages.conditions import CHECKOUT, EXEMPT, LONG, PACKAGES, SHORTER, is_listed, shorten
from tests.pages.execution import PageRunner, split_commands

WHOLE = sorted({page for page, _ in LONG} | set(SHORTER))
"""Pages of which a test of every day runs only a part."""
CASES = [
    *(pytest.param(page, True, id=page) for page in PAGES),
    *(pytest.param(page, False, id=f"{page}-whole", marks=pytest.mark.long) for page in WHOLE),
]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with what `darkparse demo` writes."""
    folder = tmp_path_factory.mktemp("demo")
    assert run_command("demo", "-o", folder).returncode == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("page", "shortened"), CASES)
def test_page_blocks_run_in_order_and_print_what_page_shows(
    page: str, shortened: bool, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy of the demo's directory, with a few directories of the checkout beside its files."""
    for name in PACKAGES:
        pytest.importorskip(name)
    folder = tmp_path / "darkparse-demo"
    shutil.copytree(demo, folder)
    for name in CHECKOUT:
        (folder / name).symlink_to(ROOT / name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    blocks = find_blocks(page)
    if any("cd darkparse-demo" in block.text for block in blocks):
        monkeypatch.chdir(tmp_path)
    runner = PageRunner(monkeypatch, with_numbers=page not in SHORTER or not shortened)
    for block in blocks:
        if block.language in EXECUTED and not is_listed(block, {*EXEMPT, *LONG} if shortened else EXEMPT):
            runner.run(shorten(block) if shortened else block)


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("pip install torch==2.13.0 && darkparse demo", [["pip", "install", "torch==2.13.0"], ["darkparse", "demo"]]),
        ("pip install 'lark>=1.2'", [["pip", "install", "lark>=1.2"]]),
        ("NO_COLOR=1 darkparse list", None),
        ("darkparse show yolov3 > yolov3.txt", None),
    ],
)
def test_split_commands_runs_no_install_line_in_a_shell(line: str, commands: list[list[str]] | None) -> None:
    assert split_commands(line) == commands


def test_exempt_blocks_are_few_and_have_reasons() -> None:
    blocks = [block for page in PAGES for block in find_blocks(page)]
    found = Counter(key for block in blocks for key in EXEMPT if key[0] == block.page and key[1] in block.text)
    assert {key: found[key] for key in EXEMPT} == dict.fromkeys(EXEMPT, 1)
    assert len(EXEMPT) <= 10
    assert all(len(reason.split()) > 2 for reason in EXEMPT.values())


@pytest.mark.parametrize("page", SHORTER)
def test_replacements_of_shorter_page_apply(page: str) -> None:
    blocks = [block for block in find_blocks(page) if block.language in EXECUTED and not is_listed(block, EXEMPT)]
    commands = "".join(block.text for block in blocks)
    assert [old for old, _ in SHORTER[page] if old not in commands] == []
    lines = [line for block in blocks for line in shorten(block).text.splitlines() if "darkparse train" in line]
    assert [line for line in lines if "--batches" not in line and "--dry-run" not in line] == []


@pytest.mark.parametrize("page", PAGES)
def test_page_data_blocks_are_valid(page: str) -> None:
    readers: dict[str, Callable[[str], object]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
    for block in find_blocks(page):
        assert block.language, f"{block.place}: a block without a language"
        assert block.language != "text", f"{block.place}: no command above prints this text"
        if block.language in readers:
            assert readers[block.language](block.text), block.place
        if block.language == "ini" and block.text.startswith("[net]"):
            assert darkparse.compile(block.text).nodes, block.place
