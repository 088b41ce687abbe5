"""Two networks compared: which layers correspond, and what differs between them."""

from __future__ import annotations

import pytest

import darkparse
from darkparse.network.diff import NetworkDiff, align_layers, diff_networks

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
WIDE, NARROW, POOL = (
    "[conv]\nfilters=8\nsize=3\npad=1\n",
    "[conv]\nfilters=4\nsize=1\n",
    "[maxpool]\nsize=2\nstride=2\n",
)
BEFORE = NET + WIDE + NARROW + POOL


def diff(before: str, after: str) -> NetworkDiff:
    return diff_networks(darkparse.compile(before), darkparse.compile(after))


def test_diff_of_network_at_two_sizes_has_alike_pairs() -> None:
    result = diff_networks(darkparse.compile("yolov3"), darkparse.compile("yolov3", size=320))
    assert all(pair.is_alike and not pair.properties for pair in result.pairs)
    assert [(pair.before.index, pair.after.index) for pair in result.pairs if pair.before and pair.after] == [
        (i, i) for i in range(107)
    ]
    assert [total.name for total in result.totals] == ["input", "FLOPs"]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (BEFORE, [(0, 0), (1, 1), (2, 2)]),
        (NET + WIDE.replace("size=3", "size=5") + NARROW + "[dropout]\n" + POOL, [(0, 0), (1, 1), (None, 2), (2, 3)]),
        (NET + WIDE + POOL, [(0, 0), (1, None), (2, 1)]),
        (NET + WIDE + "[dropout]\n", [(0, 0), (None, 1), (1, None), (2, None)]),
    ],
    ids=["same", "added", "removed", "replaced"],
)
def test_align_layers_pairs_counterparts_in_order(after: str, expected: list[tuple[int | None, int | None]]) -> None:
    aligned = align_layers(darkparse.compile(BEFORE), darkparse.compile(after))
    assert [(before and before.index, after and after.index) for before, after in aligned] == expected


def test_pair_lists_changed_options_and_properties() -> None:
    pair = diff(BEFORE, BEFORE.replace("size=3", "size=5")).pairs[0]
    assert not pair.is_alike
    assert [(c.option.name, c.before.value, c.after.value) for c in pair.options] == [("size", 3, 5)]
    assert list(map(str, pair.properties)) == ["parameters 224 → 608"]


def test_diff_distinguishes_derived_default_from_equal_value() -> None:
    change = diff(NET + "[maxpool]\nstride=2\n", NET + "[maxpool]\nstride=1\nsize=2\n").pairs[0].options[-1]
    assert (change.option.name, change.before.value, change.after.value) == ("size", 2, 2)
    assert (change.before.is_derived, change.after.is_derived) == (True, False)


def test_pair_with_other_input_channels_is_not_alike() -> None:
    pair = diff(BEFORE, BEFORE.replace("filters=8", "filters=6")).pairs[1]
    assert not pair.is_alike
    assert not pair.options
    assert list(map(str, pair.properties)) == ["parameters 36 → 28"]


def test_changed_inputs_are_named_by_index_in_first_network() -> None:
    route = "[route]\nlayers=-1,0\n"
    result = diff(NET + WIDE * 2 + route, NET + WIDE + NARROW + WIDE + route.replace("-1", "1"))
    assert result.pairs[-1].before is not None
    assert [str(change) for change in result.pairs[-1].properties] == [
        "reads L1, L0 → the new 1, L0",
        "channels out 16 → 12",
    ]


def test_option_set_by_dialect_is_not_a_change() -> None:
    text = NET + WIDE
    networks = [darkparse.compile(text, dialect=name) for name in ("pjreddie", "alexeyab")]
    assert [total.name for total in diff_networks(*networks).totals] == ["dialect"]
    assert not any(pair.options for pair in diff_networks(*networks).pairs)


@pytest.mark.parametrize(("added", "rate"), [("[activation]\n", 0.2), ("[dropout]\nprobability=0.3\n", 0.1)])
def test_align_layers_after_an_added_one_pairs_199_alike_layers(added: str, rate: float) -> None:
    """`difflib` ignores elements that are more than 1 % of 200 or more, unless it is told not to."""
    dropout = "[dropout]\nprobability={}\n"
    parts = (dropout.format(0.1) * 199, added + dropout.format(rate) * 199)
    aligned = align_layers(*(darkparse.compile(f"[net]\ninputs=1\n{part}", dialect="alexeyab") for part in parts))
    numbers = [(before and before.index, after and after.index) for before, after in aligned]
    assert numbers == [(None, 0), *((i, i + 1) for i in range(199))]
