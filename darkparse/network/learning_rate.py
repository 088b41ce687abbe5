"""Learning rate of each batch (network.c get_current_rate)."""

from __future__ import annotations

import math
import random

from darkparse.layers.training import NetTraining

RELATIVE_POLICIES = ("poly", "sgdr")
"""Policies whose shape follows from `max_batches` alone."""


def compute_rate(net: NetTraining, batch: int) -> float:
    """Return the learning rate of a batch, counted from 1."""
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
            return _compute_sgdr_rate(net, batch)
    return net.learning_rate


def find_missing_options(net: NetTraining) -> str:
    """Describe the options that the policy requires but the cfg does not set; empty if none is missing."""
    requirements = {
        "steps": (len(net.scales) >= len(net.steps) > 0, "steps= and one scales= value per step"),
        "poly": (net.max_batches > 0, "max_batches"),
        "sgdr": (_get_sgdr_cycle(net) > 0 and net.sgdr_mult > 0, "max_batches= or sgdr_cycle="),
    }
    is_met, requirement = requirements.get(net.policy, (True, ""))
    return "" if is_met else requirement


def _compute_sgdr_rate(net: NetTraining, batch: int) -> float:
    """Return a cosine from `learning_rate` down to `learning_rate_min`, in cycles that grow by `sgdr_mult`."""
    start, cycle = 0, _get_sgdr_cycle(net)
    while start + cycle < batch:
        start, cycle = start + cycle, cycle * net.sgdr_mult
    factor = (1 + math.cos((batch - start) * math.pi / cycle)) / 2
    return net.learning_rate_min + factor * (net.learning_rate - net.learning_rate_min)


def _get_sgdr_cycle(net: NetTraining) -> int:
    return net.max_batches if net.sgdr_cycle is None else net.sgdr_cycle
