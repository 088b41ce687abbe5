"""Docstrings of functions start with an imperative verb, those of properties with a noun phrase."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.project.source_files import FILES, get_relative_path, list_nodes

VERBS = """
Accept Add Allocate Append Apply Arrange Assign Average Bind Block Blur Build Call Change Check Choose Clear Clip
Collapse Collect Combine Compare Compile Compute Concatenate Connect Convert Convolve Copy Count Create Crop Declare
Decode Decorate Delete Demonstrate Describe Detect Determine Divide Do Draw Emit Enclose Encode End Escape Estimate
Evaluate Expand Explain Export Extend Find Fit Flatten Fold Format Gather Generate Get Group Guess Handle Identify
Inline Insert Invert Join Keep Kill Lay List Load Lock Lower Make Map Match Measure Merge Modify Move Multiply Name
Normalize Number Open Pad Parse Place Prefix Prepare Prepend Prevent Print Raise Read Redirect Refuse Register
Reinterpret Release Remove Rename Render Reorder Repeat Replace Report Reset Reshape Resize Resolve Restore Return
Rewrite Run Sample Save Scale Select Set Shift Shorten Show Shrink Slice Sort Split Start Stop Store Subtract Suggest
Sum Summarize Take Trace Train Transform Update Warn Wire Wrap Write Yield
"""
"""First words of function docstrings. Add a verb here if no other one fits."""
KNOWN_VERBS = frozenset(VERBS.split())
PROPERTIES = {"property", "cached_property"}


def iterate_docstrings(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Yield each function that has a docstring, and the docstring."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (docstring := ast.get_docstring(node)):
            yield node, docstring


def is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is decorated as a property."""
    return any(isinstance(name, ast.Name) and name.id in PROPERTIES for name in function.decorator_list)


def find_wrong_starts(nodes: Iterable[ast.AST]) -> list[str]:
    """Return the line and the first word of each docstring that does not start as it should."""
    wrong = []
    for function, docstring in iterate_docstrings(nodes):
        word = docstring.split()[0].strip(".,:;")
        if (word in ("Return", "Returns")) if is_property(function) else (word not in KNOWN_VERBS):
            wrong.append(f"line {function.lineno}, {function.name}: {word}")
    return wrong


@pytest.mark.slow
def test_function_docstrings_start_with_a_verb() -> None:
    wrong = [f"{get_relative_path(path)}, {start}" for path in FILES for start in find_wrong_starts(list_nodes(path))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "num_wrong"),
    [
        ('def f():\n    """Return the shape."""\n', 0),
        ('def f():\n    """The shape of the layer."""\n', 1),
        ('class A:\n    @property\n    def f(self):\n        """Shape of the layer."""\n', 0),
        ('class A:\n    @property\n    def f(self):\n        """Return the shape."""\n', 1),
    ],
)
def test_wrong_start_of_docstring_is_found(source: str, num_wrong: int) -> None:
    assert len(find_wrong_starts(ast.walk(ast.parse(source)))) == num_wrong
