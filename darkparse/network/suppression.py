"""Kinds of non-maximum suppression, and the one that a network's cfg chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from darkparse.network.heads import get_head
from darkparse.network.network import Network

Kind = Literal["default", "greedynms", "diounms", "cornersnms"]

GREEDY_BETA = 0.6
"""The exponent of greedynms (box.c box_diou)."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """How a network's boxes suppress each other."""

    kind: Kind = "default"
    beta: float = GREEDY_BETA
    """The exponent of diounms, `beta_nms`."""

    @property
    def exponent(self) -> float | None:
        """Power of the centres' distance that is taken off the IoU: none for the plain IoU."""
        return {"greedynms": GREEDY_BETA, "diounms": self.beta}.get(self.kind)


def get_suppression(network: Network) -> Suppression:
    """What the last head says; Darknet asks only that (detector.c test_detector)."""
    last = get_head(network.nodes[network.heads[-1]])
    return Suppression(last.nms_kind, last.beta_nms)  # type: ignore[arg-type]
