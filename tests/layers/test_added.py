"""A pooling kind, a gate, a head, an activation and a fork, added while the program runs: each in one file, and no
phase knows of it (see tests/layers/added)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from darkparse.evaluation import Dump, compare
from darkparse.layers import DIALECTS, REGISTRY
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.dialect import fork
from darkparse.model.decoders import decode
from darkparse.model.tracing import prepare_export
from darkparse.network import Network
from darkparse.network.analysis.receptive import get_receptive_fields
from darkparse.network.detect_dialect import choose_dialect
from darkparse.network.dynamic_axes import DynamicAxes, Heads, compute_size_step
from darkparse.views.text.table import table
from darkparse.weights import Header
from tests.export.test_source import class_of, load_source
from tests.layers.test_kinds import seen_by_outputs

ADDED = ("pooling", "gate", "head", "fork", "forgetful")
NET = "[net]\nwidth=32\nheight=32\nchannels=4\n"
CONV = "[conv]\nfilters=8\nsize=3\nstride=1\npad=1\nbatch_normalize=1\nactivation=leaky\n"
POOLING = f"{NET}{CONV}[powerpool]\nsize=3\nstride=2\n"
GATE = f"{NET}{CONV}[conv]\nfilters=8\nactivation=linear\n[softgate]\nfrom=-2\n"
HEAD = f"{NET}{CONV}[powerpool]\nsize=4\nstride=4\n[conv]\nfilters=6\nactivation=linear\n[center]\nclasses=2\n"
ACTIVATION = f"{NET}[conv]\nfilters=8\nactivation=softplus\n{CONV}[shortcut]\nfrom=-2\nactivation=softplus\n"
ALL = {"pooling": POOLING, "gate": GATE, "head": HEAD, "activation": ACTIVATION}
each = pytest.mark.parametrize("cfg", ALL.values(), ids=ALL)


@pytest.fixture(autouse=True)
def added() -> Iterator[None]:
    """The registers with what tests/layers/added states, while a test runs."""
    registers: tuple[dict[str, Any], ...] = (REGISTRY, DIALECTS, ACTIVATIONS)
    before = [dict(register) for register in registers]
    for name in ADDED:
        import_module(f"tests.layers.added.{name}")
    yield
    for register, old in zip(registers, before, strict=True):
        register.clear()
        register.update(old)
    for name in ADDED:
        del sys.modules[f"tests.layers.added.{name}"]


def model_of(network: Network) -> darkparse.Darknet:
    torch.manual_seed(0)
    return darkparse.build(network, initialize=True).eval()


def picture() -> torch.Tensor:
    return torch.rand(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))


@each
def test_added_kind_is_compiled_drawn_and_explained(cfg: str) -> None:
    network = darkparse.compile(cfg)
    assert not network.diagnostics
    with torch.no_grad():
        values = model_of(network).layer_outputs(picture())
    for node, value in zip(network.nodes, values, strict=True):
        assert value.shape == (2, *node.out_shape.tensor)
        assert node.summary in darkparse.draw(network, fold=False).dot
        assert node.summary in str(darkparse.explain(network, node.index))
    assert [node.layer for node in darkparse.from_yaml(network.to_yaml()).nodes] == [
        node.layer for node in network.nodes
    ]


def test_added_pooling_has_receptive_field_and_stride() -> None:
    network = darkparse.compile(POOLING)
    assert get_receptive_fields(network) == ((3, 3), (5, 5))
    assert get_receptive_fields(network)[-1] == seen_by_outputs(network)
    assert network.strides[-1] == (Fraction(2), Fraction(2))
    assert [row.reduction for row in table(network)][-1] == "H×W ÷2.13"
    kept, change = network.reductions[1].channels, network.reductions[1].spatial
    assert kept is not None
    assert change is not None
    assert (kept.direction, change.direction, change.mechanism) == ("kept", "reduced", "pool")


def test_added_gate_is_described_as_gate() -> None:
    network = darkparse.compile(GATE)
    assert [row.layer for row in table(network)][-1] == "soft gate L0 × L1"
    assert "8 (gated)" in darkparse.draw(network).dot
    assert get_receptive_fields(network)[-1] == (3, 3)


def test_added_kind_without_windows_is_named() -> None:
    network = darkparse.compile(f"{NET}[forgetful]\n")
    with pytest.raises(
        NotImplementedError,
        match=r"\[forgetful\] changes 32×32×4 to 16×16×4: Forgetful must "
        r"implement win",
    ):
        seen_by_outputs(network)


@each
@pytest.mark.parametrize("flat", [False, True])
def test_added_kind_emitted_source_computes_same_bits(cfg: str, flat: bool) -> None:
    network = darkparse.compile(cfg)
    text, model = darkparse.to_source(network, flat=flat), model_of(network)
    assert "darkparse." not in text.partition('"""\n')[2]
    emitted = class_of(load_source(text))().eval()
    emitted.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(
            *(out[0] if isinstance(out, tuple) else out for out in (emitted(picture()), model(picture())))
        )


def test_added_kind_emitted_source_is_idiomatic() -> None:
    assert "nn.LPPool2d(norm_type=2.0, kernel_size=3, stride=2)" in darkparse.to_source(darkparse.compile(POOLING))
    assert "class LogisticGate(nn.Module):" in darkparse.to_source(darkparse.compile(GATE))
    assert "F.softplus(" in darkparse.to_source(darkparse.compile(ACTIVATION))


@each
def test_added_kind_exports_with_dynamic_size(cfg: str) -> None:
    network = darkparse.compile(cfg)
    prepare_export(model_of(network), "raw", dynamic_axes=DynamicAxes(batch=True, size=True))
    assert compute_size_step(network) == (4 if cfg is HEAD else 2 if cfg is POOLING else 1)


@each
def test_added_kind_is_exported_to_onnx(cfg: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = model_of(darkparse.compile(cfg))
    heads: Heads = "decoded" if model.network.heads else "raw"
    check = darkparse.to_onnx(
        model, tmp_path / "a.onnx", heads=heads, dynamic_size=not model.network.heads, verify=True
    )
    assert check is not None


@each
def test_added_kind_is_saved_to_every_container(cfg: str, tmp_path: Path) -> None:
    model = model_of(darkparse.compile(cfg))
    for name in ("a.weights", "a.safetensors", "a.pt"):
        darkparse.save(model, tmp_path / name)
        given = (cfg, tmp_path / name) if name.endswith("weights") else (tmp_path / name,)
        again = darkparse.load(*given)
        assert again.network.dialect is model.network.dialect
        with torch.no_grad():
            assert torch.equal(again.layer_outputs(picture())[-1], model.layer_outputs(picture())[-1])


def test_added_head_is_decoded() -> None:
    network = darkparse.compile(HEAD)
    output = model_of(network)(picture())
    boxes = decode(network, output)
    assert boxes.boxes.shape == (2, 64, 4)
    left, top, right, bottom = output[0][1, :4, 2, 3]
    want = torch.stack((3.5 / 8 + (right - left) / 2, 2.5 / 8 + (bottom - top) / 2, left + right, top + bottom))
    torch.testing.assert_close(boxes.boxes[1, 2 * 8 + 3], want)


def _compared(model: darkparse.Darknet, layer: int, wrong: torch.Tensor, image: torch.Tensor, path: Path) -> str | None:
    outputs = [*model.layer_outputs(image)[:layer], wrong]
    layers: dict[str, Any] = {f"layers.{i}": out.numpy() for i, out in enumerate(outputs)}
    np.savez(path, input=image.numpy(), **layers)
    found = compare(model, image, Dump(path))
    assert found.first is not None
    assert found.first.node.index == layer
    return found.cause


@torch.inference_mode()
def test_added_kind_mistakes_are_named_by_compare(tmp_path: Path) -> None:
    path, image = tmp_path / "a.npz", picture()[:1]
    model = model_of(darkparse.compile(POOLING))
    mean = torch.nn.functional.avg_pool2d(model.layer_outputs(image)[0], 3, 2)
    assert _compared(model, 1, mean, image, path) == "the mean instead of the root of squares"
    model = model_of(darkparse.compile(ACTIVATION))
    plain = model.get_submodule("layers.0.conv")(image)
    assert _compared(model, 0, plain, image, path) == "no activation"
    assert _compared(model, 0, plain.relu(), image, path) == "ReLU as activation"
    model = model_of(darkparse.compile(HEAD))
    raw = model.layer_outputs(image)[-2]
    assert _compared(model, 3, raw, image, path) == "no head: its input instead"


FORKED = f"{NET}{CONV}[route]\nlayers=-1\ngroups=2\ngroup_id=1\n[conv]\nfilters=4\nstride_x=1\nstride_y=1\n"


def test_added_fork_inherits_from_parent() -> None:
    network = darkparse.compile(FORKED, darkparse.CompileOptions(strict=True), dialect="third")
    assert network.dialect is DIALECTS["third"]
    assert [str(node.out_shape) for node in network.nodes] == ["32×32×8", "32×32×4", "32×32×4"]
    assert network.nodes[0].modules[1].kwargs["eps"] == 0.25
    foreign = darkparse.compile(FORKED, dialect="pjreddie").diagnostics
    assert {d.code for d in foreign} == {"foreign-option"}
    again = darkparse.load(darkparse.edit(network, size=16), Header().pack() + bytes(4 * network.stored_floats))
    assert again.network.dialect.name == "third"


def test_added_fork_warns_about_unsupported_kinds_and_options() -> None:
    sam = f"{NET}{CONV}{CONV}[sam]\nfrom=-2\n"
    (warning,) = darkparse.compile(sam, dialect="third").diagnostics
    assert warning.message == "someone/darknet does not support [sam]; darkparse compiles it as in AlexeyAB/darknet"
    boxed = NET + "letter_box=1\n" + CONV
    (warning,) = darkparse.compile(boxed, dialect="third").diagnostics
    assert warning.message == "someone/darknet does not support 'letter_box' in [net] and ignores it"
    swish = darkparse.compile(NET + CONV.replace("leaky", "swish"), dialect="third")
    assert "does not support activation 'swish' and uses relu instead" in swish.diagnostics[0].message
    assert swish.nodes[0].modules[2].target == "torch.nn.ReLU"


def test_choose_dialect_prefers_fork_that_introduced_the_evidence() -> None:
    config = darkparse.read(ACTIVATION)
    assert choose_dialect(config).dialect.name == "third"
    assert choose_dialect(config).reason == "only someone/darknet supports activation=softplus"
    assert choose_dialect(darkparse.read(FORKED)).dialect.name == "alexeyab"
    both = darkparse.read(FORKED + "[conv]\nactivation=softplus\n")
    assert choose_dialect(both).dialect.name == "third"
    assert darkparse.compile("yolov4").dialect.name == "alexeyab"
    assert darkparse.compile("yolov3").dialect.name == "pjreddie"
    assert choose_dialect(darkparse.read(f"{NET}{CONV}"), version=(0, 2, 5)).dialect.name == "alexeyab"


def test_choose_dialect_never_picks_fork_that_is_not_detectable() -> None:
    quiet = fork(DIALECTS["third"], "quiet", "nobody/darknet", auto_detectable=False, version=(7, 7, 7))
    assert choose_dialect(darkparse.read(ACTIVATION)).dialect.name == "third"
    assert choose_dialect(darkparse.read(f"{NET}{CONV}"), version=(7, 7, 7)).dialect.name == "pjreddie"
    network = darkparse.compile(ACTIVATION, darkparse.CompileOptions(strict=True), dialect="quiet")
    assert network.dialect is quiet
    assert "[sam]" in darkparse.compile(f"{NET}{CONV}{CONV}[sam]\nfrom=-2\n", dialect="quiet").diagnostics[0].message


def test_fork_with_taken_name_raises() -> None:
    with pytest.raises(ValueError, match="dialect 'third' is already registered for someone/darknet"):
        fork(DIALECTS["pjreddie"], "third", "another/darknet")


def test_show_accepts_added_dialect() -> None:
    code = (
        "import tests.layers.added.fork; from darkparse.cli import main; main(['show', 'yolov4', '--dialect', 'third'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "dialect third: requested" in run.stdout
