"""Edits that a network does not allow end in one error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import darkparse
from darkparse.network.compile_options import CompileOptions
from darkparse.network.dynamic_axes import DynamicAxes, check_export_form
from darkparse.network.heads import get_decoder, get_head

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
YOLO = "[convolutional]\nfilters=14\n[yolo]\nclasses=2\nnum=2\nmask=0,1\nanchors=1,1,2,2\n"


@pytest.mark.parametrize(
    ("sections", "changes", "message"),
    [
        (YOLO, {"anchors": (1, 1, 2, 0)}, "anchors must be above 0, got 0"),
        (YOLO, {"anchors": (1, 1, 2)}, "anchors must be pairs of width and height, got 3 numbers"),
        (
            YOLO,
            {"anchors": (1, 1)},
            r"too few anchors, got 1; expected at least 2 for mask=\(0, 1\) of layer 1 \[yolo\]",
        ),
        (YOLO, {"classes": 0}, "classes must be at least 1, got 0"),
        (YOLO, {"upto": 0}, "upto must be 1 to 2, the number of layers; got 0"),
        (YOLO, {"upto": 3}, "upto must be 1 to 2, the number of layers; got 3"),
        (YOLO, {"layers": {2: None}}, "cannot replace layer 2; .* has layers 0 to 1"),
        (YOLO, {"size": (1, 2, 3)}, r"invalid size \(1, 2, 3\); expected n or \(height, width\), in pixels"),
        (YOLO, {"net": {"btach": 4}}, r"unknown \[net\] option 'btach'; did you mean batch"),
        (YOLO, {"net": {"batch": ""}}, r"\[net\] option batch has no value; expected KEY=VALUE"),
        ("[avgpool]\n", {"anchors": (1, 1)}, "cannot set anchors: the network has no head with anchors"),
        ("[avgpool]\n", {"classes": 2}, "the network has neither a detection head nor a softmax layer"),
        ("[avgpool]\n[softmax]\n", {"classes": 2}, "cannot change channels of the network's input, .* have to be 2"),
        (
            "[convolutional]\nfilters=2\n[route]\nlayers=-1,0\n[avgpool]\n[softmax]\n",
            {"classes": 5},
            r"cannot change the output of layer 1 \[route\] to 5 channels: it combines other layers",
        ),
    ],
)
def test_edit_that_is_not_possible_raises(sections: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(darkparse.DarkparseError, match=message):
        darkparse.edit(darkparse.compile(NET + sections, dialect="alexeyab"), **changes)


def test_edit_of_shared_convolution_changes_both() -> None:
    text = (
        "[convolutional]\nfilters=4\n[convolutional]\nfilters=3\n[route]\nlayers=0\n"
        "[convolutional]\nfilters=3\nshare_index=1\n[avgpool]\n[softmax]\n"
    )
    network = darkparse.edit(darkparse.compile(NET + text, dialect="alexeyab"), classes=5)
    assert [node.out_shape.c for node in network.nodes] == [4, 5, 4, 5, 5, 5]
    assert network.nodes[3].shared_with == 1


def test_option_without_value_gets_the_new_one() -> None:
    network = darkparse.compile(NET + YOLO.replace("classes=2\n", "classes\n").replace("14", "50"), dialect="alexeyab")
    assert "\nclasses=2\n" in darkparse.to_cfg(darkparse.edit(network, classes=2))


@pytest.mark.parametrize(
    ("text", "heads", "message"),
    [
        ("[net]\ninputs=4\n[connected]\noutput=3\n", "raw", "takes a vector, so height and width cannot be dynamic"),
        (NET + "[connected]\noutput=3\n", "raw", r"layer 0 \[connected\] requires a fixed input size"),
        (
            NET + "[convolutional]\nfilters=7\n[detection]\nside=8\nnum=1\ncoords=4\nclasses=2\n",
            "raw",
            r"layer 1 \[detection\] requires a fixed input size",
        ),
        (NET + "[crnn]\nsize=3\npad=1\n", "raw", r"layer 0 \[crnn\] requires a fixed input size"),
        (NET + YOLO + "[avgpool]\n", "features", "layer 1 is a head that other layers read"),
        (NET + "[avgpool]\n", "decoded", "has no detection head to decode; expected heads raw, got decoded"),
    ],
)
def test_form_of_export_that_is_not_possible_raises(text: str, heads: Any, message: str) -> None:
    network = darkparse.compile(text, dialect="alexeyab")
    with pytest.raises(darkparse.DarkparseError, match=message):
        check_export_form(network, heads, DynamicAxes(size=True))


def test_layers_without_boxes_have_no_decoder() -> None:
    network = darkparse.compile(NET + "[convolutional]\nfilters=3\n[iseg]\nclasses=2\nids=1\n", dialect="pjreddie")
    for node in network.nodes:
        with pytest.raises(darkparse.DarkparseError, match=r"layer \d \[\w+\]"):
            get_decoder(node, hierarchy=0.5, use_class_map=False)
    with pytest.raises(darkparse.DarkparseError, match=r"layer 0 \[convolutional\]"):
        get_head(network.nodes[0])


@pytest.mark.parametrize(
    "options", [{"size": 16}, {"dialect": "pjreddie"}, {"options": CompileOptions(reorg="reorg3d")}]
)
def test_compile_of_compiled_network_with_other_options_raises(options: dict[str, Any]) -> None:
    network = darkparse.compile(NET + YOLO, dialect="alexeyab")
    assert darkparse.compile(network) is network
    assert darkparse.compile(network, dialect="alexeyab") is network
    with pytest.raises(darkparse.DarkparseError, match=r"is already compiled; pass its cfg \(network.config\)"):
        darkparse.compile(network, **options)


def test_edit_of_last_option_precedes_added_ones() -> None:
    network = darkparse.compile(f"{NET}[convolutional]\nfilters=4\nsize=3\nactivation=linear", dialect="alexeyab")
    layer: Any = network.nodes[0].layer
    edited = darkparse.edit(network, layers={0: replace(layer, stride_x=2, pad=True, activation="relu")})
    assert darkparse.to_cfg(edited).split("[convolutional]\n")[1] == (
        "filters=4\nsize=3\nactivation=relu\nstride_x=2\npad=1\n"
    )
