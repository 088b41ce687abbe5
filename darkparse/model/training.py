"""Forward passes during training: frozen layers, gradient limits, and recurrent layers through time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from darkparse.layers.capabilities import LimitedGradient
from darkparse.model.recurrent import StatefulModule
from darkparse.network import Network, Node
from darkparse.network.freezing import find_gradient_stops
from darkparse.network.training import bind_layer_training


class TrainingRules:
    """Training options of a network's layers.

    Attributes:
        frozen: Indices of the layers that run in eval mode and are not updated.
    """

    def __init__(self, network: Network) -> None:
        options = [bind_layer_training(network, node) for node in network.nodes]
        self._freezes_whole_layers = network.dialect.training.freezes_whole_layers
        self._stop_iterations = {index: o.stopbackward for index, o in enumerate(options) if o.stopbackward}
        self._forward_only = frozenset(index for index, o in enumerate(options) if o.onlyforward)
        stops = find_gradient_stops(self._stop_iterations, network.dialect)
        self.frozen = stops[0].frozen if stops else range(0)
        self._steps = network.net.time_steps

    def run(self, node: Node, layer: nn.Module, inputs: list[Any], iteration: int) -> Tensor:
        """Run a layer so that its gradient flows back as in Darknet, and return its output."""
        is_cut = node.index in self._forward_only or node.index <= self._find_stop(iteration)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_cut):
            if node.layer.has_state:
                return run_through_time(layer, inputs[0], self._steps)
            out: Tensor = layer(*inputs)
            return limit_gradient(out) if isinstance(node.layer, LimitedGradient) else out

    def _find_stop(self, iteration: int) -> int:
        """Return the layer at which the gradient stops, -1 for none.

        In `stopbackward=N`, AlexeyAB's Darknet treats N above 1 as the iteration up to which the option holds
        (network_kernels.cu:172).
        """
        active = (
            i
            for i, until in self._stop_iterations.items()
            if not self._freezes_whole_layers or until == 1 or until > iteration
        )
        return max(active, default=-1)


def run_through_time(layer: nn.Module, x: Tensor, steps: int) -> Tensor:
    """Run a recurrent layer over time steps, starting from a state of zeros.

    Args:
        layer: The layer.
        x: The mini-batch of each step, one after the other: (steps · N, …).
        steps: Number of time steps.

    Returns:
        The outputs, in the order of `x`.

    Raises:
        ValueError: The number of rows is not a multiple of `steps`.
    """
    if len(x) % steps:
        raise ValueError(f"batch size must be a multiple of time_steps={steps}, got {len(x)}")
    stateful_modules = [module for module in layer.modules() if isinstance(module, StatefulModule)]
    for module in stateful_modules:
        module.reset_state()
    out = torch.cat([layer(part) for part in x.chunk(steps)])
    for module in stateful_modules:
        module.reset_state()
    return out


class _GradientLimit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.clamp(-1, 1)


def limit_gradient(x: Tensor) -> Tensor:
    """Return `x` unchanged, and clamp its gradient to ±1 in the backward pass."""
    out: Tensor = _GradientLimit.apply(x)  # type: ignore[no-untyped-call]
    return out
