"""All losses of a network, handed out as one number whose gradient is Darknet's."""

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

Truth = Sequence[Tensor] | Tensor
"""For box heads one tensor (K, 5) a picture: x, y, w, h of the box, centre and size as shares of the network's input,
and class. For the others one tensor (N, n)."""


class HeadLoss(Protocol):
    """What one head computes."""

    def __call__(self, output: Tensor, truth: Any, seen: int) -> tuple[Tensor, Tensor]:
        """The delta of what comes into the head, in its shape and memory order, and the cost.

        Args:
            output: the head's output.
            truth: see Truth.
            seen: pictures seen in training, this batch's among them.
        """


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss of one batch.

    Attributes:
        total: a scalar. Its gradient at what comes into each head is minus Darknet's delta, summed over the batch,
            which for many heads is the gradient of no function; its value is the sum of the costs.
        costs: of each head, by its layer's index, as Darknet has it in `*l.cost`.
        parts: of each head of boxes the squares of its delta by what they are for: box, objectness, class.
    """

    total: Tensor
    costs: Mapping[int, Tensor]
    components: Mapping[int, Mapping[str, Tensor]]

    @property
    def cost(self) -> Tensor:
        """The mean over the heads; Darknet prints it divided by the number of pictures (network.c get_network_cost)."""
        return torch.stack(tuple(self.costs.values())).mean()


class Losses:
    """The losses of a network's heads, built from the cfg.

    Attributes:
        heads: what computes the delta of each, by its layer's index.
        entries: for each the layer whose output gets the delta.

    Raises:
        DarkparseError: the network has no loss.
        CfgError: an option of a head is wrong, or the head is of a kind that is not trained.
    """

    def __init__(self, model: nn.Module) -> None:
        network = unwrap_model(model).network
        self.heads = {node.index: loss for node in network.nodes if (loss := _build_loss(network, node)) is not None}
        if not self.heads:
            raise DarkparseError(f"{network.name} has no layer with a loss: end it in a head, [softmax] or [cost]")
        self.entries = {index: _find_entry(network, network.nodes[index]) for index in self.heads}

    def __call__(self, outputs: Sequence[Tensor], truth: Truth, *, seen: int) -> Loss:
        """The loss of one mini-batch.

        Args:
            outputs: of every layer, from `model.layer_outputs(x)` in training mode.
            truth: for box heads one tensor (K, 5) a picture: x, y, w, h, class; else one tensor (N, n).
            seen: pictures seen in training, this batch's among them.

        Raises:
            ValueError: the truth is not of that form.
        """
        costs, head_losses, components = {}, [], {}
        for index, head in self.heads.items():
            with torch.no_grad():
                delta, cost = head(_to_float32(outputs[index].detach()), truth, seen)
            costs[index] = cost
            if hasattr(head, "components"):
                components[index] = head.components(delta)
            entry = outputs[self.entries[index]]
            delta = delta.reshape(entry.shape).to(entry.dtype)
            head_losses.append(_DarknetGradient.apply(entry, delta, cost))  # type: ignore[no-untyped-call]
        return Loss(torch.stack(head_losses).sum(), costs, components)


def _to_float32(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x if x.dtype == torch.float64 else x.float()


class _DarknetGradient(torch.autograd.Function):
    """The cost, whose gradient is minus the delta."""

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
    """The layer whose output gets the delta: what comes in, or what came into a softmax before it."""
    index = node.inputs[0]
    while index >= 0 and isinstance(layer := network.nodes[index].layer, LossLayer) and layer.is_identity_backward:
        index = network.nodes[index].inputs[0]
    if index < 0:
        raise cfg_error("training", "nothing is trained by a loss on the network's input", node.section.span)
    return index
