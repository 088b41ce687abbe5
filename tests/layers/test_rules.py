"""Every rule of a layer kind ends in an error with its place, when the cfg is compiled or when it is trained."""

from __future__ import annotations

from typing import Any

import pytest

import darkparse
from darkparse.errors import CfgError
from darkparse.layers import LayerError
from darkparse.network.training import bind_training_options

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
RULES = (
    ("alexeyab", "[convolutional]|filters=4|stride=0", "7:8: stride must be at least 1, got 0"),
    ("alexeyab", "[convolutional]|filters=4|size=3|dilation=0", "8:10: dilation must be at least 1, got 0"),
    ("alexeyab", "[avgpool]|[softmax]|groups=2", "7:8: groups=2 does not divide the 3 input values"),
    ("alexeyab", "[avgpool]|[softmax]|groups=0", "7:8: groups=0 does not divide the 3 input values"),
    ("alexeyab", "[upsample]|stride=0", "6:8: stride must not be 0"),
    ("alexeyab", "[upsample]|stride=-3", "6:8: cannot divide a map of 8×8×3 into blocks of 3×3"),
    ("alexeyab", "[reorg3d]|stride=0", "6:8: stride must be at least 1, got 0"),
    ("alexeyab", "[reorg3d]|stride=3", "6:8: cannot divide a map of 8×8×3 into blocks of 3×3"),
    (
        "alexeyab",
        "[convolutional]|filters=2|[reorg3d]|stride=2|reverse=1",
        "7:1: reverse=1 divides the channels twice, got 2; expected a multiple of 16",
    ),
    ("alexeyab", "[crop]|crop_width=9|crop_height=4", "6:12: crop_width must be 1 to 8, the size of the input; got 9"),
    ("alexeyab", "[crop]|crop_width=4|crop_height=0", "7:13: crop_height must be 1 to 8, the size of the input; got 0"),
    (
        "alexeyab",
        "[convolutional]|filters=4|[route]|layers=0|groups=2|group_id=2",
        "10:10: group_id must be 0 to 1 for groups=2, got 2",
    ),
    (
        "alexeyab",
        "[convolutional]|filters=4|[route]|layers=0|groups=2|group_id=-1",
        "10:10: group_id must be 0 to 1 for groups=2, got -1",
    ),
    ("alexeyab", "[convolutional]|filters=3|[route]|layers=0|groups=2", "9:8: groups=2 does not divide 3 channels"),
    (
        "alexeyab",
        "[convolutional]|filters=4|[convolutional]|filters=4|stride=2|[shortcut]|from=0|weights_type=per_feature",
        "11:6: a weighted shortcut requires maps of the same size: layer 1 outputs 4×4×4 and layer 0 outputs 8×8×4",
    ),
    (
        "alexeyab",
        "[convolutional]|filters=4|[avgpool]|[scale_channels]|from=0|scale_wh=1",
        "8:1: wrong shape of the gate, got 1×1×4; expected 8×8×1",
    ),
    (
        "alexeyab",
        "[convolutional]|filters=4|[convolutional]|filters=3|[sam]|from=0",
        "9:1: gate and map must have the same shape, got 8×8×3 and 8×8×4",
    ),
    (
        "alexeyab",
        "[maxpool]|maxpool_depth=1|out_channels=4",
        "7:14: out_channels must be 1 to 3, the number of input channels; got 4",
    ),
    (
        "alexeyab",
        "[maxpool]|maxpool_depth=1|out_channels=0",
        "7:14: out_channels must be 1 to 3, the number of input channels; got 0",
    ),
    ("alexeyab", "[maxpool]|size=2|stride=0|antialiasing=1", "7:8: stride must be at least 1 with antialiasing, got 0"),
    ("alexeyab", "[maxpool]|size=2|stride=0", "7:8: stride must be at least 1, got 0"),
    ("alexeyab", "[maxpool]|size=-1|stride=1", "6:6: size must be at least 1, got -1"),
    ("alexeyab", "[local_avgpool]|size=2|stride=0", "7:8: stride must be at least 1, got 0"),
    ("alexeyab", "[dropout]|probability=1.5", "6:13: probability must be 0 to 1, got 1.5"),
    ("alexeyab", "[dropout]|probability=-.5", "6:13: probability must be 0 to 1, got -0.5"),
    (
        "alexeyab",
        "[conv_lstm]|output=4|size=3|pad=0|padding=0",
        "8:5: its convolutions change the size from 8×8 to 6×6, but the state must keep its size; use pad=1",
    ),
    (
        "alexeyab",
        "[conv_lstm]|output=4|size=3|pad=1|groups=2",
        "9:8: groups=2 does not divide 3 channels and 4 filters",
    ),
    (
        "alexeyab",
        "[conv_lstm]|output=4|size=3|pad=1|bottleneck=1",
        "6:8: output must equal the number of input channels with bottleneck=1, got 4; expected 3",
    ),
    (
        "alexeyab",
        "[local]|filters=4|size=5|pad=1",
        "7:6: a padded [local] layer requires size=3 and pad=1, got size=5 and pad=1",
    ),
    (
        "alexeyab",
        "[convolutional]|filters=14|[yolo]|classes=2|num=2|mask=0,-1|anchors=4,4,5,5",
        "10:6: mask must list anchor indices, counted from 0",
    ),
    (
        "alexeyab",
        "[convolutional]|filters=13|[yolo]|classes=2|num=2|mask=0,1|anchors=4,4,5,5",
        "7:1: this head requires 14 channels = 2 × (2 classes + 5)",
    ),
    (
        "alexeyab",
        "[convolutional]|filters=7|[region]|classes=2|num=2|anchors=1,1,2,2",
        "7:1: this head requires 14 channels = 2 × (2 classes + 5)",
    ),
    ("pjreddie", "[reorg]|stride=2", "5:1: cannot divide 3 channels into blocks of 2×2"),
    ("pjreddie", "[deconvolutional]|filters=4|numload=9", "7:9: numload must be 0 to 4, the number of filters; got 9"),
    (
        "pjreddie",
        "[deconvolutional]|filters=6|size=2|numload=1",
        "8:9: numload=1 of 6 filters would end a weights file within the weights of an input channel",
    ),
    ("pjreddie", "[reorg]|stride=0", "6:8: stride must be at least 1, got 0"),
    ("pjreddie", "[reorg]|stride=2|reverse=1", "6:8: cannot divide 3 channels into blocks of 2×2"),
    (
        "alexeyab",
        "[connected]|output=4|[activation]|activation=normalize_channels",
        "8:12: activation=normalize_channels requires a map with channels, got a vector",
    ),
    ("pjreddie", "[convolutional]|filters=4|numload=5", "7:9: numload must be 0 to 4, the number of filters; got 5"),
    ("pjreddie", "[convolutional]|filters=4|numload=-1", "7:9: numload must be 0 to 4, the number of filters; got -1"),
    (
        "alexeyab",
        "[avgpool]|[detection]|classes=2|num=2|side=3|coords=4",
        "6:1: this head requires 108 values = 3×3 × (2×5 + 2 classes), got 3 from the layer before",
    ),
)
"""Fork, the sections behind NET with `|` for a new line, and the start of the error that they cause."""


@pytest.mark.parametrize(("dialect", "sections", "error"), RULES, ids=[error[:50] for _, _, error in RULES])
def test_broken_rule_is_error_with_place(dialect: str, sections: str, error: str) -> None:
    with pytest.raises(CfgError) as raised:
        darkparse.compile(NET + sections.replace("|", "\n") + "\n", dialect=dialect)
    (found,) = (diagnostic for diagnostic in raised.value.diagnostics if diagnostic.severity == "error")
    assert found.span is not None
    assert f"{found.span.line}:{found.span.column}: {found.message}".startswith(error)


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ("[convolutional]|filters=8|[region]|classes=2|num=1|coords=5|anchors=1,1", "coords above 4"),
        ("[connected]|output=12|[detection]|classes=2|num=2|side=1|coords=4", None),
        ("[connected]|output=10|[detection]|classes=2|num=2|side=1|coords=3", "coords must be 4 in training, got 3"),
    ],
)
def test_head_of_other_coords_cannot_be_trained(dialect: str, sections: str, message: str | None) -> None:
    network = darkparse.compile(NET + sections.replace("|", "\n") + "\n", dialect=dialect)
    node = network.nodes[-1]
    layer: Any = network.nodes[-1].layer
    options = bind_training_options(network, node.section, layer.loss_options)
    if message is None:
        assert layer.loss(node.context, options, network.input_shape)
        return
    with pytest.raises(LayerError, match=message):
        layer.loss(node.context, options, network.input_shape)
