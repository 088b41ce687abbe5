"""A network printed as cfg, edited, and as YAML: what is read back is the same network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import darkparse
from darkparse.cli.main import darkparse as darkparse_command
from darkparse.diagnostics.source import Source
from darkparse.layers.convolutional import Convolutional
from darkparse.layers.yolo_heads import GaussianYolo, Yolo
from darkparse.network.io.cfg import format_section
from tests.conftest import DATA, needs_shared, original_params, shipped_cfgs
from tests.layers.small_networks import SMALL, compile_small, find_distinct_dialects


def facts(network: darkparse.Network) -> object:
    """Everything that makes a network what it is, but the places in its text."""
    nodes = [(n.layer, n.inputs, n.in_shapes, n.out_shape, n.shared_with) for n in network.nodes]
    return network.dialect.name, network.net, nodes


def unprinted(network: darkparse.Network) -> str:
    """The network as a cfg of which no section has a text to keep."""
    layers = [format_section(node.layer, None, network.dialect) for node in network.nodes]
    return "".join([format_section(network.net, None, network.dialect), *layers])


@pytest.mark.parametrize(
    "path", [*SMALL, *(pytest.param(path, marks=pytest.mark.slow) for path in shipped_cfgs())], ids=lambda p: p.stem
)
def test_to_cfg_and_to_yaml_round_trip(path: Path) -> None:
    for dialect in find_distinct_dialects(path):
        network = compile_small(path, dialect)
        assert facts(darkparse.compile(darkparse.to_cfg(network), dialect=dialect)) == facts(network)
        assert facts(darkparse.compile(unprinted(network), dialect=dialect)) == facts(network)
        assert facts(darkparse.from_yaml(darkparse.to_yaml(network))) == facts(network)


def test_to_cfg_keeps_side_file_in_directory_with_spaces(tmp_path: Path) -> None:
    """Darknet deletes every space of a cfg, so that no path with one can be said in it."""
    cfg = tmp_path / "my networks" / "my net.cfg"
    cfg.parent.mkdir()
    (cfg.parent / "x.tree").write_text("a -1\nb -1\n", "utf-8")
    cfg.write_text(
        "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\n[avgpool]\n[softmax]\ntree=x.tree\n", "utf-8"
    )
    network = darkparse.compile(cfg)
    assert "tree=x.tree" in darkparse.to_cfg(network)
    assert darkparse.edit(network, size=16).net.width == 16
    assert darkparse.from_yaml(darkparse.to_yaml(darkparse.edit(network, upto=1))).name == "my net"


@needs_shared
@pytest.mark.parametrize("path", original_params())
def test_original_cfg_round_trips(path: Path) -> None:
    network = darkparse.compile(path)
    assert facts(darkparse.compile(darkparse.read(darkparse.to_cfg(network)))) == facts(network)


@pytest.mark.parametrize("path", shipped_cfgs(), ids=lambda path: path.stem)
def test_to_cfg_of_unchanged_network_keeps_text(path: Path) -> None:
    network = darkparse.compile(path)
    assert darkparse.to_cfg(network) == str(network.config).lstrip("\n")


def changed_lines(before: darkparse.Network, after: darkparse.Network) -> list[tuple[str, str]]:
    old, new = darkparse.to_cfg(before).splitlines(), darkparse.to_cfg(after).splitlines()
    return [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]


def test_edit_classes_changes_heads_and_filters_before_them() -> None:
    network = darkparse.compile("yolov3")
    edited = darkparse.edit(network, classes=3, size=320)
    assert changed_lines(network, edited) == [
        ("width=608", "width=320"),
        ("height=608", "height=320"),
        *[("filters=255", "filters=24"), ("classes=80", "classes=3")] * 3,
    ]
    assert [edited.nodes[i].out_shape.c for i in edited.heads] == [24, 24, 24]


def test_edit_classes_of_detection_head_and_classifier() -> None:
    grid = darkparse.edit(darkparse.compile("yolov1"), classes=3)
    assert grid.nodes[-1].out_shape.size == 7 * 7 * (3 * 5 + 3)
    assert darkparse.edit(darkparse.compile("darknet53"), classes=7).nodes[-1].out_shape.size == 7


def test_edit_upto_keeps_first_layers() -> None:
    cut = darkparse.edit(darkparse.compile("yolov3"), upto=74)
    assert len(cut.nodes) == 74
    assert cut.outputs == (73,)
    assert darkparse.to_cfg(cut).endswith("activation=leaky\n")


def test_edit_replaced_head_gets_its_channels() -> None:
    network = darkparse.compile("yolov3-tiny")
    head = network.nodes[16].layer
    assert isinstance(head, Yolo)
    swapped = GaussianYolo(classes=80, num=6, mask=head.mask, anchors=head.anchors)
    edited = darkparse.edit(darkparse.compile("yolov3-tiny", dialect="alexeyab"), layers={16: swapped})
    assert edited.nodes[15].out_shape.c == 3 * (9 + 80)
    assert "[Gaussian_yolo]" in darkparse.to_cfg(edited)


def test_edit_replaced_convolution_uses_dialect_arithmetic() -> None:
    network = darkparse.compile("yolov3-tiny", dialect="alexeyab")
    edited = darkparse.edit(network, layers={0: Convolutional(filters=16, size=3, pad=True, xnor=True)})
    layer = edited.nodes[0].layer
    assert isinstance(layer, Convolutional)
    assert (layer.xnor, layer.xnor_joins_groups) == (True, True)


def test_edit_anchors_replaces_them_in_every_head() -> None:
    network = darkparse.compile("yolov4-tiny")
    edited = darkparse.edit(network, anchors=range(1, 13))
    assert all(edited.nodes[i].layer.anchors == tuple(range(1, 13)) for i in edited.heads)  # type: ignore[attr-defined]


def test_edit_keeps_comments_and_training_options() -> None:
    net = "# mine\n[net]\nwidth=32\nheight=32\nchannels=3\nburn_in=7 # warm\n"
    text = f"{net}\n# the one\n[convolutional]\n; odd\nfilters = 4 # four\nlearning_rate=2\n"
    network = darkparse.compile(text)
    layer = network.nodes[0].layer
    assert isinstance(layer, Convolutional)
    edited = darkparse.edit(network, layers={0: replace(layer, filters=8, pad=True)})
    assert darkparse.to_cfg(edited) == text.replace("4 # four", "8").rstrip("\n") + "\npad=1\n"


def test_to_cfg_normalizes_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_bytes("\ufeff[net]\r\nwidth=8\r\nheight=8\r\nchannels=3\r\n\r\n[avgpool]\r\n".encode())
    assert darkparse.to_cfg(darkparse.compile(path)) == "[net]\nwidth=8\nheight=8\nchannels=3\n\n[avgpool]\n"


def test_edit_option_unsupported_by_dialect_raises() -> None:
    network = darkparse.compile("yolov3-tiny", dialect="pjreddie")
    layer = network.nodes[0].layer
    assert isinstance(layer, Convolutional)
    with pytest.raises(darkparse.DarkparseError, match="pjreddie/darknet does not support dilation="):
        darkparse.edit(network, layers={0: replace(layer, dilation=2)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"upto": 0}, "upto must be 1 to 24"),
        ({"classes": 0}, "classes must be at least 1"),
        ({"anchors": (1, 2, 3)}, "pairs of width and height"),
        ({"layers": {99: Yolo()}}, "cannot replace layer 99"),
        ({"size": 0}, "at least 1×1"),
    ],
)
def test_edit_with_wrong_argument_raises(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(darkparse.DarkparseError, match=message):
        darkparse.edit(darkparse.compile("yolov3-tiny"), **arguments)  # type: ignore[arg-type]


def test_edit_classes_without_head_raises() -> None:
    network = darkparse.compile("[net]\nwidth=8\nheight=8\nchannels=3\n[avgpool]\n")
    with pytest.raises(darkparse.DarkparseError, match="neither a detection head nor a softmax"):
        darkparse.edit(network, classes=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers: [", ":1:10: error: invalid YAML: did not find expected node content"),
        ("\ud800: 1", r":1:1: error: invalid YAML: character U\+D800 is not allowed"),
        ("a: 1", ":1:1: error: unknown key 'a' in the network"),
        ("name: a", ":1:1: error: no key `layers`"),
        ("layers: [3]", ":1:10: error: invalid value of layer; expected a mapping"),
        ("layers:\n- kind: avgpool\n  options: {'[x': 1}", ":3:13: error: invalid option name"),
        ("layers:\n- kind: 'avg\n\n    pool'", ":2:9: error: invalid `kind`"),
    ],
)
def test_from_yaml_of_other_document_raises(text: str, message: str) -> None:
    with pytest.raises(darkparse.DarkparseError, match=message):
        darkparse.from_yaml(text)


def test_from_yaml_keeps_training_options() -> None:
    network = darkparse.from_yaml(darkparse.to_yaml(darkparse.compile("yolov3-tiny")))
    assert "ignore_thresh=0.7" in darkparse.to_cfg(network)
    assert network.name == "yolov3-tiny"


def test_edit_command_writes_cfg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new.cfg"
    main_with(["edit", "yolov3", "--classes", "3", "--size", "320", "--upto", "74", "-o", str(out)])
    assert "--classes has no effect" in " ".join(capsys.readouterr().err.split())
    assert len(darkparse.compile(out).nodes) == 74
    main_with(["edit", "yolov3-tiny", "--classes", "2"])
    printed = capsys.readouterr().out
    assert darkparse.compile(darkparse.read(printed)).nodes[-1].out_shape.c == 21


def main_with(arguments: list[str]) -> None:
    """Run the command line, which is to succeed."""
    darkparse_command.main(arguments, standalone_mode=False)


def test_to_cfg_names_side_file_by_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "words.tree").write_text("a -1\nb -1\n")
    path = tmp_path / "t.cfg"
    path.write_text("[net]\ninputs=2\n[softmax]\ntree=words.tree\n")
    printed = darkparse.to_cfg(darkparse.compile(path))
    assert str(tmp_path / "words.tree") in printed
    assert facts(darkparse.compile(printed)) == facts(darkparse.compile(path))
    assert Source("x", printed).text == printed


def test_from_yaml_reads_file(tmp_path: Path) -> None:
    network = darkparse.compile("yolov3-tiny")
    path = tmp_path / "x.yaml"
    path.write_text(network.to_yaml(), "utf-8")
    assert facts(darkparse.from_yaml(path)) == facts(darkparse.from_yaml(str(path))) == facts(network)
    assert network.to_cfg() == darkparse.to_cfg(network)
    with pytest.raises(darkparse.DarkparseError, match=r"none\.yaml"):
        darkparse.from_yaml(tmp_path / "none.yaml")


def test_save_cfg_keeps_bytes_of_other_encoding(tmp_path: Path) -> None:
    original = DATA / "cases" / "gbk-comment.cfg"
    darkparse.save_cfg(darkparse.compile(original), tmp_path / "o.cfg")
    assert (tmp_path / "o.cfg").read_bytes() == original.read_bytes()
    edited = darkparse.edit(darkparse.compile(original), size=32)
    darkparse.save_cfg(edited, tmp_path / "o.cfg")
    assert (tmp_path / "o.cfg").read_bytes() == original.read_bytes().replace(b"=16", b"=32")


def test_save_cfg_of_lone_surrogate_keeps_old_file(tmp_path: Path) -> None:
    network = darkparse.compile("# \ud800\n[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\n")
    (tmp_path / "o.cfg").write_text("as it was")
    with pytest.raises(darkparse.DarkparseError, match=r"line 1 of the cfg contains U\+D800"):
        darkparse.save_cfg(network, tmp_path / "o.cfg")
    assert (tmp_path / "o.cfg").read_text() == "as it was"


def test_save_cfg_into_missing_folder_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        darkparse.save_cfg(darkparse.compile("yolov3-tiny"), tmp_path / "missing" / "o.cfg")
