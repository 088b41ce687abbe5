"""Every cfg option has an entry in the reference, with its default and its meaning."""

from __future__ import annotations

import re
from typing import Any

import pytest

from darkparse.layers import DIALECTS, REGISTRY, Layer
from darkparse.layers.base import DerivedDefault, get_bound_fields, get_known_keys
from darkparse.layers.net import Net
from darkparse.layers.reference import find_option, get_parser_function, list_options

CLASSES: list[Any] = [Net, *dict.fromkeys(REGISTRY.values())]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.kind)
def test_every_known_option_has_entry_with_meaning(cls: Any) -> None:
    entries = list_options(cls)
    keys = [key for entry in entries for key in entry.keys]
    assert set(keys) == set(get_known_keys(cls))
    assert len(keys) == len(set(keys))
    for entry in entries:
        assert re.fullmatch(r"[A-Z].*\.", entry.help), (entry.keys, entry.help)
        assert entry.is_used == bool(entry.type)
        assert dict.fromkeys(entry.keys, entry.dialect).items() <= get_known_keys(cls).items()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.kind)
def test_printed_default_reads_as_default(cls: Any) -> None:
    fields = {field.keys: field for field in get_bound_fields(cls)}
    for entry in list_options(cls):
        field = fields.get(entry.keys)
        if field is None or not entry.default or entry.default == "none" or field.spec.dialect_default:
            continue
        default = cls.__dataclass_fields__[field.name].default
        if isinstance(default, DerivedDefault):
            assert entry.default == field.spec.formula != ""
        else:
            assert field.read(entry.default, DIALECTS["alexeyab"]).value == default


def test_default_that_differs_by_fork_lists_forks() -> None:
    entry = find_option(REGISTRY["dropout"], "probability")
    assert entry is not None
    assert entry.default == "0.5 (pjreddie), 0.2 (AlexeyAB), 0.2 (hank-ai)"


def test_description_states_default_dialect_and_purpose() -> None:
    texts = {key: str(find_option(REGISTRY["yolo"], key)) for key in ("scale_x_y", "iou_loss", "track_history_size")}
    assert texts["scale_x_y"].endswith("(default 1, alexeyab only)")
    assert texts["iou_loss"].endswith("(default mse, training only, alexeyab only)")
    assert "not used by darkparse" in texts["track_history_size"]
    assert find_option(REGISTRY["yolo"], "nothing") is None


def test_parser_function_follows_from_kind() -> None:
    assert get_parser_function(Net) == "parse_net_options"
    assert get_parser_function(REGISTRY["Gaussian_yolo"]) == "parse_gaussian_yolo"
    assert get_parser_function(REGISTRY["conv"]) == "parse_convolutional"


def test_options_of_every_layer_are_those_of_base_class() -> None:
    common = {key for entry in list_options(Layer) for key in entry.keys}
    assert {"dontload", "learning_rate", "stopbackward", "dontsave"} <= common
    for cls in REGISTRY.values():
        assert common <= {key for entry in list_options(cls) for key in entry.keys}
