"""Where a delta is a gradient, of which function; where it is none; and recurrent layers beside plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import darkparse
from darkparse.network.training import bind_layer_training
from darkparse.training.losses.boxes import ciou, diou, giou, iou, overlap_delta

HEAD = """[net]
batch=2
width=32
height=24
channels=3
{net}
[convolutional]
filters=6
size=3
stride=8
pad=1
activation=linear
{more}
"""
YOLO = """[convolutional]
filters=16
activation=linear
[yolo]
classes=3
num=2
anchors=6,8, 14,10
{options}
"""
TRUTH = [
    torch.tensor([[0.3, 0.4, 0.2, 0.3, 1.0], [0.7, 0.6, 0.5, 0.4, 2.0]], dtype=torch.float64),
    torch.tensor([[0.52, 0.55, 0.22, 0.31, 0.0]], dtype=torch.float64),
]


def _model(text: str, dialect: str) -> darkparse.Darknet:
    torch.manual_seed(3)
    return darkparse.build(darkparse.compile(text, dialect=dialect), initialize=True).double().train()


def _slopes(function: Callable[[Tensor], Tensor], x: Tensor, step: float = 1e-6) -> Tensor:
    """The derivative by central differences."""
    slopes = torch.zeros_like(x)
    for i in range(x.numel()):
        shift = torch.zeros_like(x).flatten()
        shift[i] = step
        shift = shift.reshape(x.shape)
        slopes.view(-1)[i] = (function(x + shift) - function(x - shift)) / (2 * step)
    return slopes


def _delta(model: darkparse.Darknet, x: Tensor, truth: Sequence[Tensor] | Tensor) -> tuple[Tensor, Tensor]:
    """The gradient that the last layer hands to the one before, and that layer's output."""
    outputs = model.layer_outputs(x)
    index = len(outputs) - 2
    outputs[index].retain_grad()
    darkparse.training.losses.Losses(model)(outputs, truth, seen=99999).total.backward()
    gradient = outputs[index].grad
    assert gradient is not None
    return gradient, outputs[index].detach()


@pytest.mark.parametrize("kind", ["sse", "smooth", "L1", "masked"])
def test_cost_delta_is_gradient(kind: str) -> None:
    model = _model(HEAD.format(net="", more=f"[cost]\ntype={kind}"), "pjreddie")
    gradient, before = _delta(model, torch.rand(2, 3, 24, 32).double(), truth := torch.randn(2, 6 * 3 * 4).double())

    def half(x: Tensor) -> Tensor:
        d = truth - x.flatten(1)
        if kind == "smooth":
            return torch.where(d.abs() < 1, d * d / 2, d.abs() - 0.5).sum()
        return d.abs().sum() if kind == "L1" else (d * d).sum() / 2

    assert torch.allclose(gradient, _slopes(half, before), atol=1e-6)


@pytest.mark.parametrize(("layer", "dialect"), [("softmax", "alexeyab"), ("logistic", "pjreddie")])
def test_cross_entropy_delta_is_gradient(layer: str, dialect: str) -> None:
    model = _model(HEAD.format(net="", more=f"[avgpool]\n[{layer}]"), dialect)
    truth = F.one_hot(torch.tensor([1, 4]), 6).double()
    gradient, before = _delta(model, torch.rand(2, 3, 24, 32).double(), truth)

    def entropy(x: Tensor) -> Tensor:
        x = x.flatten(1)
        if layer == "softmax":
            return F.cross_entropy(x, truth, reduction="sum")
        return F.binary_cross_entropy_with_logits(x, truth, reduction="sum")

    assert torch.allclose(gradient, _slopes(entropy, before).reshape(gradient.shape), atol=1e-6)


@pytest.mark.parametrize("dialect", ["pjreddie", pytest.param("alexeyab", marks=pytest.mark.slow)])
def test_yolo_delta_is_gradient_of_cross_entropy_and_squares(dialect: str) -> None:
    """Of objectness and classes it is that of a cross-entropy, of width and height that of half a square; x and y lack
    the slope of their logistic, so they have the gradient of a cross-entropy with a soft target."""
    model = _model(HEAD.format(net="", more=YOLO.format(options="ignore_thresh=1.1\niou_normalizer=1")), dialect)
    gradient, before = _delta(model, torch.rand(2, 3, 24, 32).double(), TRUTH)
    changed = gradient.unflatten(1, (2, 8))
    target = torch.sigmoid(before.unflatten(1, (2, 8))) - changed
    assigned = changed[:, :, :4].abs().amax(2) > 0
    assert assigned.sum() == 3

    def loss(x: Tensor) -> Tensor:
        entries = x.unflatten(1, (2, 8))
        rest = F.binary_cross_entropy_with_logits(entries[:, :, 4:], target[:, :, 4:].round(), reduction="none")
        return rest[:, :, 0].sum() + rest[:, :, 1:].sum(2)[assigned].sum()

    slopes = _slopes(loss, before).unflatten(1, (2, 8))
    assert torch.allclose(changed[:, :, 4:], slopes[:, :, 4:], atol=1e-6)
    assert set(target[:, :, 5:].permute(0, 1, 3, 4, 2)[assigned].round(decimals=9).unique().tolist()) == {0.0, 1.0}


BOX = torch.tensor([[0.5, 0.52, 0.3, 0.25]], dtype=torch.float64)
OVER = torch.tensor([[0.58, 0.45, 0.2, 0.3]], dtype=torch.float64)
APART = torch.tensor([[0.9, 0.1, 0.1, 0.1]], dtype=torch.float64)
TWICE = torch.tensor([[1.0, 1.0, 2.0, 2.0]], dtype=torch.float64)


@pytest.mark.parametrize(("kind", "function"), [("iou", iou), ("giou", giou)])
def test_overlap_delta_is_gradient_up_to_factor(kind: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Of boxes that overlap: the derivative by x and y, twice that by w and h."""
    slopes = _slopes(lambda box: function(box, OVER).sum(), BOX)
    assert torch.allclose(overlap_delta(BOX, OVER, kind), slopes * TWICE, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "function", "truth"),
    [("iou", iou, APART), ("giou", giou, APART), ("diou", diou, OVER), ("ciou", ciou, OVER), ("ciou", ciou, APART)],
    ids=["iou apart", "giou apart", "diou", "ciou", "ciou apart"],
)
def test_overlap_delta_differs_from_gradient_as_in_darknet(
    kind: str, function: Callable[[Tensor, Tensor], Tensor], truth: Tensor
) -> None:
    slopes = _slopes(lambda box: function(box, truth).sum(), BOX) * TWICE
    assert not torch.allclose(overlap_delta(BOX, truth, kind), slopes, atol=1e-2)


RECURRENT = """[net]
batch={batch}
time_steps=3
inputs=5
[{layer}]
output=4
{options}
[connected]
output=2
activation=linear
[cost]
"""


@pytest.mark.parametrize(("layer", "options"), [("rnn", "hidden=6\nactivation=tanh"), ("gru", ""), ("lstm", "")])
def test_recurrent_gradient_through_time_equals_torch_loop(layer: str, options: str) -> None:
    """Beside a loop of plain torch over the steps, with the same parameters."""
    model = _model(RECURRENT.format(batch=2, layer=layer, options=options), "alexeyab")
    x, truth = torch.randn(6, 5).double(), torch.randn(6, 2).double() / 10
    outputs = model.layer_outputs(x)
    darkparse.training.losses.Losses(model)(outputs, truth, seen=0).total.backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert set(ours) == set(dict(model.named_parameters()))
    model.zero_grad()
    p = {name.removeprefix("layers.0.cell."): value for name, value in model.named_parameters()}

    def linear(name: str, value: Tensor) -> Tensor:
        return F.linear(value, p[f"{name}.linear.weight"], p[f"{name}.linear.bias"])

    state, cell, steps = torch.zeros(2, 6 if layer == "rnn" else 4).double(), torch.zeros(2, 4).double(), []
    for step in x.chunk(3):
        if layer == "rnn":
            state = torch.tanh(linear("input", step)) + torch.tanh(linear("self", state))
            steps.append(torch.tanh(linear("output", state)))
        elif layer == "gru":
            z = torch.sigmoid(linear("uz", step) + linear("wz", state))
            r = torch.sigmoid(linear("ur", step) + linear("wr", state))
            state = z * state + (1 - z) * torch.sigmoid(linear("uh", step) + linear("wh", r * state))
            steps.append(state)
        else:
            f, i, o = (torch.sigmoid(linear(f"w{k}", state) + linear(f"u{k}", step)) for k in "fio")
            cell = f * cell + i * torch.tanh(linear("wg", state) + linear("ug", step))
            state = o * torch.tanh(cell)
            steps.append(state)
    out = F.linear(torch.cat(steps), p["layers.1.linear.weight"], p["layers.1.linear.bias"])
    assert torch.allclose(out, outputs[1])
    upper = (out - truth).detach().clamp(-1, 1)
    (out * upper).sum().backward()
    for name, value in model.named_parameters():
        assert value.grad is not None
        assert torch.allclose(ours[name], value.grad, atol=1e-12), name


@pytest.mark.slow
def test_conv_lstm_gradient_through_time_equals_finite_differences() -> None:
    text = HEAD.format(net="time_steps=2", more="[conv_lstm]\noutput=4\nsize=3\npad=1\npeephole=1\n[cost]")
    model = _model(text, "alexeyab")
    x = torch.rand(4, 3, 24, 32).double()
    parameter = model.get_parameter("layers.1.cell.uf.conv.weight")

    def total(weight: Tensor) -> Tensor:
        parameter.data = weight
        return model.layer_outputs(x)[2].square().sum() / 2

    weight = parameter.detach().clone()[:1, :1]
    whole = parameter.detach().clone()

    def part(values: Tensor) -> Tensor:
        changed = whole.clone()
        changed[:1, :1] = values
        return total(changed).detach()

    slopes = _slopes(part, weight)
    loss = total(whole)
    (gradient,) = torch.autograd.grad(loss, parameter)
    assert torch.allclose(gradient[:1, :1], slopes, atol=1e-6)


def test_recurrent_batch_that_is_not_whole_steps_raises() -> None:
    model = _model(RECURRENT.format(batch=2, layer="gru", options=""), "alexeyab")
    with pytest.raises(ValueError, match="time_steps=3"):
        model.layer_outputs(torch.randn(4, 5).double())


def test_onlyforward_stops_gradient() -> None:
    text = HEAD.format(net="", more="[convolutional]\nfilters=4\nonlyforward=1\n[convolutional]\nfilters=2\n[cost]")
    model = _model(text, "pjreddie")
    outputs = model.layer_outputs(torch.rand(2, 3, 24, 32).double())
    darkparse.training.losses.Losses(model)(outputs, torch.zeros(2, 24), seen=0).total.backward()
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"2"}
    assert bind_layer_training(model.network, model.network.nodes[1]).onlyforward
