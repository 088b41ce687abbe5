"""What the pages print can be run as it is printed, by a new user in the order of the page."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch

import darkparse
from darkparse.cli import main
from tests.conftest import ROOT

PAGES = (
    *("README.md", "docs/weights.md", "docs/export.md", "docs/evaluation.md", "docs/training.md"),
    *("docs/start.md", "docs/howto/custom-classes.md", "docs/howto/prune.md", "docs/howto/yaml.md"),
    *("docs/howto/opencv.md", "docs/howto/npu.md", "docs/howto/edit.md", "docs/howto/source.md"),
    "docs/tutorials/pytorch.md",
)
WITH_PYTHON = ("docs/weights.md", "docs/training.md")
WITH_ALL_PYTHON = ("README.md", *(page for page in PAGES if page.count("/") == 2), "docs/start.md")
"""Pages of which all blocks of Python are run; of the pages above, the first."""
NEEDS = ("PIL", "onnx", "onnxruntime", "pycocotools", "safetensors")


def lines(page: str, program: str = "darkparse") -> list[list[str]]:
    """The commands of a page, without comments."""
    text = (ROOT / page).read_text("utf-8")
    return [shlex.split(line, comments=True)[1:] for line in re.findall(rf"^    ({program} .*)$", text, re.MULTILINE)]


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def shown_output(page: str, command: list[str]) -> list[str]:
    """Return the lines of the text block after a command of a page, without the numbers in them."""
    text = (ROOT / page).read_text("utf-8")
    pairs = re.findall(r"^    darkparse (.*)\n\n```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shown = next((block for line, block in pairs if shlex.split(line, comments=True) == command), "")
    return [drop_numbers(line) for line in shown.splitlines()]


def drop_numbers(line: str) -> str:
    return re.sub(r"\d[\d.,:]*(e[+-]\d+)?", "#", line)


def run(arguments: list[str]) -> None:
    """A command that ends well."""
    codes: list[object] = [0]
    try:
        main(arguments)
    except SystemExit as ended:
        codes.append(ended.code)
    assert codes[-1] == 0, arguments


def count_executed(page: str) -> int | None:
    """Return how many blocks of Python of a page are run; None for all."""
    return None if page in WITH_ALL_PYTHON else int(page in WITH_PYTHON)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page_commands_run_in_demo_directory(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDS:
        pytest.importorskip(name)
    main(["demo", "-o", str(tmp_path / "demo")])
    monkeypatch.chdir(tmp_path / "demo")
    assert lines(page) or page == "docs/training.md"
    for arguments in lines(page):
        run(arguments)
    for block in blocks(page)[: count_executed(page)]:
        exec(block, {"x": torch.rand(1, 3, 128, 160), "darkparse": darkparse})
    if page == "docs/training.md":
        trained = darkparse.load("shapes", "next.weights")
        assert trained.header is not None
        assert trained.header.seen == 3 * 32


@pytest.mark.slow
def test_fine_tuning_page_commands_run_and_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From images to weights and back, with fewer images and batches; numbers may differ."""
    for name in NEEDS[:3]:
        pytest.importorskip(name)
    page = "docs/fine-tuning.md"
    monkeypatch.chdir(tmp_path)
    (arguments,) = lines(page, "python")
    monkeypatch.setattr(sys, "argv", [*arguments, "--train", "40", "--valid", "6"])
    runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
    capsys.readouterr()
    for command in lines(page):
        arguments = [part.replace("_final.", "_last.") for part in command]
        few = ["--batches", "2", "--workers", "0"] if arguments[0] == "train" else []
        run([*arguments, *few])
        out, err = capsys.readouterr()
        printed = [drop_numbers(line) for line in (out + err).splitlines()]
        missing = [line for line in shown_output(page, command) if line not in printed]
        assert not missing, f"{arguments}: printed {printed}"
    final, back = tmp_path / "pictures" / "backup" / "mine_last.weights", tmp_path / "mine.weights"
    assert back.read_bytes() == final.read_bytes()
    assert len(list((tmp_path / "look").iterdir())) == 64
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 4
    (block,) = blocks(page)
    exec(block, {})
