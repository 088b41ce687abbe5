"""Emitters: each takes a module's arguments as one object, whose fields are those of the module."""

from __future__ import annotations

import inspect
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import darkparse
from darkparse.layers.activations import ACTIVATIONS
from darkparse.onnx import emitters  # noqa: F401 - they register themselves
from darkparse.onnx.context import EMITTERS
from tests.conftest import DATA
from tests.layers.test_activations import FORMULAS, POINTS
from tests.onnx.onnx_runtime import Runner

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


@pytest.mark.parametrize(
    ("section", "name"),
    [("activation", name) for name in FORMULAS]
    + [("rnn", name) for name in FORMULAS if not ACTIVATIONS[name].over_channels],
)
def test_emitted_activation_equals_formula(section: str, name: str, tmp_path: Path) -> None:
    """A layer of an activation has torch's module if there is one; a recurrent layer names the function."""
    text = f"[net]\nwidth=4\nheight=4\nchannels=4\n[{section}]\nactivation={name}\nhidden=64\noutput=64\n"
    model = darkparse.build(darkparse.compile(text, dialect="alexeyab"), initialize=True).eval()
    if section == "rnn":
        for parameter in model.parameters():
            torch.nn.init.eye_(parameter) if parameter.ndim > 1 else torch.nn.init.zeros_(parameter)
    darkparse.to_onnx(model, tmp_path / "x.onnx")
    (found,) = Runner(tmp_path / "x.onnx")(POINTS.astype(np.float32)).values()
    once = FORMULAS[name](POINTS)
    # The first steps of an [rnn] of identities: input, hidden state from it and from the state (0), output.
    expected = once if section == "activation" else FORMULAS[name](once + FORMULAS[name](np.zeros_like(once)))
    np.testing.assert_allclose(found.reshape(POINTS.shape), expected, atol=1e-5)
