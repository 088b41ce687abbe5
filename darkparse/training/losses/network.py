"""All losses of a network, as one scalar whose gradient is Darknet's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from darkparse.errors import DarkparseError, cfg_error
from darkparse.layers import LayerError
from darkparse.layers.capabilities import LossLayer
from darkparse.model.darknet import unwrap_model
from darkparse.network import Network, Node
from darkparse.network.training import bind_training_options
from darkparse.training.losses.result import HeadResult

Truth = Sequence[Tensor] | Tensor
"""For box heads, one tensor (K, 5) per image: center x, center y, width and height as fractions of the network's input,
and class. For other heads, one tensor (N, n).
"""


class HeadLoss(Protocol):
    """Loss of one head."""

    def __call__(self, output: Tensor, truth: Any, seen: int) -> HeadResult:
        """Compute delta and cost.

        Args:
            output: Output of the head.
            truth: See `Truth`.
            seen: Number of images seen in training, including this batch.
        """


@dataclass(frozen=True, eq=False)
class Loss:
    """Loss of one batch.

    Attributes:
        total: A scalar: the sum of the costs. Its gradient at each head's input is minus Darknet's delta, summed over
            the batch; for many heads this is not the gradient of any function.
        costs: Cost of each head by layer index, as in Darknet's `*l.cost`.
        components: Squared deltas of each box head by component: box, objectness, class.
        overlaps: (k,) for each box head: IoU of each predictor that is assigned a true box with that box.
        objectness: Highest objectness of any predictor, for each box head.
    """

    total: Tensor
    costs: Mapping[int, Tensor]
    components: Mapping[int, Mapping[str, Tensor]]
    overlaps: Mapping[int, Tensor]
    objectness: Mapping[int, Tensor]

    @property
    def cost(self) -> Tensor:
        """Mean cost of the heads; Darknet prints it divided by the number of images (network.c get_network_cost)."""
        return torch.stack(tuple(self.costs.values())).mean()


class Losses:
    """Losses of a network's heads, built from the cfg.

    Attributes:
        heads: Loss of each head, by layer index.
        entries: For each head, index of the layer whose output gets the delta.

    Raises:
        DarkparseError: The network has no loss.
        CfgError: An option of a head is invalid, or the head's kind cannot be trained.
    """

    def __init__(self, model: nn.Module) -> None:
        network = unwrap_model(model).network
        self.heads = {node.index: loss for node in network.nodes if (loss := _build_loss(network, node)) is not None}
        if not self.heads:
            raise DarkparseError(
                f"{network.name} has no layer with a loss; expected a head, [softmax] or [cost] at the end"
            )
        self.entries = {index: _find_entry(network, network.nodes[index]) for index in self.heads}

    def __call__(self, outputs: Sequence[Tensor], truth: Truth, *, seen: int) -> Loss:
        """Compute the loss of one mini-batch.

        Args:
            outputs: Outputs of all layers, from `model.layer_outputs(x)` in training mode.
            truth: For box heads one tensor (K, 5) per image: x, y, w, h, class; otherwise one tensor (N, n).
            seen: Number of images seen in training, including this batch.

        Raises:
            ValueError: The truth has another form.
        """
        head_losses, components, results = [], {}, dict[int, HeadResult]()
        for index, head in self.heads.items():
            with torch.no_grad():
                result = results[index] = head(_to_float32(outputs[index].detach()), truth, seen)
            if hasattr(head, "components"):
                components[index] = head.components(result.delta)
            entry = outputs[self.entries[index]]
            delta = result.delta.reshape(entry.shape).to(entry.dtype)
            head_losses.append(_DarknetGradient.apply(entry, delta, result.cost))  # type: ignore[no-untyped-call]
        return Loss(
            torch.stack(head_losses).sum(),
            {index: result.cost for index, result in results.items()},
            components,
            {index: result.overlaps for index, result in results.items() if result.overlaps is not None},
            {index: result.objectness for index, result in results.items() if result.objectness is not None},
        )


def _to_float32(x: Tensor) -> Tensor:
    """Convert half-precision values to float32; float64 is kept."""
    return x if x.dtype == torch.float64 else x.float()


class _DarknetGradient(torch.autograd.Function):
    """Function that returns the cost and whose gradient is minus the delta."""

    @staticmethod
    def forward(ctx: Any, entry: Tensor, delta: Tensor, cost: Tensor) -> Tensor:
        ctx.save_for_backward(delta)
        return cost.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (delta,) = ctx.saved_tensors
        return delta * -gradient, None, None


def _build_loss(network: Network, node: Node) -> HeadLoss | None:
    if not isinstance(node.layer, LossLayer):
        return None
    options = bind_training_options(network, node.section, node.layer.loss_options)
    try:
        spec = node.layer.loss(node.context, options, network.input_shape)
    except LayerError as problem:
        at = node.section.find(problem.option) if problem.option else None
        raise cfg_error("training", str(problem), at.span if at else node.section.span) from None
    module, _, name = spec.target.rpartition(".")
    loss: HeadLoss = getattr(import_module(module), name)(**spec.kwargs)
    return loss


def _find_entry(network: Network, node: Node) -> int:
    """Return the layer whose output gets the delta: the head's input, or that of a softmax before it."""
    index = node.inputs[0]
    while index >= 0 and isinstance(layer := network.nodes[index].layer, LossLayer) and layer.is_identity_backward:
        index = network.nodes[index].inputs[0]
    if index < 0:
        raise cfg_error("training", "cannot train a loss on the network's input", node.section.span)
    return index
