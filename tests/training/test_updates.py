"""What the optimizer and the schedule do beside Darknet's numbers: freezing, counting, saving."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import darkparse
from darkparse.weights.header import Header
from tests.conftest import DATA, ROOT
from tests.model.samples import narrow

NET = """[net]
batch={batch}
width=16
height=16
channels=3
{net}
learning_rate=.01
momentum=.5
decay=.1
"""
LAYERS = """[convolutional]
batch_normalize=1
filters=4
{first}
[convolutional]
filters=4
{second}
[shortcut]
from=-2
{shortcut}
[convolutional]
filters=2
[cost]
"""


def _network(batch: int = 2, net: str = "", first: str = "", second: str = "", shortcut: str = "") -> str:
    return NET.format(batch=batch, net=net) + LAYERS.format(first=first, second=second, shortcut=shortcut)


def _built(text: str, dialect: str = "alexeyab") -> darkparse.Darknet:
    torch.manual_seed(5)
    return darkparse.build(darkparse.compile(text, dialect=dialect), initialize=True)


def _train(model: darkparse.Darknet, batches: int, seen: int | None = None) -> darkparse.training.Schedule:
    losses = darkparse.training.losses.Losses(model)
    optimizer, schedule = darkparse.training.build_optimizer(model, seen=seen)
    for _ in range(batches):
        outputs = model.layer_outputs(torch.rand(model.network.net.batch, 3, 16, 16))
        truth = torch.rand(len(outputs[-1]), outputs[-1][0].numel())
        losses(outputs, truth, seen=schedule.seen + len(truth)).total.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return schedule


def _copy(model: darkparse.Darknet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _moved(model: darkparse.Darknet, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(("dialect", "seen", "saved"), [("pjreddie", 10, 10 + 3 * 4), ("alexeyab", 10, 8 + 3 * 4)])
def test_seen_after_changed_batch_continues_as_in_fork(dialect: str, seen: int, saved: int, tmp_path: Path) -> None:
    """pjreddie's counts pictures, AlexeyAB's whole batches of the size of today (parser.c:1999)."""
    model = _built(_network(batch=4), dialect)
    model.header = Header.from_version((0, 2, 0), model.network.dialect, seen)
    schedule = _train(model, 3)
    assert schedule.batch == seen // 4 + 3 + 1
    darkparse.save_weights(model, tmp_path / "next.weights")
    header = darkparse.load(model.network, tmp_path / "next.weights").header
    assert header is not None
    assert header.seen == saved


def test_build_optimizer_counts_nothing(tmp_path: Path) -> None:
    model = _built(_network(batch=4))
    model.header = Header.from_version((0, 2, 0), model.network.dialect, 7)
    darkparse.training.build_optimizer(model)
    assert (model.header or Header()).seen == 7


@pytest.mark.parametrize("upto", range(1, 6))
def test_partial_weights_are_trained_and_saved(upto: int, tmp_path: Path) -> None:
    """As `darknet partial` makes it, with seen 0."""
    text = _network()
    darkparse.save_weights(_built(text), tmp_path / "part.weights", upto=upto, seen=0)
    model = darkparse.load(
        text, tmp_path / "part.weights", darkparse.ReadOptions(allow_partial=True), dialect="alexeyab"
    ).train()
    before = _copy(model)
    _train(model, 1)
    assert len(_moved(model, before)) == len(before)
    darkparse.save_weights(model, tmp_path / "next.weights")
    again = darkparse.load(text, tmp_path / "next.weights", dialect="alexeyab")
    assert again.header is not None
    assert (again.header.version, again.header.seen) == ((0, 2, 5), 2)
    assert _moved(again, _copy(model)) == set()


def test_stopbackward_in_alexeyab_freezes_earlier_layers() -> None:
    model = _built(_network(second="stopbackward=1"))
    before = _copy(model)
    _train(model, 2)
    moved = {"layers.1.conv.weight", "layers.3.conv.weight", "layers.3.conv.bias"}
    assert _moved(model, before) == moved, "the layer itself decays, those before it rest"
    assert not model.layers[0].training
    model.eval().train()
    assert not model.layers[0].training


def test_stopbackward_in_pjreddie_keeps_decay() -> None:
    model = _built(_network(second="stopbackward=1"), "pjreddie")
    before = _copy(model)
    _train(model, 2)
    decayed = {"layers.0.conv.weight", "layers.1.conv.weight"}
    statistics = {"layers.0.norm.running_mean", "layers.0.norm.running_var"}
    assert _moved(model, before) == decayed | statistics | {"layers.3.conv.weight", "layers.3.conv.bias"}


def test_stopbackward_until_iteration_trains_afterwards() -> None:
    model = _built(_network(first="stopbackward=2"))
    bias = model.get_parameter("layers.0.norm.bias").detach().clone()
    _train(model, 2)
    assert torch.equal(bias, model.get_parameter("layers.0.norm.bias"))
    _train(model, 1, seen=4)
    assert not torch.equal(bias, model.get_parameter("layers.0.norm.bias"))


def test_dont_update_until_iteration_trains_afterwards() -> None:
    model = _built(_network(second="dont_update=2"))
    before = _copy(model)
    _train(model, 2)
    assert not {name for name in _moved(model, before) if name.startswith("layers.1")}
    _train(model, 1, seen=4)
    assert {"layers.1.conv.weight", "layers.1.conv.bias"} <= _moved(model, before)


def test_shortcut_weights_move_by_at_most_1() -> None:
    model = _built(_network(shortcut="weights_type=per_feature\nweights_normalization=relu"))
    optimizer, schedule = darkparse.training.build_optimizer(model, seen=0)
    weight = model.get_parameter("layers.2.add.weight")
    for _ in range(3):
        before = weight.detach().clone()
        weight.grad = torch.tensor([-400.0, 3.0])
        optimizer.step()
        schedule.step()
        step = (weight - before) / (schedule.rate(1) / 2)
        assert torch.allclose(step, torch.tensor([1.0, -1.0]), atol=1e-3)


def test_ema_averages_replace_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkparse.training.optimizers.EMA_LAST_BATCHES", 2)
    model = _built(_network(net="max_batches=6\nema_alpha=.5"))
    _, schedule = darkparse.training.build_optimizer(model, seen=0)
    weight, values = model.get_parameter("layers.1.conv.weight"), []
    for batch in range(1, 5):
        weight.data.fill_(float(batch))
        schedule.step()
        values.append(float(weight.detach().flatten()[0]))
    assert values == [1, 2, 3, 3], "the average starts at batch 3 and is taken at 4"


def test_adam_step_continues_in_alexeyab() -> None:
    for dialect, step in (("alexeyab", 5), ("pjreddie", 0)):
        optimizer, _ = darkparse.training.build_optimizer(_built(_network(net="adam=1"), dialect), seen=10)
        assert {int(state["step"]) for state in optimizer.state.values()} == ({step} if step else set())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_network(net="policy=steps\nsteps=3,4\nscales=.1"), "one scales= value per step"),
        (_network(net="policy=poly"), "max_batches"),
        (_network(net="momentum=x"), "expected a number"),
        (_network().replace("[cost]", "[contrastive]"), "cannot be trained"),
        (_network().replace("[cost]", ""), "no layer with a loss"),
    ],
)
def test_training_unsupported_network_raises(text: str, message: str) -> None:
    with pytest.raises(darkparse.DarkparseError, match=message):
        _train(_built(text), 1)


def test_losses_of_iseg_raise() -> None:
    text = (DATA / "kinds" / "iseg.cfg").read_text()
    with pytest.raises(darkparse.CfgError, match="mask for every object"):
        darkparse.training.losses.Losses(_built(text, "pjreddie"))


def test_unknown_policy_is_constant_with_warning() -> None:
    network = darkparse.compile(_network(net="policy=sig"), dialect="alexeyab")
    with pytest.warns(UserWarning, match="unknown value 'sig'"):
        assert darkparse.training.Schedule(network).rate(5000) == pytest.approx(0.01)


def test_losses_of_truth_with_wrong_type_raise() -> None:
    model = _built(narrow("yolov3-tiny"))
    losses = darkparse.training.losses.Losses(model)
    outputs = model.layer_outputs(torch.rand(2, 3, 64, 64))
    with pytest.raises(ValueError, match=r"list of 2 tensors \(K, 5\)"):
        losses(outputs, torch.zeros(2, 5), seen=0)


def test_training_does_not_import_compiler_of_torch() -> None:
    """It takes 1.6 s to import, and PyTorch's own optimizers do."""
    script = """
import sys
from tests.training.test_updates import _built, _network, _train
for net in ("", "adam=1"):
    _train(_built(_network(net=net)), 2)
assert "torch._dynamo" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
