"""Learning rate of each batch, and the number of images and batches seen."""

from __future__ import annotations

from dataclasses import replace

from darkparse.errors import cfg_error
from darkparse.layers.training import NetTraining
from darkparse.network import Network
from darkparse.network.learning_rate import compute_rate, find_missing_options
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
        return compute_rate(self.options, batch)


def _check_policy(network: Network, net: NetTraining) -> None:
    if requirement := find_missing_options(net):
        section = network.config.net
        at = section.find("policy")
        raise cfg_error("training", f"policy={net.policy} requires {requirement}", at.span if at else section.span)
