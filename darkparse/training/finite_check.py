"""Detection of NaN and infinite values, with the head, layer and image that they come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.model.darknet import Darknet
from darkparse.training.losses.network import Loss

ADVICE = "hint: try a lower learning_rate=, a longer burn_in= or other initial weights; {last} is unchanged"


def check_loss(model: Darknet, batch: int, x: Tensor, paths: Sequence[str], loss: Loss, last: object) -> None:
    """Raise an error that names head, first layer and image if a loss is not finite.

    Args:
        model: Module in training mode.
        batch: Batch number.
        x: Input (N, C, H, W).
        paths: Paths of the images in it.
        loss: Loss of the batch.
        last: Path of the last saved weights.

    Raises:
        DarkparseError: A loss is not finite.
    """
    if torch.isfinite(loss.total):
        return
    head = next((index for index, cost in loss.costs.items() if not torch.isfinite(cost)), next(iter(loss.costs)))
    message = f"batch {batch}: the loss of {_describe_layer(model, head)} is not finite"
    bad_weight = _find_nonfinite(model.named_parameters())
    if bad_weight is not None:
        raise DarkparseError(
            f"{message}, because weight {bad_weight} of {_describe_owner(model, bad_weight)} is not finite"
        )
    with torch.no_grad():
        outputs = model.layer_outputs(x)
    first = next((index for index, out in enumerate(outputs) if not torch.isfinite(out).all()), None)
    if first is None:
        scores = outputs[head].flatten(1).abs().amax(1)
        where = f"its inputs are as large as {scores.max():.3g}"
    else:
        scores = (~torch.isfinite(outputs[first].flatten(1))).sum(1)
        where = f"{_describe_layer(model, first)} is the first with an output that is not finite"
    image = paths[int(scores.argmax())]
    raise DarkparseError(f"{message}; {where}, worst for image {image}\n{ADVICE.format(last=last)}")


def check_gradients(model: Darknet, batch: int, last: object) -> None:
    """Raise an error if a gradient is not finite, before the update corrupts the weights.

    Raises:
        DarkparseError: A gradient is not finite.
    """
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if torch.isfinite(torch.nn.utils.get_total_norm(list(gradients.values()))):
        return
    name = _find_nonfinite(reversed(gradients.items()))  # the backward pass starts at the last layer
    if name is not None:
        message = f"batch {batch}: the gradient of {_describe_owner(model, name)} is not finite: {name}"
        raise DarkparseError(f"{message}\n{ADVICE.format(last=last)}")


def _find_nonfinite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    return next((name for name, tensor in tensors if not torch.isfinite(tensor).all()), None)


def _describe_owner(model: Darknet, name: str) -> str:
    return _describe_layer(model, int(name.split(".")[1]))


def _describe_layer(model: Darknet, index: int) -> str:
    node = model.network.nodes[index]
    return f"layer {index} [{node.kind}] ({node.section.span})"
