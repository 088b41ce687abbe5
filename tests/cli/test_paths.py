"""A path that exists is a file, whatever its name looks like."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import darkparse
from tests.reliability.commands import HEAD

if sys.platform == "win32":
    pytest.skip("needs file names that Windows does not allow: run it on Linux or macOS", allow_module_level=True)

NAMES = ["[net].cfg", "[net]", " [a", "a\nb.cfg", "[net]\nwidth=8\nheight=8\n[softmax]", "\n"]


@pytest.mark.parametrize("name", NAMES)
def test_read_existing_path_reads_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(HEAD, "utf-8")
    assert str(darkparse.read(name)) == HEAD
    assert len(darkparse.compile(name).nodes) == 2
    model = darkparse.build(darkparse.compile(name), initialize=True)
    Path(name).unlink()
    darkparse.save(model, "x.npz")
    Path("x.npz").rename(f"{name}.npz")
    assert darkparse.load(f"{name}.npz").loaded is not None


@pytest.mark.parametrize("name", NAMES)
def test_read_folder_or_broken_link_names_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    with pytest.raises(darkparse.DarkparseError, match=r"Is a directory|no such file"):
        darkparse.read(name)
    Path(name).rmdir()
    Path(name).symlink_to("none")
    with pytest.raises(darkparse.DarkparseError, match=r"(?i)no such file"):
        darkparse.read(name)


@pytest.mark.parametrize("name", ["a\nb.yaml", "[net]", "net: {}\n"])
def test_from_yaml_existing_path_reads_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(darkparse.to_yaml(darkparse.compile(HEAD)), "utf-8")
    assert len(darkparse.from_yaml(name).nodes) == 2


def test_read_text_that_is_not_a_path_parses_it() -> None:
    assert str(darkparse.read(HEAD)) == HEAD
    assert len(darkparse.read(HEAD + "# long\n" * 10_000).sections) == 2
    with pytest.raises(darkparse.DarkparseError):
        darkparse.read("[net]\0")
