"""PyTorch optimizers with Darknet's parameter groups."""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn

from darkparse.layers.training import LayerTraining, NetTraining
from darkparse.model.darknet import Darknet
from darkparse.network.training import bind_layer_training, count_images_per_batch
from darkparse.weights.layout import state_key

Group = dict[str, Any]

DECAYED_ROLES = ("weight", "constant")
"""Roles of tensors with weight decay under SGD; Adam decays all (blas_kernels.cu adam_update_gpu)."""
LIMITED_ROLE = "factor"
"""Role of tensors whose updates are clipped to ±1: the weights of an addition (AlexeyAB shortcut_layer.c)."""
EMA_LAST_BATCHES = 1000
"""Number of batches before the last one at which averages replace the weights (AlexeyAB network.c train_network)."""


class DarknetOptimizer(torch.optim.Optimizer):
    """Darknet's rules around the step of a PyTorch optimizer.

    A parameter without a gradient is treated as having a gradient of 0: it still decays, for example if `stopbackward`
    or `onlyforward` stops its gradient.
    """

    model: Darknet
    batch: int
    averages: dict[Tensor, Tensor]
    net: NetTraining

    # PyTorch wraps these methods and `step` to keep its compiler out of them, and imports the compiler for that: 1.6 s
    # at the start of a training.
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)

    def start(self, batch: int, rate: float) -> None:
        """Set the number of the next batch and its learning rate."""
        self.batch = batch
        for group in self.param_groups:
            group["lr"] = rate * group["factor"]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters from the gradients of one batch."""
        for group in self.param_groups:
            is_frozen = group["dont_update"] >= self.batch
            for parameter in group["params"]:
                if is_frozen:
                    parameter.grad = None
                elif parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            if group["limited"]:
                self.limit(group)
        with torch.no_grad():
            unwrap(super().step.__func__)(self, closure)  # type: ignore[attr-defined]
            for parameter, clip in ((p, group["clip"]) for group in self.param_groups for p in group["params"]):
                if clip:
                    parameter.clamp_(-clip, clip)

    def limit(self, group: Group) -> None:
        """Clip the updates of a group's parameters to ±1 if the optimizer requires it; the default does nothing."""

    @property
    def averaged_parameters(self) -> list[nn.Parameter]:
        """Parameters that `ema_alpha` averages."""
        nodes = (node for node in self.model.network.nodes if node.kind == "convolutional" and node.shared_with is None)
        return [parameter for node in nodes for parameter in self.model.layers[node.index].parameters()]

    @torch.no_grad()
    def average(self, iteration: int) -> None:
        """Update the moving averages of the convolutions' parameters (`ema_alpha`).

        The averages start halfway through training and replace the parameters `EMA_LAST_BATCHES` batches before its end
        (AlexeyAB network.c ema_update, ema_apply).
        """
        net, end = self.net, self.net.max_batches - EMA_LAST_BATCHES
        if not net.ema_alpha or not net.max_batches // 2 <= iteration <= end:
            return
        if not self.averages:
            self.averages = {parameter: parameter.clone() for parameter in self.averaged_parameters}
        for parameter, mean in self.averages.items():
            if iteration == end:
                parameter.copy_(mean)
            else:
                mean.lerp_(parameter, 1 - net.ema_alpha)


class Sgd(DarknetOptimizer, torch.optim.SGD):
    """SGD with momentum.

    Gradients are sums over the batch, so the learning rate is divided by the batch size and the decay multiplied by it.
    """

    def __init__(self, model: Darknet, net: NetTraining, seen: int) -> None:
        self.model, self.net, self.averages = model, net, {}
        batch = count_images_per_batch(model.network)
        groups = _build_groups(model, net, 1 / batch, net.decay * batch, DECAYED_ROLES)
        super().__init__(groups, lr=net.learning_rate, momentum=net.momentum)

    def limit(self, group: Group) -> None:
        for parameter in group["params"]:
            velocity = self.state[parameter].get("momentum_buffer")
            velocity = 0 if velocity is None else group["momentum"] * velocity
            if parameter.grad is not None:
                parameter.grad = (velocity + parameter.grad).clamp(-1, 1) - velocity


class Adam(DarknetOptimizer, torch.optim.Adam):
    """Adam on gradients summed over the batch; all parameters decay.

    AlexeyAB's Darknet counts steps from the first batch of the network, pjreddie's from the first of the run. Neither
    saves the moments (network_kernels.cu update_network_gpu).
    """

    def __init__(self, model: Darknet, net: NetTraining, seen: int) -> None:
        self.model, self.net, self.averages = model, net, {}
        batch, dialect = count_images_per_batch(model.network), model.network.dialect
        groups = _build_groups(model, net, 1.0, net.decay * batch, (*DECAYED_ROLES, "bias", "scale"))
        super().__init__(groups, lr=net.learning_rate, betas=(net.B1, net.B2), eps=net.eps)
        steps = seen // batch if dialect.training.counts_iterations else 0
        for parameter in (p for group in self.param_groups for p in group["params"] if steps):
            moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            self.state[parameter] = {"step": torch.tensor(float(steps)), **moments}


def _build_groups(
    model: Darknet, net: NetTraining, factor: float, decay: float, decayed_roles: tuple[str, ...]
) -> list[Group]:
    """Group parameters with the same settings."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    groups: dict[tuple[object, ...], Group] = {}
    frozen = model.training_rules.frozen
    for node in model.network.nodes:
        if node.index in frozen:
            continue
        options: LayerTraining = bind_layer_training(model.network, node)
        for tensor in node.tensors:
            parameter = parameters.get(state_key(node, tensor))
            if parameter is None or not parameter.requires_grad:
                continue
            settings = {
                "factor": factor * options.learning_rate,
                "weight_decay": decay if tensor.role in decayed_roles else 0.0,
                "clip": (options.clip or net.clip) if node.kind == "convolutional" and tensor.role == "weight" else 0.0,
                "dont_update": options.dont_update,
                "limited": tensor.role == LIMITED_ROLE,
            }
            group = groups.setdefault(tuple(settings.values()), {"params": [], **settings})
            group["params"].append(parameter)
    return list(groups.values())
