"""Emitters: each takes a module's arguments as one object, whose fields are those of the module."""

from __future__ import annotations

import inspect
from dataclasses import fields
from importlib import import_module

import pytest

import darkparse
from darkparse.onnx import emitters  # noqa: F401 - they register themselves
from darkparse.onnx.context import EMITTERS
from tests.conftest import DATA

OWN_TARGETS = sorted(target for target in EMITTERS if target.startswith(("darkparse.", "torch.")))
KINDS = sorted((DATA / "kinds").glob("*.cfg"))


@pytest.mark.parametrize("target", OWN_TARGETS)
def test_emitter_params_are_arguments_of_module(target: str) -> None:
    module, _, name = target.rpartition(".")
    arguments = inspect.signature(getattr(import_module(module), name)).parameters
    names = {field.name for field in fields(EMITTERS[target].params)}
    takes_rest = any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values())
    assert names <= arguments.keys() or takes_rest


@pytest.mark.parametrize("path", KINDS, ids=lambda path: path.stem)
def test_emitter_params_accept_every_module_spec(path: str) -> None:
    specs = [spec for node in darkparse.compile(path).nodes for spec in node.modules]
    for spec in specs:
        params = EMITTERS[spec.target].params(**spec.kwargs)
        assert {name: getattr(params, name) for name in spec.kwargs} == dict(spec.kwargs)


def test_emitter_with_unknown_argument_raises() -> None:
    (spec,) = darkparse.compile("[net]\nheight=4\nwidth=4\nchannels=1\n[upsample]\nstride=2\n").nodes[0].modules
    with pytest.raises(TypeError, match="align_corners"):
        EMITTERS[spec.target].params(**spec.kwargs, align_corners=True)
