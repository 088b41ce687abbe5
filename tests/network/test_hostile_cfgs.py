"""Values that make no sense are one error with a place, and nothing that makes sense is refused."""

from __future__ import annotations

import pytest

import darkparse
from darkparse.layers.anchors import get_anchor_pairs

YOLO = "[yolo]\nclasses=1\nnum=3\nmax=90\nanchors=1,2,3,4,5,6\n"
NET = "[net]\nheight=8\nwidth=8\nchannels=3\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rnn]\nhidden=-5\noutput=4\n", "hidden must be at least 1, got -5"),
        ("[crnn]\nhidden=0\n", "hidden must be at least 1"),
        ("[crnn]\nhidden=4\noutput=4\npad=1\ngroups=3\nsize=3\n[conv]\nstride_x=1\n", "groups=3 does not divide"),
        ("[crnn]\nhidden=1\noutput=6\npad=1\ngroups=3\n", "groups=3 does not divide 3 channels and 1 filters"),
        ("[conv_lstm]\noutput=3\nstride=0\n", "stride must be at least 1"),
        ("[deconvolutional]\nsize=0\n", "size must be at least 1"),
        ("[deconvolutional]\nstride=0\nsize=1\n", "stride must be at least 1"),
        ("[deconvolutional]\nsize=1\npadding=-4\n", "padding must be at least 0"),
        ("[local]\nsize=3\nstride=0\n", "stride must be at least 1"),
        ("[convolutional]\nsize=3\npadding=-1\n", "padding must be at least 0"),
        ("[normalization]\nsize=-3\n", "size must be at least 1"),
        ("[yolo]\nnum=1\nclasses=-3\n", "classes must be at least 0"),
        ("[region]\nnum=-1\nclasses=-21\n", "num must be at least 1"),
        ("[region]\ncoords=1\n", "coords must be at least 4"),
        ("[detection]\nside=-1\n", "side must be at least 1"),
        ("[maxpool]\nsize=2\nstride=0\nantialiasing=1\n", "stride must be at least 1"),
        ("[reorg3d]\nstride=0\nreverse=1\n", "stride must be at least 1"),
        ("[implicit]\nfilters=0\n", "filters must be at least 1"),
        ("[shortcut]\nfrom\n", r"\[shortcut\] requires from="),
        ("[route]\nlayers\n", r"\[route\] requires layers="),
        (f"[convolutional]\nfilters={'9' * 5000}\n", "the limit of Darknet's int"),
        ("[yolo]\nnum=2000000000\n", "num must be at most 1,000, got 2,000,000,000"),
        (
            "[softmax]\n[connected]\noutput=3\n[shortcut]\nfrom=0\n",
            "a vector can only be added to a vector of the same length",
        ),
        (
            "[softmax]\n[connected]\noutput=192\n[sam]\nfrom=0\n",
            r"\[sam\] requires a map, got a vector of 192 values",
        ),
    ],
)
def test_hostile_cfg_is_one_error_with_place(text: str, message: str) -> None:
    with pytest.raises(darkparse.CfgError, match=message) as caught:
        darkparse.compile(NET + text)
    assert caught.value.diagnostics[0].span is not None


def test_max_of_yolo_head_is_no_dialect_evidence() -> None:
    """pjreddie's parser.c parse_yolo reads it too."""
    network = darkparse.compile(NET + "[convolutional]\nfilters=18\nactivation=linear\n" + YOLO)
    assert network.dialect.name == "pjreddie"
    assert not network.diagnostics


def test_anchor_pairs_beyond_list_are_one_half() -> None:
    assert get_anchor_pairs((1.0, 2.0, 3.0), (0, 1, 7)) == ((1.0, 2.0), (3.0, 0.5), (0.5, 0.5))


def test_batchnorm_after_connected_takes_vector() -> None:
    import torch

    model = darkparse.load(NET + "[connected]\noutput=8\n[batchnorm]\n[connected]\noutput=4\n")
    with torch.inference_mode():
        outputs = model.layer_outputs(torch.rand(2, 3, 8, 8))
    assert [tuple(output.shape[1:]) for output in outputs] == [node.out_shape.tensor for node in model.network.nodes]


def test_draw_cfg_with_bytes_outside_utf_8_renders() -> None:
    text = (NET.encode() + b"[convolutional]\n# caf\xe9\nfilters=2\n").decode("utf-8", "surrogateescape")
    assert b"caf" in darkparse.draw(darkparse.compile(text)).data("html")


def test_explain_network_of_single_head() -> None:
    assert "1 layer" in str(
        darkparse.explain(darkparse.compile("[net]\nheight=1\nwidth=1\nchannels=6\n[yolo]\nclasses=1\n"))
    )


def test_depthwise_and_strided_1x1_convolutions_are_described_correctly() -> None:
    from darkparse.views.text.table import table

    text = "[convolutional]\nfilters=8\n[convolutional]\nfilters=8\ngroups=8\n[convolutional]\nfilters=8\nstride=2\n"
    network = darkparse.compile(NET + text)
    assert [row.reduction for row in table(network)] == ["C ×2.67", "none, depthwise", "H×W ÷2"]
    assert "not mixed" in str(darkparse.explain(network, 1))
    assert "reduces nothing" not in str(darkparse.explain(network, 2))
