"""Files are whole or not there."""

from __future__ import annotations

import os
import sys
from errno import ENOSPC
from io import BytesIO
from pathlib import Path

import pytest

from darkparse._utils.files import atomic_write, deferred_errors, remove_leftovers


def test_atomic_write_after_error_keeps_target(tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    target.write_text("old")

    def break_off(problem: BaseException) -> None:
        with atomic_write(target) as part:
            part.write_text("half")
            assert part.suffix == ".png"
            raise problem

    for problem in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(problem)):
            break_off(problem)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    with atomic_write(target) as part:
        part.write_text("new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


def test_atomic_write_error_names_target(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "no" / "x.png"):
        with pytest.raises(OSError, match=str(target)), atomic_write(target) as part:
            part.write_text("new")


def test_atomic_write_removes_leftovers_of_dead_writers_only(tmp_path: Path) -> None:
    left, other = tmp_path / ".part-0123abcd-x.png", tmp_path / ".part-0123abcd-y.png"
    left.write_text("half")
    other.write_text("half")
    with atomic_write(tmp_path / "x.png") as first:
        assert not left.exists()
        assert other.exists()
        first.write_text("first")
        with atomic_write(tmp_path / "x.png") as second:
            assert first.exists()
            second.write_text("second")
    assert (tmp_path / "x.png").read_text() == "first"
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.skipif(
    sys.platform == "win32", reason="needs file names that Windows does not allow: run it on Linux or macOS"
)
@pytest.mark.parametrize("letter", ["a", "é", "日", "\U0001f600", "\udcff"])
def test_atomic_write_of_longest_name_succeeds(letter: str, tmp_path: Path) -> None:
    most = os.pathconf(tmp_path, "PC_NAME_MAX")
    name = letter * ((most - 4) // len(os.fsencode(letter))) + ".png"
    for text in ("old", "new"):
        with atomic_write(tmp_path / name) as part:
            assert part.suffix == ".png"
            part.write_text(text)
    with atomic_write(tmp_path / name) as part:
        (tmp_path / f".part-0123abcd-{name[-60:]}").touch()  # as a kill leaves it
        part.write_text("newer")
    with atomic_write(tmp_path / name) as part:
        part.write_text("newest")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "newest"
    with pytest.raises(OSError, match="File name too long"), atomic_write(tmp_path / f"x{'x' * most}"):
        pass


def test_deferred_errors_raise_at_end(tmp_path: Path) -> None:
    written: list[int] = []

    class Full(BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(ENOSPC, "No space left on device")

    def write() -> None:
        with deferred_errors(Full()) as file:
            written.extend(file.write(part) for part in (b"a", b"bc"))

    with pytest.raises(OSError, match="No space left"):
        write()
    assert written == [1, 2]
