"""Formats that other tools write: the error names the tool, and docs/howto/runtimes.md has the same table."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from darkparse.cli.convert import TARGETS, find_target
from darkparse.cli.other_formats import OTHER_FORMATS
from tests.conftest import ROOT


@pytest.mark.parametrize("extension", OTHER_FORMATS)
def test_format_of_another_tool_is_refused_with_the_way_to_make_it(extension: str) -> None:
    with pytest.raises(click.UsageError) as problem:
        find_target(Path(f"x{extension.upper()}"))
    assert problem.value.message.endswith(f"does not write {extension} files\nhint: {OTHER_FORMATS[extension]}")


def test_docs_list_the_formats_of_other_tools() -> None:
    rows = (ROOT / "docs" / "howto" / "runtimes.md").read_text("utf-8").splitlines()
    expected = [f"| `{extension}` | {way} |" for extension, way in OTHER_FORMATS.items()]
    start = rows.index(expected[0])
    assert rows[start : start + len(expected) + 1] == [*expected, ""]
    assert not OTHER_FORMATS.keys() & TARGETS.keys()
