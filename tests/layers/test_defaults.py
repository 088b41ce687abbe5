"""Defaults of options, compared with those that Darknet's parser.c states."""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any

import pytest

from darkparse.layers import DIALECTS, REGISTRY
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.layers.base import DerivedDefault, get_bound_fields
from darkparse.layers.net import Net
from darkparse.layers.reference import get_parser_function
from darkparse.layers.training import LayerTraining, NetTraining
from tests.conftest import DATA

PARSER: dict[str, dict[str, dict[str, str]]] = json.loads((DATA / "parser_defaults.json").read_text("utf-8"))
"""Numbers and words that parser.c passes as defaults, by fork, function and option."""
COMMON = {"pjreddie": "parse_network_cfg", "alexeyab": "parse_network_cfg_custom"}
"""Function that reads the options of every layer."""
CLASSES: list[Any] = [Net, *dict.fromkeys(REGISTRY.values())]


def _find_defaults(cls: Any, dialect: str) -> dict[str, tuple[Any, Any]]:
    """Return the default and the reader of each option of a section that the dialect supports."""
    loss = getattr(cls, "loss_options", None)
    parts = (NetTraining, Augmentation) if cls is Net else ((loss,) if loss else ()) + (HeadAugmentation, LayerTraining)
    found: dict[str, tuple[Any, Any]] = {}
    for part in (cls, *parts):
        for field in get_bound_fields(part):
            default = part.__dataclass_fields__[field.name].default
            if path := field.spec.dialect_default:
                default = attrgetter(path)(DIALECTS[dialect])
            is_known = DIALECTS[dialect].supports(field.spec.dialect) or field.spec.dialect_default
            if is_known and not field.spec.required and not isinstance(default, DerivedDefault):
                for key in field.keys:
                    found.setdefault(key, (default, field.read))
    return found


@pytest.mark.parametrize("dialect", PARSER)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.kind)
def test_defaults_equal_those_of_darknet(cls: Any, dialect: str) -> None:
    table = PARSER[dialect]
    expected = table.get(get_parser_function(cls), {}) | ({} if cls is Net else table[COMMON[dialect]])
    found = _find_defaults(cls, dialect)
    assert {key: found[key][0] for key in sorted(found.keys() & expected)} == {
        key: found[key][1](expected[key], DIALECTS[dialect]).value for key in sorted(found.keys() & expected)
    }


def test_defaults_of_hundreds_of_options_are_compared() -> None:
    pairs = [(cls, name) for cls in CLASSES for name in PARSER]
    shared = [_find_defaults(cls, name).keys() & PARSER[name].get(get_parser_function(cls), {}) for cls, name in pairs]
    assert sum(map(len, shared)) > 300
