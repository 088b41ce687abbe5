"""Every finding has a code, a line in the docs, and its place; `check` tells them to people and to programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import darkparse
from darkparse.diagnostics.codes import CODES
from darkparse.diagnostics.diagnostic import MAX_PRINTED_DIAGNOSTICS, Diagnostic
from darkparse.errors import CfgError, DarkparseError
from darkparse.layers import DIALECTS
from darkparse.network.training_lint import lint_training
from darkparse.network.training_schedule import lint_mini_batch
from darkparse.syntax.reader import load_source, parse
from tests.commands import run_command
from tests.conftest import ROOT, original_cfgs
from tests.network.test_cases import findings

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
CONV = NET + "[convolutional]\nfilters=7\n"
LINEAR = CONV + "activation=linear\n"
YOLO = LINEAR + "[yolo]\nclasses=2\nanchors=1,2\n"

# For every code a cfg, the dialect it is read in, and what is said first of that code.
EXAMPLES: dict[str, tuple[str, str, str]] = {
    "not-a-cfg": ("<html>\n", "pjreddie", "1:1: error: not a cfg, got an HTML page; download the raw file"),
    "empty": ("\n", "pjreddie", "1:1: error: file has no section"),
    "no-net": ("[conv]\n[net]\n", "pjreddie", "1:1: error: first section must be [net]"),
    "no-layers": (
        "[net]\nwidth=1\n",
        "pjreddie",
        "1:1: error: cfg has no layers; expected at least one section after [net]",
    ),
    "yaml": ("layers: 3\n", "pjreddie", "1:9: error: invalid value of `layers`; expected a list"),
    "outside-section": ("width=1\n[net]\n", "pjreddie", "1:1: error: line before the first section"),
    "header": ("[net]\n[conv\n", "pjreddie", "2:1: error: section header without a closing bracket"),
    "line-ends": ("[net]\r[conv]\r", "pjreddie", "1:1: error: lines end in CR, so Darknet"),
    "encoding": (f"{CONV}activation=linear\n", "pjreddie", "1:1: warning: the cfg is UTF-16-LE"),
    "unknown-kind": (
        f"{CONV}[maxpol]\n",
        "pjreddie",
        "7:1: error: unknown layer kind [maxpol]; did you mean [maxpool]?",
    ),
    "second-net": (f"{CONV}[net]\n", "pjreddie", "7:1: error: second [net]"),
    "value": (
        f"{NET}[conv]\nfilters=many\n",
        "pjreddie",
        "6:9: error: invalid value for filters, got 'many'; expected an integer",
    ),
    "missing": (f"{CONV}[route]\n", "pjreddie", "7:1: error: [route] requires layers="),
    "unknown-option": (f"{CONV}sise=3\n", "pjreddie", "7:1: warning: [convolutional] has no option 'sise', Darknet "),
    "foreign-option": (f"{CONV}dilation=2\n", "pjreddie", "7:1: warning: pjreddie/darknet does not support 'dilation'"),
    "foreign-kind": (f"{CONV}[silence]\n", "pjreddie", "7:1: warning: pjreddie/darknet does not support [silence]"),
    "duplicate": (
        f"{CONV}filters=8\n",
        "pjreddie",
        "7:1: warning: duplicate option filters, Darknet uses the first, 'filters=7'",
    ),
    "empty-value": (f"{CONV}pad=\n", "pjreddie", "7:1: warning: pad= has no value, Darknet skips the line"),
    "no-value": (f"{CONV}pad\n", "pjreddie", "7:1: warning: line without '='"),
    "odd-value": (f"{CONV}size=3x\n", "pjreddie", "7:6: warning: size: Darknet reads 3 and ignores 'x'"),
    "unknown-activation": (f"{CONV}activation=leeky\n", "pjreddie", "7:12: warning: activation: unknown activation"),
    "inline-comment": (
        f"{CONV}size=1 # one\n",
        "pjreddie",
        "7:6: warning: size: Darknet reads 1 and ignores '#one'",
    ),
    "joined-digits": (f"{CONV}size=1 1\npad=1\n", "pjreddie", "7:6: warning: size: Darknet deletes the space in '1 1'"),
    "no-file": (f"{YOLO}map=nowhere.map\n", "pjreddie", "11:1: warning: nowhere.map: no such file"),
    "input-size": (
        "[net]\nwidth=8\n[conv]\n",
        "pjreddie",
        "1:1: error: [net] does not define an input size: height= and channels=",
    ),
    "no-layer": (f"{CONV}[route]\nlayers=9\n", "pjreddie", "8:8: error: layer 1 [route] refers to layer 9"),
    "shape": (f"{CONV}groups=2\n", "alexeyab", "7:8: error: groups=2 does not divide the 3 input channels"),
    "sizes": (
        f"{LINEAR}[maxpool]\nsize=2\nstride=2\n[route]\nlayers=0,1\n[conv]\n",
        *("pjreddie", "11:1: error: maps of different sizes are joined into a vector, but layer 3"),
    ),
    "head": (YOLO.replace("=7", "=8"), "pjreddie", "8:1: error: this head requires 7 channels = 1 × (2 classes + 5)"),
    "anchors": (YOLO.replace("1,2", "1,2,3"), "pjreddie", "10:9: warning: odd number of values in anchors=, got 3"),
    "mask": (f"{YOLO},3,4\nmask=1\n", "pjreddie", "12:6: warning: mask selects anchor 1 of num=1"),
    "new-coords": (
        f"{YOLO}new_coords=1\n",
        "alexeyab",
        "11:12: warning: new_coords=1 requires activation=logistic",
    ),
    "classes": (
        f"{YOLO}[conv]\nfilters=6\nactivation=linear\n[yolo]\nclasses=1\nanchors=1,2\n",
        *("pjreddie", "15:9: warning: heads have different numbers of classes, got 1 here and 2"),
    ),
    "limit": (f"{CONV}[upsample]\nstride=100000\n", "pjreddie", "7:1: error: values in the output must be at most"),
    "training": (
        CONV.replace("[conv", "policy=sig\n[conv"),
        "pjreddie",
        "5:1: warning: policy=sig: unknown policy",
    ),
    "unused-anchors": (
        f"{YOLO.replace('1,2', '1,2,3,4')}num=2\nmask=0\n",
        *("pjreddie", "12:6: warning: anchor 1 (3×4) is not used by any head: objects nearest to it in shape train no"),
    ),
    "mask-order": (
        f"{YOLO.replace('1,2', '1,2,3,4').replace('filters=7', 'filters=14')}num=2\nmask=1,0\n",
        *("pjreddie", "12:6: warning: mask= lists its anchors in reverse"),
    ),
    "frozen": (f"{CONV}stopbackward=1\n", "pjreddie", "7:14: warning: stopbackward=1: layer 0 receives no gradient"),
    "schedule": (CONV, "pjreddie", "1:1: warning: batch=1 trains on mini-batches of 1 image"),
    "batch": (
        CONV.replace("[conv", "subdivisions=2\n[conv"),
        *("pjreddie", "5:14: warning: batch=1, the default, is less than subdivisions=2"),
    ),
    "refused": (f"{CONV}filters=7\n", "hank-ai", "7:1: error: hank-ai/darknet rejects this: duplicate option filters"),
    "remark": (
        f"{LINEAR}[shortcut]\nfrom=-1\nweights_type=per_feature\n",
        *("alexeyab", "10:14: warning: AlexeyAB/darknet rejects weights_type= without"),
    ),
}


def _findings(path: Path, dialect: str) -> tuple[Diagnostic, ...]:
    try:
        network = darkparse.compile(parse(load_source(path)), dialect=dialect)
    except CfgError as problem:
        return problem.diagnostics
    return (*network.diagnostics, *lint_training(network), *lint_mini_batch(network))


# Transformations raise `inexact`, a compile does not; tests/transform has the examples.
@pytest.mark.parametrize("code", sorted(CODES.keys() - {"unreadable", "inexact"}))
def test_example_of_code_has_message_and_place(code: str, tmp_path: Path) -> None:
    text, dialect, said = EXAMPLES[code]
    path = tmp_path / "a.cfg"
    path.write_bytes(text.encode("utf-16" if code == "encoding" else "utf-8"))
    found = next(d for d in _findings(path, dialect) if d.code == code)
    assert str(found).startswith(f"{path}:{said}")


def test_diagnostic_with_unknown_code_raises() -> None:
    with pytest.raises(ValueError, match="unknown diagnostic code 'odd'"):
        Diagnostic("error", "odd", "")


def test_cfg_error_text_includes_warnings_with_carets() -> None:
    with pytest.raises(CfgError) as raised:
        darkparse.compile(YOLO.replace("filters=7", "filters=8\nfilters=7"))
    text = str(raised.value)
    assert text.startswith(
        "<text>:7:1: warning: duplicate option filters, Darknet uses the first, 'filters=8' in line 6\n    7 | "
        "filters=7\n"
    )
    assert "\n<text>:9:1: error: this head requires 7 channels" in text


@pytest.mark.parametrize(
    ("text", "warning", "error"),
    [
        ("[net]\nwidth＝8\nheight=8\nchannels=3\n[crop]\n", "unknown-option", "input-size"),
        (f"{CONV}[route]\nlayer=-1\n", "unknown-option", "missing"),
        (f"{CONV}[route]\nlayers=\n", "empty-value", "missing"),
        (f"{CONV}[convolutional]\n[route]\nlayers=-1 0\n", "joined-digits", "no-layer"),
        (f"{CONV}filtrs=8\n[yolo]\nanchors=1,2\n", "unknown-option", "head"),
        (f"{CONV}pad=1\nsise=3\n[maxpool]\nsize=9\npadding=0\n", "unknown-option", "shape"),
    ],
)
def test_warning_that_explains_an_error_is_printed_before_it(text: str, warning: str, error: str) -> None:
    with pytest.raises(CfgError) as raised:
        darkparse.compile(text, dialect="alexeyab")
    codes = [d.code for d in raised.value.diagnostics]
    assert codes.index(warning) < codes.index(error)
    printed = str(raised.value)
    assert printed.index(": warning: ") < printed.index(": error: ")


def test_diagnostics_are_sorted_by_section() -> None:
    text = f"{CONV}sise=3\nsize=-1\n[maxpool]\nsise=3\nstride=x\n"
    with pytest.raises(CfgError) as raised:
        darkparse.compile(text)
    severities = [(d.severity, d.span.line) for d in raised.value.diagnostics if d.span]
    first = CONV.count("\n") + 1
    assert severities == [("warning", first), ("error", first + 1), ("warning", first + 3), ("error", first + 4)]


def test_repeated_warning_is_one_finding_with_all_lines() -> None:
    (one,) = darkparse.compile(f"{CONV}sise=3\n[convolutional]\nsise=3\n", dialect="alexeyab").diagnostics
    assert (one.headline[-32:], one.to_dict()["lines"]) == (
        "did you mean size?; 2 times, first in line 7"[-32:],
        [7, 9],
    )


@pytest.mark.slow
def test_cfg_error_with_100001_findings_is_truncated() -> None:
    many = "".join(f"option{n}=1\n" for n in range(100_000))
    with pytest.raises(CfgError) as raised:
        darkparse.compile(f"{CONV}{many}[maxpol]\n")
    assert len(raised.value.diagnostics) == 100_001
    lines = str(raised.value).splitlines()
    assert sum("warning: " in line for line in lines) == MAX_PRINTED_DIAGNOSTICS - 1
    assert any(line.endswith("error: unknown layer kind [maxpol]") for line in lines)
    assert lines[-1] == f"… and {100_001 - MAX_PRINTED_DIAGNOSTICS:,} more"


# The command.


def run_check(*arguments: str | Path, code: int = 0) -> str:
    """What `darkparse check` prints, where it ends with that status."""
    run = run_command("check", *arguments)
    assert run.returncode == code, run.stdout + run.stderr
    return run.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a clean cfg, one with a warning and one with an error."""
    (tmp_path / "in").mkdir()
    (tmp_path / "clean.cfg").write_text(YOLO)
    (tmp_path / "in" / "odd.cfg").write_text(f"{LINEAR}sise=3\n")
    (tmp_path / "in" / "wrong,1%.cfg").write_text(f"{LINEAR}[maxpol]\n")
    return tmp_path


def test_check_accepts_files_and_directories(folder: Path) -> None:
    told = run_check(folder, code=2)
    assert "odd.cfg:8:1: warning: [convolutional] has no option 'sise'" in told
    assert told.endswith("3 cfgs: 1 do not compile, 1 have warnings only, 1 are clean\n")
    assert "clean.cfg:" not in told
    run_check(folder / "clean.cfg", folder / "in" / "odd.cfg")
    run_check(folder / "in" / "odd.cfg", "--strict", code=1)
    assert "No such file" in run_check(folder / "clean.cfg", "nothing.cfgs", code=2)


def test_check_json_lists_findings_per_cfg(folder: Path) -> None:
    clean, odd, wrong = json.loads(run_check(folder, "--format", "json", code=2))["cfgs"]
    assert (clean["compiles"], clean["network"]["dialect"], clean["findings"]) == (True, "pjreddie", [])
    assert [(f["code"], f["line"], f["column"], f["lines"]) for f in odd["findings"]] == [("unknown-option", 8, 1, [8])]
    assert (wrong["compiles"], wrong["findings"][0]["severity"]) == (False, "error")
    warning, error = run_check(folder, "--format", "github", code=2).splitlines()
    assert warning.startswith(f"::warning file={folder}/in/odd.cfg,line=8,col=1,title=darkparse unknown-option::[conv")
    assert error.startswith(
        f"::error file={folder}/in/wrong%2C1%25.cfg,line=8,col=1,title=darkparse unknown-kind::unknown"
    )


def test_check_training_reports_each_option_once(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    heads = "".join(YOLO.replace(NET, "") + "objectness_smooth=1\ncls_normalizer=.5\n" for _ in range(3))
    path.write_text(NET + "policy=stepz\n" + heads)
    assert " 0 warnings" in run_check(path)
    told = run_check(path, "--training")
    assert "policy=stepz: unknown policy, the rate stays constant; did you mean step?" in told
    assert "cls_normalizer=.5: this has no effect without counters_per_class=; 3 times, first in line 13" in told
    assert re.search(r"objectness_smooth=1: .*mAP 0.*; 3 times, first in line 12", told)
    assert " 3 warnings" in told


def test_pre_commit_hook_reports_findings(folder: Path) -> None:
    pytest.importorskip("pre_commit")
    repository = folder / "in"
    hook = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8").replace("\n", "\n      ").rstrip()
    config = f"repos:\n  - repo: local\n    hooks:\n      {hook}\n"
    (repository / ".pre-commit-config.yaml").write_text(config)
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)}
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    run = subprocess.run(command, cwd=repository, env=path, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "darkparse check" in run.stdout
    assert "error: unknown layer kind [maxpol]; did you mean [maxpool]?" in run.stdout
    (repository / "wrong,1%.cfg").write_text(LINEAR)
    assert subprocess.run(command, cwd=repository, env=path, check=False, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(
    not original_cfgs(),
    reason="needs Darknet's reference numbers in ../shared, which are not published; tests/data/reference has a part",
)
def test_findings_of_original_cfgs_match_golden(golden: object) -> None:
    """Read it line by line when it changes: a false alarm here is one in thousands of cfgs."""
    lines = []
    for path in original_cfgs():
        for dialect in DIALECTS:
            for found in findings(path, dialect):
                place = found.headline.partition(f"{path.name}:")[2]
                lines.append(f"{path.parent.name}/{path.name} {dialect} {found.code} {place}")
    golden("findings.txt", "".join(f"{line}\n" for line in lines))  # type: ignore[operator]


def test_check_of_unreadable_file_reports_finding(tmp_path: Path) -> None:
    with pytest.raises(DarkparseError):
        darkparse.compile(tmp_path / "nothing.cfg")
    assert '"unreadable"' in run_check(tmp_path / "nothing.cfg", "--format", "json", code=2)
