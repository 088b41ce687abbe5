"""The passes of the compiler, and in which order they report."""

from __future__ import annotations

import pytest

import darkparse
from darkparse.errors import CfgError
from darkparse.layers import DIALECTS
from darkparse.network import compiler
from darkparse.network.compiler import PASSES
from darkparse.network.passes.checks import raise_errors
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.inference import infer_shapes
from darkparse.network.passes.options import select_options
from darkparse.network.passes.wiring import wire_layers
from darkparse.syntax import read

NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"
CONV = "[convolutional]\nfilters=4\n"


def run_passes(text: str, dialect: str = "alexeyab", *, last: object = raise_errors) -> Draft:
    """Return the draft after the passes up to the last one."""
    draft = Draft(read(text), DIALECTS[dialect])
    for run in PASSES:
        run(draft)
        if run is last:
            break
    return draft


def get_codes(text: str, dialect: str = "alexeyab") -> list[str]:
    with pytest.raises(CfgError) as raised:
        darkparse.compile(text, dialect=dialect)
    return [diagnostic.code for diagnostic in raised.value.diagnostics]


def test_select_options_records_slips_without_diagnostics() -> None:
    text = NET + CONV + "filters=5\nsise=1\nsize=\npad\n"
    draft = run_passes(text, last=select_options)
    selection = draft.selections[1]
    assert selection is not None
    assert {key: option.text for key, option in selection.options.items()} == {"filters": "4"}
    assert [slip.code for slip in selection.slips] == ["duplicate", "unknown-option", "empty-value", "no-value"]
    assert not draft.diagnostics


@pytest.mark.parametrize(("dialect", "severity"), [("alexeyab", "warning"), ("hank-ai", "error")])
def test_slips_are_warnings_or_errors_by_dialect(dialect: str, severity: str) -> None:
    draft = run_passes(NET + CONV + "filters=5\nsise=1\n[reorg]\nstride=2\n", dialect, last=infer_shapes)
    assert [d.severity for d in draft.diagnostics] == [severity] * (3 if dialect == "hank-ai" else 2)
    assert len(draft.nodes) == 2


@pytest.mark.parametrize(("count", "has_hint"), [(199, True), (200, False)])
@pytest.mark.parametrize("place", ["net", "layer"])
def test_unknown_kind_after_200_slips_has_no_hint(place: str, count: int, has_hint: bool) -> None:
    net, conv = (NET + "width=1\n" * count, CONV) if place == "net" else (NET, CONV + "filters=5\n" * count)
    (unknown,) = run_passes(net + conv + "[maxpol]\n", last=select_options).diagnostics
    assert unknown.headline.endswith("; did you mean [maxpool]?") == has_hint


def test_compile_with_pass_that_breaks_the_network_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "PASSES", (*PASSES, lambda draft: draft.nodes.reverse()))
    with pytest.raises(AssertionError, match="has index 1, expected 0"):
        darkparse.compile(NET + CONV * 2)


def test_strict_rules_are_reported_with_errors_of_later_passes() -> None:
    assert get_codes(NET + CONV + "sise=1\nsize=-1\n", "hank-ai") == ["refused", "value"]
    assert get_codes(NET + CONV + "sise=1\n[route]\nlayers=5\n", "hank-ai") == ["refused", "no-layer"]


def test_errors_of_all_sections_are_reported_together() -> None:
    assert get_codes(NET + CONV + "size=-1\n[foo]\n[route]\n[convolutional]\nfilters=x\n") == [
        *("value", "unknown-kind", "missing", "value"),
    ]


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ("[convolutional]\nsize=99\n[route]\nlayers=9\n", "shape"),
        ("[route]\nlayers=9\n[convolutional]\nsize=99\n", "no-layer"),
    ],
    ids=["shape-first", "reference-first"],
)
def test_first_fault_of_wiring_and_shapes_is_reported(layers: str, code: str) -> None:
    assert get_codes(NET + CONV + layers) == [code]


def test_wiring_ends_at_reference_to_missing_layer() -> None:
    draft = run_passes(NET + CONV + "[route]\nlayers=-1,7\n" + CONV, last=wire_layers)
    assert [wiring.inputs for wiring in draft.wiring] == [(-1,)]
    assert draft.fault is not None
    assert "refers to layer 7" in str(draft.fault)


def test_line_without_value_uses_default_of_dialect() -> None:
    text = NET + CONV + "[dropout]\nprobability\n"
    assert {
        name: darkparse.compile(text, dialect=name).nodes[1].layer.options("probability")["probability"]
        for name in ("pjreddie", "alexeyab")
    } == {"pjreddie": 0.5, "alexeyab": 0.2}
