"""Values of options as C reads them (atoi, atof, strtok), and word trees and class maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import darkparse
from darkparse.layers import DIALECTS
from darkparse.layers.tree import read_map, read_tree
from darkparse.layers.values import ValueTextError, read_choice, read_first, read_flag, read_float, read_int, read_list

ALEXEYAB, HANK_AI, PJREDDIE = (DIALECTS[name] for name in ("alexeyab", "hank-ai", "pjreddie"))


@pytest.mark.parametrize(
    ("text", "value", "complaint"),
    [
        ("3", 3.0, None),
        ("-.5e1", -5.0, None),
        ("0x1p1", 2.0, None),
        ("0x1p1z", 2.0, "2"),
        ("1.5abc", 1.5, "1.5"),
        ("3.4e38", 3.4e38, None),
        ("-3.4e38", -3.4e38, None),
    ],
)
def test_read_float_equals_atof(text: str, value: float, complaint: str | None) -> None:
    parsed = read_float(text, ALEXEYAB)
    assert parsed.value == value
    assert (parsed.complaint is None) == (complaint is None)
    assert complaint is None or complaint in str(parsed.complaint)


@pytest.mark.parametrize("text", ["3.5e38", "-1e99", "1e999", "0x1p2000", "inf", "-inf"])
def test_read_float_that_is_not_finite_raises(text: str) -> None:
    with pytest.raises(ValueTextError, match=r"expected a (finite value|number)"):
        read_float(text, ALEXEYAB)


@pytest.mark.parametrize("text", ["", "abc", "-", "."])
def test_read_float_without_number_raises(text: str) -> None:
    with pytest.raises(ValueTextError, match="expected a number"):
        read_float(text, ALEXEYAB)


@pytest.mark.parametrize(("text", "value"), [("0", False), ("1", True), ("-2", True), ("0.9", False)])
def test_read_flag_is_true_unless_0(text: str, value: bool) -> None:
    assert read_flag(text, ALEXEYAB).value is value


LISTS: list[tuple[str, Any, tuple[float, ...], str]] = [
    ("1,2,3", ALEXEYAB, (1, 2, 3), ""),
    ("1,2,", ALEXEYAB, (1, 2), "ignores the trailing comma"),
    ("1,2#3", ALEXEYAB, (1, 2), "only reads '1,2'"),
    ("1,2#,", ALEXEYAB, (1, 2), "only reads '1,2'"),
    ("1,2x,3", ALEXEYAB, (1, 2, 3), "2"),
    ("1;2 -3", HANK_AI, (1, 2, -3), ""),
    ("1,2,", HANK_AI, (1, 2), ""),
]


@pytest.mark.parametrize(("text", "dialect", "values", "complaint"), LISTS)
def test_read_list_of_integers_equals_forks(text: str, dialect: Any, values: tuple[float, ...], complaint: str) -> None:
    parsed = read_list(read_int)(text, dialect)
    assert parsed.value == values
    assert complaint in str(parsed.complaint) if complaint else parsed.complaint is None


def test_read_list_of_floats_of_strict_dialect_finds_fractions() -> None:
    assert read_list(read_float)("1.5;.25 -3", HANK_AI).value == (1.5, 0.25, -3)


def test_read_first_returns_first_number_in_fork_only() -> None:
    read = read_first(read_int, fork="pjreddie")
    first = read("4,5", PJREDDIE)
    assert (first.value, first.complaint) == ((4,), "pjreddie/darknet reads the first number only, 4")
    assert read("4", PJREDDIE).complaint is None
    assert read("4,5", ALEXEYAB).value == (4, 5)


def test_read_choice_lists_names_for_completion() -> None:
    assert vars(read_choice("mean", "sum", aliases={"avg": "mean"}))["words"] == ("mean", "sum", "avg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a -1\nb x\n", r":2: invalid line of a tree; expected `name parent`"),
        ("a\n", r":1: invalid line of a tree; expected `name parent`"),
        ("a -2\n", r":1: invalid line of a tree; the parent must be an earlier line"),
        ("a -1\nb 1\n", r":2: invalid line of a tree; the parent must be an earlier line"),
        ("\n \n", r": the tree is empty; expected at least one line `name parent`"),
    ],
)
def test_read_tree_of_invalid_line_raises(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.tree").write_text(text)
    with pytest.raises(darkparse.DarkparseError, match=message):
        read_tree(tmp_path / "x.tree")


def test_read_tree_groups_siblings(tmp_path: Path) -> None:
    (tmp_path / "x.tree").write_text("a -1\nb -1\n\n c 0\nd 0\ne 1\n")
    tree = read_tree(tmp_path / "x.tree")
    assert (tree.names, tree.parents, tree.group_sizes) == (tuple("abcde"), (-1, -1, 0, 0, 1), (2, 2, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n3\n", r":2: invalid line of a map; expected a class index below 3"),
        ("-1\n", r":1: invalid line of a map"),
        ("0000000000000001\n", r":1: invalid line of a map"),
        ("\n", r": the map is empty; expected one class index per line"),
    ],
)
def test_read_map_of_invalid_line_raises(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.map").write_text(text)
    with pytest.raises(darkparse.DarkparseError, match=message):
        read_map(tmp_path / "x.map", 3)


def test_read_map_returns_class_of_each_line(tmp_path: Path) -> None:
    (tmp_path / "x.map").write_text("2\n0\n\n2\n")
    assert read_map(tmp_path / "x.map", 3) == (2, 0, 2)
