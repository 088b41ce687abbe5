"""Optimizer and learning rates from the cfg."""

from darkparse.train.rates import Schedule
from darkparse.train.updates import optimizer

__all__ = ["Schedule", "optimizer"]
