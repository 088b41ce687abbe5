"""Losses of a network's heads, with Darknet's delta as their gradient."""

from darkparse.training.losses.network import Loss, Losses

__all__ = ["Loss", "Losses"]
