from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import darkparse
from darkparse.layers import DIALECTS, REGISTRY
from tests.snapshots.__main__ import main
from tests.snapshots.cases import ROOT, Case, find_cases
from tests.snapshots.digest import Line, find_differences, read_lines
from tests.snapshots.onnx_files import strip_metadata
from tests.snapshots.run import case_lines

CFG = """\
[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=4
size=3
pad=1
activation=leaky
[gru]
output=3
"""


def snapshot(path: Path, text: str) -> dict[tuple[str, str], str]:
    path.write_text(text)
    return {(line.dialect, line.aspect): line.value for line in case_lines(Case("x", path), with_text=True)}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    return snapshot(tmp_path_factory.mktemp("before") / "x.cfg", CFG)


def test_snapshot_twice_gives_equal_lines(before: dict[tuple[str, str], str], tmp_path: Path) -> None:
    first, second = before, snapshot(tmp_path / "x.cfg", CFG)
    assert first == second
    for dialect in ("pjreddie", "alexeyab"):
        assert {aspect for of, aspect in first if of == dialect} == {
            *("diagnostics", "yaml", "cfg", "table", "svg", "state-dict", "text", "text-flat"),
            *("output", "source", "source-flat", "onnx"),
        }
    assert {of for of, _ in first} == {"auto", *DIALECTS}


@pytest.mark.parametrize(
    ("old", "new", "aspects"),
    [
        ("leaky", "relu", {"yaml", "cfg", "output", "source", "source-flat", "onnx", "text", "text-flat"}),
        pytest.param(
            *("output=3", "output=4", {"state-dict", "yaml", "table", "svg", "output", "source", "onnx"}),
            marks=pytest.mark.slow,
        ),
        ("pad=1", "pat=1", {"diagnostics"}),
        pytest.param("pad=1", "pad=1 # a comment", {"cfg"}, marks=pytest.mark.slow),
    ],
)
def test_snapshot_of_changed_cfg_differs_in_expected_aspects(
    old: str, new: str, aspects: set[str], before: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    after = snapshot(tmp_path / "x.cfg", CFG.replace(old, new))
    assert aspects <= {aspect for (dialect, aspect), value in before.items() if after[dialect, aspect] != value}


def test_snapshot_of_other_epsilon_differs_in_outputs(tmp_path: Path) -> None:
    lines = snapshot(tmp_path / "x.cfg", CFG)
    for aspect in ("output", "source", "source-flat", "onnx"):
        assert lines["pjreddie", aspect] != lines["alexeyab", aspect]


def test_snapshot_of_broken_cfg_has_diagnostics(tmp_path: Path) -> None:
    wrong = CFG.replace("filters=4", "filters=-4")
    lines = snapshot(tmp_path / "x.cfg", wrong)
    assert [aspect for dialect, aspect in lines if dialect == "alexeyab"] == ["diagnostics"]
    assert lines["auto", "dialect"] == "CfgError"
    moved = snapshot(tmp_path / "x.cfg", f"\n{wrong}")
    assert moved["alexeyab", "diagnostics"] != lines["alexeyab", "diagnostics"]


def test_snapshot_is_independent_of_directory(tmp_path: Path) -> None:
    folders = (tmp_path / "a", tmp_path / "b")
    for folder in folders:
        folder.mkdir()
        (folder / "words.tree").write_text("a -1\nb -1\nc 0\n")
    tree = CFG.partition("[gru]")[0] + "[connected]\noutput=3\n[softmax]\ntree=words.tree\n"
    first, second = (snapshot(folder / "x.cfg", tree) for folder in folders)
    assert "output" in {aspect for _, aspect in first}
    assert first == second


def test_strip_metadata_removes_onnx_metadata_fields() -> None:
    fields = {1: b"\x08\x08", 2: b"\x12\x01x", 3: b"\x1a\x01x", 7: b"\x3a\x81\x01" + bytes(129), 14: b"\x72\x01x"}
    assert list(strip_metadata(b"".join(fields.values()))) == [fields[1], fields[7]]
    with pytest.raises(ValueError, match="wire type 5"):
        list(strip_metadata(b"\x0d\x00\x00\x00\x00"))


def test_quick_cases_cover_every_kind_and_trained_model() -> None:
    quick, full = find_cases(quick=True), find_cases()
    kinds = set[str]()
    for case in quick:
        if case.cfg.is_relative_to(ROOT / "tests"):
            kinds |= {node.kind for node in darkparse.compile(case.cfg, dialect="alexeyab").nodes}
    assert kinds == {cls.kind for cls in REGISTRY.values()}
    assert {case.name for case in full if case.weights} == {case.name for case in quick if case.weights}
    assert {case.name for case in quick} < {case.name for case in full}


@pytest.mark.slow
def test_snapshot_of_trained_model_has_lines_for_each_dialect() -> None:
    (shapes,) = (case for case in find_cases() if case.name == "models/shapes")
    first = case_lines(shapes)
    assert case_lines(shapes) == first
    lines = {(line.dialect, line.aspect): line.value for line in first}
    values = {
        dialect: {aspect: value for (of, aspect), value in lines.items() if of == dialect}
        for dialect in shapes.dialects
    }
    assert len({json.dumps(list(value)) for value in values.values()}) == 1
    for value in values.values():
        assert value["read-npz"] == value["read-safetensors"] == value["read-pt"] == value["read-weights"]
        assert not [name for name in value.values() if name.endswith("Error")]
    assert values["pjreddie"]["arrays"] == values["alexeyab"]["arrays"]
    assert values["pjreddie"]["boxes-shapes1.jpg"] != values["alexeyab"]["boxes-shapes1.jpg"]


LINES = [
    Line("a.cfg", "alexeyab", "svg", "01"),
    Line("a.cfg", "alexeyab", "yaml", "02"),
    Line("b.cfg", "auto", "x", "3"),
]


def test_find_differences_lists_changed_removed_and_added_lines() -> None:
    changed = [LINES[0], LINES[1]._replace(value="7"), Line("c.cfg", "auto", "x", "4")]
    assert find_differences(LINES, LINES) == []
    assert find_differences(LINES, changed) == [
        "- a.cfg\talexeyab\tyaml\t02",
        "+ a.cfg\talexeyab\tyaml\t7",
        "- b.cfg\tauto\tx\t3",
        "+ c.cfg\tauto\tx\t4",
    ]


@pytest.mark.parametrize(("change", "status"), [("02", 0), ("03", 1)])
def test_compare_with_difference_exits_1(change: str, status: int, tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("".join(f"{line}\n" for line in LINES))
    new.write_text(old.read_text().replace("02", change))
    result = CliRunner().invoke(main, ["--compare", str(old), str(new)])
    assert result.exit_code == status
    assert ("+ a.cfg\talexeyab\tyaml\t03\n" in result.stdout) is bool(status)
    assert read_lines(old) == LINES


@pytest.mark.parametrize(("text", "message"), [(None, "No such file"), ("a\tb\n", "got 2 fields; expected")])
def test_compare_with_file_without_snapshot_exits_2(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "old.txt").write_text(text)
    result = CliRunner().invoke(main, [str(tmp_path / "old.txt")])
    assert result.exit_code == 2
    assert message in result.stderr
