"""Options of a compilation: one object, and keywords that override its fields."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest

import darkparse
from darkparse.network.compile_options import CompileOptions
from darkparse.network.limits import Limits

REORG = "[net]\nheight=4\nwidth=4\nchannels=4\n[reorg]\nstride=2\n"


def test_override_replaces_only_given_fields() -> None:
    options = CompileOptions(size=64, dialect="pjreddie", reorg="reorg3d", strict=True, limits=None)
    assert options.override() == options
    assert options.override(size=(32, 64)) == CompileOptions((32, 64), "pjreddie", "reorg3d", True, None)
    assert options.override(dialect="alexeyab").dialect == "alexeyab"


def test_compile_keyword_overrides_option() -> None:
    network = darkparse.compile(REORG, CompileOptions(size=8, reorg="reorg3d"), size=6, dialect="alexeyab")
    assert (network.net.height, network.dialect.name, network.nodes[0].kind) == (6, "alexeyab", "reorg3d")


def test_compile_without_keyword_uses_option() -> None:
    network = darkparse.compile(REORG, CompileOptions(size=8, dialect="alexeyab"))
    assert (network.net.height, network.dialect.name, network.nodes[0].kind) == (8, "alexeyab", "reorg")


def test_load_with_options_compiles_same_network() -> None:
    options = CompileOptions(size=8, dialect="alexeyab", reorg="reorg3d")
    model = darkparse.load(REORG, compile_options=options, size=6)
    assert model.network.nodes == darkparse.compile(REORG, options, size=6).nodes


@pytest.mark.parametrize(
    "function",
    [
        darkparse.compile,
        darkparse.load,
        darkparse.load_weights,
        darkparse.inspect_weights,
        darkparse.diff_weights,
        darkparse.Detector.load,
        darkparse.Detector.detect,
        darkparse.Detector.stream,
    ],
)
def test_public_functions_take_no_keyword_rest(function: object) -> None:
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    assert not [parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD]


def test_detection_settings_defaults_are_those_of_darknets_commands() -> None:
    """detector.c run_detector (-thresh .25, -hier .5) and test_detector (nms .45); five classes of a classifier."""
    settings = darkparse.DetectionSettings()
    assert (settings.threshold, settings.nms, settings.hierarchy, settings.top) == (0.25, 0.45, 0.5, 5)
    assert (settings.exif, settings.channels, settings.classes, settings.order) == ("auto", "rgb", None, "score")


def test_limits_hold_up_to_their_value() -> None:
    node = darkparse.compile("[net]\nheight=4\nwidth=4\nchannels=4\n[convolutional]\nfilters=2\n").nodes[0]
    limits: Any = Limits()
    for name, value in (("map", 32), ("parameters", 10), ("total_parameters", 20)):
        assert replace(limits, **{name: value}).check_node(node, 10, 20) is None
        message = replace(limits, **{name: value - 1}).check_node(node, 10, 20)
        assert f"must be at most {value - 1}, got {value}" in message


def test_limit_of_total_parameters_adds_up_layers() -> None:
    """Each of three layers has 10 parameters: 2 × 4 weights and 2 biases."""
    conv = "[convolutional]\nfilters=2\n"
    text = "[net]\nheight=1\nwidth=1\nchannels=4\n" + conv + f"[route]\nlayers=-1,-1\n{conv}" * 2
    exact, low = (CompileOptions(limits=replace(Limits(), total_parameters=total)) for total in (30, 29))
    assert darkparse.compile(text, exact).cost.params == 30
    with pytest.raises(darkparse.DarkparseError, match="parameters up to this layer must be at most 29, got 30"):
        darkparse.compile(text, low)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("anchors", (1, 1), None),
        ("anchors", (1, 1, 1), "numbers in anchors= must be at most 2, got 3"),
        ("num", 1000, None),
        ("num", 1001, "num must be at most 1,000, got 1,001"),
        ("filters", 1001, None),
    ],
)
def test_limits_of_option_hold_up_to_their_value(key: str, value: object, message: str | None) -> None:
    found = replace(Limits(), items=2).check_option(key, value)
    assert (found and found.partition(";")[0]) == message


def test_limit_of_inputs_holds_up_to_its_value() -> None:
    node = darkparse.compile("[net]\nheight=4\nwidth=4\nchannels=4\n[dropout]\n[route]\nlayers=-1,-1\n").nodes[1]
    assert replace(Limits(), inputs=2).check_node(node, 0, 0) is None
    assert "inputs must be at most 1, got 2" in str(replace(Limits(), inputs=1).check_node(node, 0, 0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top": 0}, "top must be a positive number of classes, got 0"),
        ({"top": 1.5}, "top must be a positive number of classes, got 1.5"),
        *(
            ({name: -0.1}, f"{name} must be a number from 0 to 1, got -0.1")
            for name in ("threshold", "nms", "hierarchy")
        ),
        *(({name: 1.1}, f"{name} must be a number from 0 to 1, got 1.1") for name in ("threshold", "nms", "hierarchy")),
        ({"nms": "x"}, "nms must be a number from 0 to 1, got 'x'"),
        ({"order": "x"}, "order must be one of .*, got 'x'"),
        ({"exif": "x"}, "exif must be one of .*, got 'x'"),
        ({"channels": "x"}, "channels must be one of .*, got 'x'"),
    ],
)
def test_detection_setting_that_is_invalid_raises(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(darkparse.DarkparseError, match=f"^{message}$"):
        darkparse.DetectionSettings(**settings)


def test_detection_settings_at_their_bounds_are_valid() -> None:
    for bound in (0, 1):
        settings = darkparse.DetectionSettings(threshold=bound, nms=bound, hierarchy=bound, top=1)
        assert (settings.threshold, settings.nms, settings.hierarchy, settings.top) == (bound, bound, bound, 1)
