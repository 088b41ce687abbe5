"""Learning rate of each batch, and the number of images and batches seen."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from darkparse.errors import cfg_error
from darkparse.layers.training import NetTraining
from darkparse.network import Network
from darkparse.network.training import bind_net_training, count_images_per_batch
from darkparse.training.optimizers import DarknetOptimizer
from darkparse.weights import Header


class Schedule:
    """Learning rate schedule of a network (network.c get_current_rate) and counter of seen images.

    Attributes:
        batch: Number of the next batch, from 1.
        images: Number of images per batch.
        seen: Number of images seen in training; AlexeyAB's Darknet counts complete batches of the current size.

    Args:
        network: Network whose `[net]` defines the policy.
        seen: Number of images seen before.
        update: Optimizer whose learning rate is set; its model's header counts the seen images.

    Raises:
        CfgError: An option that the policy requires is missing.
    """

    def __init__(self, network: Network, seen: int = 0, update: DarknetOptimizer | None = None) -> None:
        self.options = bind_net_training(network)
        _check_policy(network, self.options)
        self._dialect = network.dialect
        self.images, self._update = count_images_per_batch(network), update
        self.seen = seen // self.images * self.images if network.dialect.training.counts_iterations else seen
        self._apply()

    @property
    def batch(self) -> int:
        return self.seen // self.images + 1

    def step(self) -> None:
        """Count one batch: update the seen images, the iteration and the next learning rate."""
        self.seen += self.images
        if self._update is not None:
            model = self._update.model
            self._update.average(self.batch - 1)
            header = model.header or Header.from_version(self._dialect.version, self._dialect)
            model.header = replace(header, seen=self.seen)
        self._apply()

    def _apply(self) -> None:
        if self._update is not None:
            self._update.model.iteration = self.batch - 1
            self._update.start(self.batch, self.rate(self.batch))

    def rate(self, batch: int) -> float:
        """Return the learning rate of a batch, counted from 1."""
        net = self.options
        if batch < net.burn_in:
            return net.learning_rate * math.pow(batch / net.burn_in, net.power)
        match net.policy:
            case "step":
                return net.learning_rate * math.pow(net.scale, batch // net.step)
            case "steps":
                passed = (scale for step, scale in zip(net.steps, net.scales, strict=False) if step <= batch)
                return net.learning_rate * math.prod(passed)
            case "exp":
                return net.learning_rate * math.pow(net.gamma, batch)
            case "poly":
                return net.learning_rate * math.pow(max(1 - batch / net.max_batches, 0.0), net.power)
            case "sigmoid":
                return net.learning_rate / (1 + math.exp(min(net.gamma * (batch - net.step), 700)))
            case "random":
                return net.learning_rate * math.pow(random.Random(batch).random(), net.power)
            case "sgdr":
                return self._sgdr_rate(batch)
        return net.learning_rate

    def _sgdr_rate(self, batch: int) -> float:
        """Return a cosine from `learning_rate` down to `learning_rate_min`, in cycles that grow by `sgdr_mult`."""
        net, start = self.options, 0
        cycle = _sgdr_cycle(net)
        while start + cycle < batch:
            start, cycle = start + cycle, cycle * net.sgdr_mult
        factor = (1 + math.cos((batch - start) * math.pi / cycle)) / 2
        return net.learning_rate_min + factor * (net.learning_rate - net.learning_rate_min)


def _sgdr_cycle(net: NetTraining) -> int:
    return net.max_batches if net.sgdr_cycle is None else net.sgdr_cycle


def _check_policy(network: Network, net: NetTraining) -> None:
    requirements = {
        "steps": (len(net.scales) >= len(net.steps) > 0, "steps, and a number of scales for each"),
        "poly": (net.max_batches > 0, "max_batches"),
        "sgdr": (_sgdr_cycle(net) > 0 and net.sgdr_mult > 0, "max_batches, or sgdr_cycle"),
    }
    is_met, requirement = requirements.get(net.policy, (True, ""))
    if not is_met:
        section = network.config.net
        at = section.find("policy")
        raise cfg_error("training", f"policy={net.policy} needs {requirement}", at.span if at else section.span)
