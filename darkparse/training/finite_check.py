"""Where numbers that are infinite or none come from: "NaN loss" is what trainings are most often asked about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.model.darknet import Darknet
from darkparse.training.losses.network import Loss

ADVICE = "a lower learning_rate=, a longer burn_in= or other weights to start from help; {last} is as it was before"


def check_loss(model: Darknet, batch: int, x: Tensor, paths: Sequence[str], loss: Loss, last: object) -> None:
    """Stop at a loss that is not finite: which head's, from which layer on, and of which picture.

    Args:
        model: in training mode.
        batch: its number.
        x: (N, C, H, W) that went in.
        paths: of the pictures in it.
        loss: of it.
        last: the weights that were written last.

    Raises:
        DarkparseError: a loss is not finite.
    """
    if torch.isfinite(loss.total):
        return
    head = next((index for index, cost in loss.costs.items() if not torch.isfinite(cost)), next(iter(loss.costs)))
    told = f"batch {batch}: the loss of {_place(model, head)} is not finite"
    spoiled = _odd(model.named_parameters())
    if spoiled is not None:
        raise DarkparseError(f"{told}, and before it {_owner(model, spoiled)} has a weight that is not: {spoiled}")
    with torch.no_grad():
        outputs = model.layer_outputs(x)
    first = next((index for index, out in enumerate(outputs) if not torch.isfinite(out).all()), None)
    if first is None:
        sizes = outputs[head].flatten(1).abs().amax(1)
        where = f"its inputs reach {sizes.max():.3g}"
    else:
        sizes = (~torch.isfinite(outputs[first].flatten(1))).sum(1)
        where = f"{_place(model, first)} is the first whose output is not"
    picture = paths[int(sizes.argmax())]
    raise DarkparseError(f"{told}; {where}, worst in the picture {picture}. {ADVICE.format(last=last)}")


def check_gradients(model: Darknet, batch: int, last: object) -> None:
    """Stop before the update at a gradient that is not finite: it would spoil weights that are then written.

    Raises:
        DarkparseError: one is not.
    """
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if torch.isfinite(torch.nn.utils.get_total_norm(list(gradients.values()))):
        return
    name = _odd(reversed(gradients.items()))  # the last layer's comes first
    if name is not None:
        told = f"batch {batch}: the gradient of {_owner(model, name)} is not finite: {name}"
        raise DarkparseError(f"{told}. {ADVICE.format(last=last)}")


def _odd(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    return next((name for name, tensor in tensors if not torch.isfinite(tensor).all()), None)


def _owner(model: Darknet, name: str) -> str:
    return _place(model, int(name.split(".")[1]))


def _place(model: Darknet, index: int) -> str:
    node = model.network.nodes[index]
    return f"layer {index} [{node.kind}] ({node.section.span})"
