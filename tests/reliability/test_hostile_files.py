"""Files made to harm: each ends in one sentence, in little time and memory, and shows nothing but itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import DATA

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="needs resource limits and /etc/passwd: run it on Linux or macOS"
)

Server = subprocess.Popen[str]
CASES = DATA / "hostile"
SECRET = "b7e151628aed2a6abf715880"
"""In the environment of the commands, and never in what they print."""

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
MADE = {
    "annotations-deep.json": '{"categories":' + "[" * 100_000 + "]" * 100_000 + "}",
    "size-digits.cfg": f"{NET}[convolutional]\nfilters={'9' * 200_000}",
    "yaml-deep.yaml": f"x: {'[' * 30_000}{']' * 30_000}\nlayers: []\n",
}
"""The long ones."""

# Everything is imported once; each case runs in a fork, whose peak of memory (VmHWM) begins with what it has.
SERVER = r"""
import json, os, re, resource, signal, sys, traceback
from pathlib import Path
import numpy, torch, darkparse, darkparse.evaluation, darkparse.datasets.annotations, darkparse.detect.detector
import darkparse.export
from darkparse.cli import main
from darkparse.errors import DarkparseError
def used():
    spent = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status")
    peak = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) if status.exists() else 0
    return spent.ru_utime + spent.ru_stime, peak / 1024
def run(code, file):
    try:
        exec(code, globals() | {"file": file})
    except SystemExit as stop:
        return stop.code
    except DarkparseError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0
for line in sys.stdin:
    code, folder, name, working = json.loads(line)
    child = os.fork()
    if not child:
        signal.alarm(100)
        os.chdir(working)
        said = os.open(Path(folder) / "said", os.O_CREAT | os.O_WRONLY)
        os.dup2(said, 1)
        os.dup2(said, 2)
        try:
            before, status, after = used(), run(code, Path(folder) / name), used()
            measured = [status, after[0] - before[0], after[1] - before[1]]
            (Path(folder) / "measured.json").write_text(json.dumps(measured))
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    os.waitpid(child, 0)
    print(flush=True)
"""

FROM_YAML = "import darkparse; darkparse.from_yaml(file)"
ROUND_TRIP = (
    "import darkparse; one = darkparse.compile(file); two = darkparse.from_yaml(one.to_yaml()); "
    "assert [n.layer for n in one.nodes] == [n.layer for n in two.nodes]; "
    "texts = [[o.text for s in (n.config.net, *n.config.sections) for o in s.options] for n in (one, two)]; "
    "assert sorted(texts[0]) == sorted(texts[1]), texts; assert one.to_yaml() == two.to_yaml()"
)
REFERENCE = "darkparse.evaluation.open_reference(file, numpy.zeros((1, 3, 8, 8), numpy.float32))"
ANNOTATIONS = "darkparse.datasets.annotations.read_annotations({}, file.parent, ('a', 'b'))"
LOADED = "import darkparse; darkparse.load({})"


@dataclass(frozen=True)
class Case:
    """A file, what is run on it, and what is said: status 2 and a text, or 0."""

    file: str
    code: str
    says: str
    status: int = 2

    def __str__(self) -> str:
        return f"{self.file} {self.code.partition('(')[2][:12] if self.code.startswith('main') else ''}"


def command(*arguments: str) -> str:
    return f"main({[*arguments]!r}[:1] + [str(file)] + {[*arguments]!r}[1:])"


ALL = (
    Case("yaml-deep.yaml", FROM_YAML, ":1:13: error: invalid YAML: nested too deeply"),
    Case("yaml-alias-bomb.yaml", FROM_YAML, ":1:[0-9]+: error: invalid YAML: anchors and aliases"),
    Case("yaml-net-list.yaml", FROM_YAML, ":1:[0-9]+: error: invalid value of `net`; expected a mapping"),
    Case("yaml-tag-int.yaml", FROM_YAML, ":1:[0-9]+: error: invalid YAML: tags"),
    Case("yaml-date.yaml", FROM_YAML, ":1:[0-9]+: error: invalid value for width, got '2001-13-45'; expected text"),
    Case(
        "yaml-digits.yaml",
        FROM_YAML,
        ":1:[0-9]+: error: invalid value for width, got '9+…'; expected at most 2,147,483,647",
    ),
    Case("yaml-set.yaml", FROM_YAML, ":1:[0-9]+: error: invalid YAML: tags"),
    Case("roundtrip-bytes.cfg", ROUND_TRIP, "", 0),
    Case("roundtrip-vt.cfg", ROUND_TRIP, "", 0),
    Case("tree-passwd.cfg", command("check"), "/etc/passwd: no such file; darkparse searches the working directory", 0),
    Case("tree-passwd.cfg", LOADED.format("file"), "/etc/passwd: no such file in the directories"),
    Case(
        "tree-environ.cfg",
        command("check"),
        "/proc/self/environ: no such file; darkparse searches the working directory",
        0,
    ),
    Case("tree-environ.cfg", LOADED.format("file"), "/proc/self/environ: no such file in the directories"),
    Case("tree-in-weights.safetensors", LOADED.format("file"), "does not fit x"),
    Case(
        "tree-empty.tree",
        "from darkparse.model.hierarchy import Hierarchy; from darkparse.layers.tree import read_tree; "
        "Hierarchy(read_tree(file))",
        "the tree is empty",
    ),
    Case("dump-deflate.npz", REFERENCE, "npz file: .*invalid block type"),
    Case("dump-method.npz", REFERENCE, "npz file: .*compression method"),
    Case("dump-4tb.npz", REFERENCE, "npz file: "),
    Case("weights-zip-name.npz", LOADED.format("'yolov3-tiny', file"), "truncated or damaged"),
    *(
        Case("escape-kind.cfg", command(c), "text after the closing bracket")
        for c in ("check", "show", "explain", "weights")
    ),
    Case("escape-option.cfg", command("check"), r"has no option 'foo\\x1b\[31m'", 0),
    *(Case("escape-option.cfg", command(c), "has no option", 0) for c in ("show", "explain", "weights")),
    Case("escape-option.cfg", command("emit"), "has no option", 0),
    *(
        Case("size-classes.cfg", command(c), "10:5: .*num must be at most 1,000, got 200,000,000")
        for c in ("check", "show")
    ),
    Case("size-classes.cfg", command("emit"), "10:5: .*num must be at most 1,000, got 200,000,000"),
    Case("size-classes.cfg", command("draw", "-o", "x.svg"), "10:5: .*num must be at most 1,000, got 200,000,000"),
    Case("size-classes.cfg", LOADED.format("file"), "10:5: .*num must be at most 1,000, got 200,000,000"),
    Case("size-digits.cfg", command("check"), r"^[\s\S]{100,1000}$"),
    Case("size-upsample.cfg", command("check"), "26:1: .*output must be at most 2,147,483,648, got 4,294,967,296"),
    Case("svg-entity-x&copy;y.cfg", command("draw", "-o", "x.svg"), "wrote x.svg", 0),
    Case("annotations-deep.json", ANNOTATIONS.format("file"), "not a COCO file: .*recursion"),
    Case("annotations-nan.json", ANNOTATIONS.format("file"), "invalid box of annotation '1', got '.nan, 1"),
    Case("annotations-outside.json", ANNOTATIONS.format("file"), "passwd' is outside the directory"),
    Case("annotations-encoding.xml", ANNOTATIONS.format("file.parent"), "unknown encoding: foo"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    environment = os.environ | {"SECRET": SECRET, "COLUMNS": "300"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        process.communicate()


@pytest.mark.parametrize("case", ALL, ids=str)
def test_hostile_file_exits_with_one_sentence(case: Case, tmp_path: Path, server: Server) -> None:
    _check(case, tmp_path, tmp_path, server)
    if case.file.endswith("y.cfg"):
        from xml.etree import ElementTree

        assert "x&copy;y" in "".join(ElementTree.parse(tmp_path / "x.svg").getroot().itertext())


@pytest.mark.parametrize("case", [case for case in ALL if case.file.startswith("tree")], ids=str)
def test_hostile_tree_in_root_directory_exits_with_one_sentence(case: Case, tmp_path: Path, server: Server) -> None:
    _check(case, tmp_path, Path("/"), server)


def _check(case: Case, folder: Path, working: Path, server: Server) -> None:
    file = folder / case.file
    if case.file in MADE:
        file.write_text(MADE[case.file])
    else:
        shutil.copy(CASES / case.file, file)
    if case.file.endswith(".xml"):
        (folder / f"{file.stem}.png").write_bytes(b"")
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([case.code, str(folder), case.file, str(working)]) + "\n")
    server.stdin.flush()
    assert server.stdout.readline() == "\n"
    output = (folder / "said").read_text()
    assert "Traceback" not in output, output
    status, seconds, megabytes = json.loads((folder / "measured.json").read_text())
    assert status == case.status, output
    assert re.search(case.says, output.replace(str(folder), "")), output
    assert seconds <= 2
    assert megabytes <= 100
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", output)
    assert SECRET not in output
    assert not any(line in output for line in Path("/etc/passwd").read_text().splitlines() if line)
