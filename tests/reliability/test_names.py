"""Hostile characters in a cfg's name and values, in a file of names and in a picture's name, through every command and
format: none reaches the terminal, and what is written is sound."""

from __future__ import annotations

import contextlib
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse.cli import main
from darkparse.cli.main import COMMANDS as COMMANDS_OF_DARKPARSE
from tests.export.test_source import assert_same_bits
from tests.reliability.commands import HEAD

if sys.platform == "win32":
    pytest.skip("needs file names that Windows does not allow: run it on Linux or macOS", allow_module_level=True)

OBEYED = "\x07\x1b[31m\x7f\x85\x9b2J\u202e\u2066\u200f"
SCRIPT = "<script>window.ran=1</script>"
IMAGE = "<img src=x onerror=window.ran=1>"
EVIL = f"a{OBEYED}\"'&"
NAME = f"{EVIL}<img src=x onerror=window.ran=1>"
"""Of files: without a slash."""
ODD = f"{OBEYED}{SCRIPT}{IMAGE}\"'&]]>--> {{0}} \\"
EMOJI = re.compile("[\U0001f000-\U0001faff]")
TEXT = HEAD.replace("[yolo]\n", f"[yolo]\nodd={ODD}\n# {ODD}\n").replace("activation=linear", f"activation=lin{ODD}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a cfg, its weights, names and a picture, all of hostile names and texts."""
    monkeypatch.chdir(tmp_path)
    _fill(tmp_path, NAME, TEXT, ODD)
    return tmp_path


def _fill(folder: Path, name: str, text: str, odd: str) -> None:
    """Write a cfg, its weights, names, an image, its label and two data sets under a name."""
    cfg = folder / f"{name}.cfg"
    cfg.write_text(text, "utf-8")
    model = darkparse.build(cfg, initialize=True)
    darkparse.save_weights(model, folder / f"{name}.weights")
    (folder / f"{name}.names").write_text(f"{odd}\n", "utf-8")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / f"{name}.png")
    (folder / f"{name}.txt").write_text("0 .5 .5 .5 .5\n", "utf-8")
    for list_, images in ("train", f"{name}.png\n"), ("odd", f"{name}.png\n{odd}.png\n"):
        (folder / f"{list_}{name}.txt").write_text(images, "utf-8")
        named = f"names={name}.names\nvalid=train{name}.txt\nbackup={name}.out\n"
        (folder / f"{list_}{name}.data").write_text(f"classes=1\ntrain={list_}{name}.txt\n{named}odd={odd}\n", "utf-8")


COMMANDS = """
show {c}; show {c} --format csv; show {c} --format json; show {c} --format yaml; show {c} --size {n}; show --{n}; {c}
explain {c}; check {c}; check {c} --format json; check {c} --format github; check {c} --training --strict
check {c}.none; weights {c} {w}; weights {c} {p}; diff {c} {c}; diff {w} {w} --cfg {c}
edit {c} --size 64; edit {c} --classes 3 -o {n}2.cfg; format --check {c}; format {n}3.cfg
emit {c}; emit {c} --flat; emit {c} -o {n}.py; compare {c} {w} {p}; compare {c} {w} {p} {p}; evaluate {c} {w} {p} {p}
draw {c} -o {n}.svg; draw {c} -o {n}.html; draw {c} -o {n}.dot; draw {c} -o {n}.mmd; draw {c} -o {n}.png
draw {c} -o {n}.pdf; draw {c} {w} -o {n}.svg; draw {c} -o {n}/x.svg
convert {c} {w} -o {n}.npz; convert {c} {w} -o {n}.safetensors; convert {c} {w} -o {n}.pt; convert {c} {w} -o {n}.onnx
convert {c} {w} -o {n}.ts; convert {c} {w} -o {n}.pt2; convert {c} {w} -o {n}.{n}
detect {c} {w} {c}; detect {c} {p} {p}; detect {c} {w} {n}.jpg; detect {c} {w} {p} --threshold 0 --names {l}
detect {c} {w} {p} --threshold 0 --names {l} --format json; detect {c} {w} {p} --threshold 0 --names {l} --format csv
detect {c} {w} {p} --threshold 0 --names {l} --out found --save csv
check {d}; check {o}; check {d} {c}; check {o} {c} --format json
anchors {d} --clusters 1 --size 32; anchors {o} --clusters 1 --size 32
train {d} {c} --batches 2 --map --log {n}.log; train {d} {c} --batches 1 --resume; train {o} {c} {w} --batches 9
train {d} {c} --dry-run {n}.look; train {d} {c} {p} --batches 1; train {c} {c}; train {n}.data {c}
anchors {n}.data; evaluate {c}.none {w} --images {p}; compare {c} {w} {p} --against {w}
prune {c} {w} --share 1 -o {n}4.cfg {n}4.weights; prune {c} {w} --flops 2 -o {n}4.cfg {n}4.weights
classes {c} {w} --keep none -o {n}4.cfg {n}4.weights; lower {c} {w} -o {n}4.cfg {n}4.weights
"""


def _run(line: str, name: str = NAME) -> None:
    files = {"c": f"{name}.cfg", "w": f"{name}.weights", "p": f"{name}.png", "l": f"{name}.names", "n": name}
    files |= {"d": f"train{name}.data", "o": f"odd{name}.data"}
    arguments = [word.format(**files) for word in line.split()]
    with contextlib.suppress(SystemExit):
        main(arguments)


def _bad(text: str) -> list[str]:
    return re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.slow
def test_commands_on_hostile_names_print_no_control_characters(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / f"{NAME}3.cfg").write_text(TEXT, "utf-8")
    for line in re.split(r"; |\n", COMMANDS.strip()):
        is_terminal = line.startswith(("edit", "emit"))  # a pipe gets the file itself
        monkeypatch.setattr(sys.stdout, "isatty", lambda answer=is_terminal: answer)
        _run(line)
        out, err = capsys.readouterr()
        assert out + err, line
        assert not _bad(out + err), line
        assert "Traceback" not in err, line
    assert (place / "found" / "detections.csv").stat().st_size > 100  # the names file was used
    assert list((place / f"{NAME}.out").glob("*.weights"))
    assert list((place / f"{NAME}.look").iterdir())


@pytest.mark.slow
def test_command_with_emoji_code_in_name_prints_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "a:dog:b[red]c"
    odd = ":dog:"
    _fill(tmp_path, name, HEAD.replace("[yolo]\n", f"[yolo]\nodd={odd}\n").replace("=linear", f"=lin{odd}"), odd)
    (tmp_path / f"{name}3.cfg").write_text(HEAD, "utf-8")
    named = set()
    for line in re.split(r"; |\n", COMMANDS.strip()):
        _run(line, name)
        text = "".join(capsys.readouterr())
        assert not EMOJI.search(text), line
        named |= {line.split()[0]} if name in text else set()
    assert set(COMMANDS_OF_DARKPARSE) - named == {"lsp", "demo", "list"}  # which take no file


@pytest.mark.slow
def test_files_written_for_hostile_names_are_valid(place: Path) -> None:
    cfg = place / f"{NAME}.cfg"
    for form in ("svg", "html"):
        (place / f"x.{form}").write_bytes(darkparse.draw(cfg).data(form))
    assert ElementTree.parse(place / "x.svg").getroot().tag.endswith("svg")
    page = _Page()
    page.feed((place / "x.html").read_text("utf-8"))
    assert not page.open
    assert page.handlers == 0
    for flat in (False, True):
        assert_same_bits(darkparse.compile(cfg), flat=flat)


class _Page(HTMLParser):
    """Counts handlers within tags, and the tags that are left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.handlers = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handlers += sum(name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "link", "input", "br", "img", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
