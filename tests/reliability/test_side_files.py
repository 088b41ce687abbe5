"""Which of the files that a cfg names are read, and from where."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

import darkparse
from darkparse.cli import main

TEXT = "[net]\ninputs=4\n[connected]\noutput=3\n[softmax]\ntree={}\n"
TREE = "a -1\nb -1\nc 0\n"


def _is_read(cfg: Path | darkparse.Config) -> bool:
    network = darkparse.compile(cfg)
    if not network.diagnostics:
        assert network.nodes[1].modules[0].kwargs["group_sizes"] == (2, 1)
        return True
    assert [d.code for d in network.diagnostics] == ["no-file"]
    with pytest.raises(darkparse.DarkparseError, match="no such file in the directories of the cfg"):
        network.nodes[1].modules  # noqa: B018
    return False


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a cfg's folder, a home, and a tree in each of its folders."""
    for folder in ("project/cfg/data", "project/other", "home/inside", "secret"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.tree").write_text(TREE)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir("/")
    return tmp_path


def _cfg(place: Path, tree: str | Path) -> Path:
    path = place / "project" / "cfg" / "x.cfg"
    path.write_text(TEXT.format(tree))
    return path


@pytest.mark.parametrize("tree", ["data/x.tree", "other/x.tree", "../other/x.tree"])
def test_side_file_below_cfg_directory_or_parent_is_read(place: Path, tree: str) -> None:
    assert _is_read(_cfg(place, tree))


def test_side_file_by_absolute_path_is_read(place: Path) -> None:
    assert _is_read(_cfg(place, place / "project" / "other" / "x.tree"))


@pytest.mark.parametrize("tree", ["../../secret/x.tree", "{0}/secret/x.tree", "link.tree", "folder/x.tree"])
def test_side_file_elsewhere_is_not_read(place: Path, tree: str) -> None:
    (place / "project" / "cfg" / "link.tree").symlink_to(place / "secret" / "x.tree")
    (place / "project" / "cfg" / "folder").symlink_to(place / "secret")
    (place / "project" / "cfg" / "self.tree").symlink_to("self.tree")
    assert not _is_read(_cfg(place, tree.format(place)))
    assert not _is_read(_cfg(place, "self.tree"))


def test_side_file_in_working_directory_is_read_unless_home_or_root(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, inside = (_cfg(place, "x.tree").parent / "../.." / folder for folder in ("secret", "home/inside"))
    for folder, is_read in ((secret, True), (inside, True), (inside.parent, False), (Path("/"), False)):
        monkeypatch.chdir(folder)
        tree = (folder / "x.tree").resolve() if is_read else inside / "x.tree"
        assert _is_read(_cfg(place, tree)) is is_read
        assert _is_read(darkparse.read(TEXT.format(tree.resolve()))) is is_read


@pytest.mark.parametrize(
    "first", ["secret", "secret 12345", "secret x12345", "12345 12345", "root:x:0:0:secret", "\u00e9 -2", "99999999999"]
)
@pytest.mark.parametrize("body", ["[softmax]\ntree=x.tree\n", "[region]\nclasses=3\nnum=1\nanchors=1,1\nmap=x.tree\n"])
def test_side_file_of_other_type_is_refused_without_its_content(
    first: str, body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where `draw` writes
    (tmp_path / "x.tree").write_text(f"{first}\n", "utf-8")
    net = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=8\n"
    weights = tmp_path / "x.weights"
    darkparse.save_weights(darkparse.build(f"{net}[softmax]\n", initialize=True), weights)
    (tmp_path / "x.cfg").write_text(net + body, "utf-8")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    commands = [[name, tmp_path / "x.cfg"] for name in ("show", "check", "explain", "draw", "emit")]
    commands.append(["detect", tmp_path / "x.cfg", weights, tmp_path / "x.png", "--use-class-map"])
    told = ""
    for arguments in commands:
        with suppress(SystemExit):
            main(list(map(str, arguments)))
        told += "".join(capsys.readouterr())
    assert "x.tree:1: invalid line of a " in told
    assert "secret" not in told
    assert "12345" not in told
    assert "99999999999" not in told


@pytest.mark.parametrize("tree", ["/proc/self/status", "/dev/zero", "/sys/kernel/notes"])
def test_side_file_of_system_is_not_read(place: Path, tree: str) -> None:
    config = darkparse.read(_cfg(place, tree), folders=["/", "/proc", "/dev"])
    assert [d.code for d in darkparse.compile(config).diagnostics] == ["no-file"]


def test_side_file_in_given_folders_is_read(place: Path) -> None:
    path = _cfg(place, "x.tree")
    assert not _is_read(path)
    assert _is_read(darkparse.read(path, folders=[place / "secret"]))
    assert _is_read(darkparse.read(darkparse.read(path), folders=[place / "secret"]))
    assert not _is_read(darkparse.read(_cfg(place, "other/x.tree"), folders=[place / "secret"]))


def test_container_reads_no_side_file_outside_its_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "project")
    model = darkparse.load(_cfg(place, "other/x.tree"))
    for folder, is_read in (("project", True), ("project/cfg", False)):
        path = place / folder / "x.npz"
        darkparse.save(model, path)
        if is_read:
            assert not darkparse.load(path).network.diagnostics
        else:
            with pytest.raises(darkparse.DarkparseError, match="no such file in the directories"):
                darkparse.load(path)
