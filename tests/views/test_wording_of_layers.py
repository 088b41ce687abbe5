"""Wording of padding, heads, receptive fields, parameters, activations and headlines."""

from __future__ import annotations

import pytest

import darkparse
from darkparse.views.diagram.build import build_diagram
from darkparse.views.text.table import totals

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"


def _explain(cfg: str, layer: int) -> str:
    return str(darkparse.explain(cfg, layer))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            "size=7\nstride=2\npad=1",
            "Padding is 3 pixels on every side (pad=1 is half of size): ⌊(32 + 2·3 − 7)/2⌋ + 1 = 16.",
        ),
        ("size=3\npad=1", "Padding is 1 pixel on every side (pad=1 is half of size): 32 + 2·1 − 3 + 1 = 32."),
        ("size=5\npadding=1\nstride=1", "Padding is 1 pixel on every side (padding=1): 32 + 2·1 − 5 + 1 = 30."),
        ("size=4\nstride=2\npadding=1", "Padding is 1 pixel on every side (padding=1): (32 + 2·1 − 4)/2 + 1 = 16."),
    ],
)
def test_explanation_of_a_convolution_derives_its_size_from_padding(options: str, sentence: str) -> None:
    text = _explain(f"{NET}[convolutional]\nfilters=4\n{options}\n", 0)
    assert sentence in text
    side = int(sentence.rstrip(".").rpartition(" ")[2])
    assert f"out: {side}×{side}×4" in text


def test_explanation_of_a_convolution_without_padding_does_not_mention_it() -> None:
    assert "Padding" not in _explain(f"{NET}[convolutional]\nfilters=4\nsize=3\n", 0)


def test_explanation_of_a_head_names_values_anchors_and_boxes() -> None:
    text = _explain("yolov3", 82)
    assert "The 5 are x, y, width, height and objectness." in text
    assert "Its anchors are 116×90, 156×198 and 373×326 pixels (width × height)." in text
    assert "It outputs 19 × 19 × 3 = 1,083 boxes; 22,743 in all 3 heads." in text


def test_explanation_of_a_single_head_names_its_boxes_only() -> None:
    text = _explain("yolov2", 31)
    assert "cells (width × height)" in text
    assert "It outputs 19 × 19 × 5 = 1,805 boxes." in text


def test_receptive_field_beyond_the_input_is_shown() -> None:
    assert "608×608, the whole input (917×917 including the area beyond it)" in _explain("yolov3", 81)
    assert "receptive field: 3×3\n" in _explain("yolov3", 0)


def test_totals_tell_trainable_and_other_parameters() -> None:
    assert "61,949,149 parameters (all trainable), 52,608 running means and variances (" in totals(
        darkparse.compile("yolov3")
    )
    layers = "[convolutional]\nfilters=4\nsize=1\n" + "[convolutional]\nfilters=4\nsize=1\nstopbackward=1\n" * 1
    network = darkparse.compile(f"{NET}{layers}[convolutional]\nfilters=4\nsize=1\n")
    assert "56 parameters (20 trainable, 36 frozen)" in totals(network)


def test_rows_name_activations_that_differ_from_the_commonest() -> None:
    model = build_diagram(darkparse.compile("yolov4"))
    labels = {row.index: row.label for card in model.cards for row in card.rows}
    assert model.totals[-1] == "mish activation"
    assert labels[0] == "conv 3×3, 32"
    assert labels[105] == "conv 1×1, 512 (leaky)"
    assert labels[138] == "conv 1×1, 255 (linear)"


@pytest.mark.parametrize(
    ("layers", "answer"),
    [
        (
            "[convolutional]\nfilters=4\nsize=3\npad=1\nstride=2\n",
            "Height×width 32→16 (÷2) in 1 step; no 1×1 convolution",
        ),
        ("[convolutional]\nfilters=4\nsize=3\npad=1\n", "No 1×1 convolution; height×width stay the same"),
    ],
)
def test_answer_without_pointwise_convolutions_names_layers_that_shrink_maps(layers: str, answer: str) -> None:
    assert build_diagram(darkparse.compile(f"{NET}{layers}")).answer == answer


def test_answer_of_recurrent_networks_names_layers_and_states() -> None:
    cfg = "[net]\ninputs=16\n" + "[rnn]\noutput=8\nhidden=32\n" * 2 + "[connected]\noutput=16\n[softmax]\n"
    assert (
        build_diagram(darkparse.compile(cfg)).answer
        == "2 RNN layers keep a state of 8 values each; 16→16 values per step"
    )
    dense = "[net]\ninputs=16\n[connected]\noutput=4\n[connected]\noutput=8\n"
    assert build_diagram(darkparse.compile(dense)).answer == "16→8 values through 2 fully connected layers"


def test_notes_on_blocks_that_cost_more_are_red() -> None:
    svg = darkparse.draw("yolov1", fold=False).svg()
    assert svg.count('class="costs"') == 2
    assert svg.count('class="saves"') == 7
