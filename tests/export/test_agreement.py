"""Emitted source and module compute the same bits: every make of pooling, and networks put together at random."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import darkparse
from darkparse.model import modules
from tests.conftest import examples
from tests.export.test_source import assert_same_bits, class_of, load_source, outputs

POOLINGS = [
    pytest.param("maxpool", modules.MaxPool2d, "pjreddie", id="maxpool-pjreddie"),
    pytest.param("maxpool", modules.MaxPool2d, "alexeyab", id="maxpool-alexeyab"),
    pytest.param("local_avgpool", modules.AvgPool2d, "alexeyab", id="local_avgpool"),
]


@pytest.mark.parametrize("flat", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["folded", "flat"])
@pytest.mark.parametrize(("kind", "general", "dialect"), POOLINGS)
def test_emitted_pooling_equals_padded_pooling_module(
    kind: str, general: type[torch.nn.Module], dialect: str, flat: bool
) -> None:
    """All of them beside each other in one network, whose output has their values one after the other."""
    strides = [(1, 1), (2, 2), (3, 3), *([(2, 1)] if dialect == "alexeyab" else [])]
    choices = list(product(range(1, 5), strides, range(6)))
    text = "[net]\nchannels=3\nheight=7\nwidth=9\n[dropout]\n"
    for size, (y, x), padding in choices:
        text += f"[route]\nlayers=0\n[{kind}]\nsize={size}\nstride={y}\nstride_x={x}\npadding={padding}\n"
    network = darkparse.compile(
        f"{text}[route]\nlayers={','.join(str(2 * i + 2) for i in range(len(choices)))}\n", dialect=dialect
    )
    emitted = class_of(load_source(darkparse.to_source(network, flat=flat)))().eval()
    image = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(3)) - 1
    (mine,), (theirs,) = outputs(darkparse.build(network).eval(), image), outputs(emitted, image)
    sizes = [network.nodes[2 * i + 2].out_shape.size for i in range(len(choices))]
    for choice, a, b in zip(choices, mine.split(sizes, 1), theirs.split(sizes, 1), strict=True):
        assert torch.equal(a.nan_to_num(7), b.nan_to_num(7)), choice
        want = general(*choice)(image).flatten(1)
        torch.testing.assert_close(
            a, want, rtol=0 if kind == "maxpool" else 1e-5, atol=0, equal_nan=True, msg=str(choice)
        )


def section(kind: str, **options: Iterable[object]) -> st.SearchStrategy[str]:
    """A section whose options have some of the values given."""
    values = st.fixed_dictionaries({key: st.sampled_from(list(choice)) for key, choice in options.items()})
    return values.map(
        lambda chosen: f"[{kind}]\n" + "".join(f"{key.rstrip('_')}={value}\n" for key, value in chosen.items())
    )


BACK = range(-5, 0)
WAYS = ("linear", "leaky", "mish", "ramp", "normalize_channels")
CONVOLUTION = section(
    "convolutional", filters=(4, 8), size=(1, 2, 3), stride=(1, 2), pad=(0, 1), batch_normalize=(0, 1), activation=WAYS
)
SECTIONS = st.one_of(
    CONVOLUTION,
    CONVOLUTION,
    section(
        "convolutional",
        filters=(8,),
        size=(3,),
        stride_x=(1, 2),
        stride_y=(1, 2),
        groups=(1, 4),
        dilation=(1, 2),
        pad=(1,),
    ),
    section(
        "convolutional", filters=(4, 8), size=(1, 3), stride=(1, 2), antialiasing=(1, 2), pad=(1,), activation=WAYS
    ),
    section("convolutional", filters=(4,), size=(3,), pad=(1,), xnor=(1,), bin_output=(0, 1)),
    section("deconvolutional", filters=(4,), size=(2, 3), stride=(1, 2), pad=(0, 1), batch_normalize=(0, 1)),
    section("local", filters=(3,), size=(1, 3), activation=WAYS),
    section("maxpool", size=range(1, 5), stride=range(1, 4), padding=range(5)),
    section("maxpool", size=(2, 3), stride=(1, 2), antialiasing=(0, 1, 2)),
    section("maxpool", maxpool_depth=(1,), out_channels=(1, 3)),
    section("local_avgpool", size=range(1, 5), stride=range(1, 4), padding=range(5)),
    section("shortcut", from_=BACK, activation=WAYS, alpha=(1, 0.5)),
    section(
        "shortcut",
        from_=BACK,
        weights_type=("per_feature", "per_channel"),
        weights_normalization=("none", "relu", "softmax"),
    ),
    section("route", layers=("-1", "-2", "-1,-2", "-1,-3,-4", "0", "-1,0"), groups=(1, 2), group_id=(0, 1)),
    section("sam", from_=BACK),
    section("avgpool"),
    section("scale_channels", from_=BACK, activation=WAYS),
    section("upsample", stride=(1, 2, -2), scale=(1, 0.5)),
    section("reorg", stride=(2,), reverse=(0, 1), flatten=(0, 1)),
    section("reorg3d", stride=(2,), reverse=(0, 1)),
    section("crop", crop_height=(3, 6), crop_width=(4, 5), noadjust=(0, 1)),
    section("batchnorm"),
    section("normalization", size=(3, 5)),
    section("activation", activation=WAYS),
    section("dropout"),
    section("softmax", groups=(1, 2), temperature=(1, 2), spatial=(0, 1)),
    section("connected", output=(4, 8), batch_normalize=(0, 1), activation=WAYS),
    section("conv_lstm", output=(4,), pad=(1,), peephole=(0, 1)),
    section("history", history_size=(2,)),
    section("gru", output=(4,)),
)
BLOCKS = st.tuples(st.lists(SECTIONS, min_size=1, max_size=4), st.integers(1, 3)).map(lambda block: block[0] * block[1])


def grown(sections: Iterable[str], dialect: str) -> darkparse.Network:
    """A network of those sections that fit where they stand."""
    text = "[net]\nchannels=3\nheight=12\nwidth=10\n[convolutional]\nfilters=4\n"
    network = darkparse.compile(text, dialect=dialect)
    for more in sections:
        try:
            network = darkparse.compile(text + more, dialect=dialect)
        except darkparse.DarkparseError:
            continue
        text += more
    return network


@pytest.mark.slow
@examples(20)
@given(blocks=st.lists(BLOCKS, min_size=1, max_size=3), dialect=st.sampled_from(["pjreddie", "alexeyab"]))
def test_emitted_source_of_any_network_computes_same_bits(blocks: list[list[str]], dialect: str) -> None:
    network = grown((more for block in blocks for more in block), dialect)
    assert_same_bits(network, flat=False)
    assert_same_bits(network, flat=True)
