"""Files are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkparse.files import unfinished


def test_after_an_error_the_target_is_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    target.write_text("old")

    def break_off(problem: BaseException) -> None:
        with unfinished(target) as part:
            part.write_text("half")
            assert part.suffix == ".png"
            raise problem

    for problem in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(problem)):
            break_off(problem)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    with unfinished(target) as part:
        part.write_text("new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


def test_an_error_names_the_target(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "no" / "x.png"):
        with pytest.raises(OSError, match=str(target)), unfinished(target) as part:
            part.write_text("new")
