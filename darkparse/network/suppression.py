"""Kinds of non-maximum suppression (NMS), and the selection from a network's cfg."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from darkparse.network.heads import get_head
from darkparse.network.network import Network

Kind = Literal["default", "greedynms", "diounms", "cornersnms"]

GREEDY_BETA = 0.6
"""Exponent of greedynms (box.c box_diou)."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """Kind and parameter of a network's NMS."""

    kind: Kind = "default"
    beta: float = GREEDY_BETA
    """Exponent of diounms, `beta_nms`."""

    @property
    def exponent(self) -> float | None:
        """Exponent of the center distance term that is subtracted from the IoU; None for the plain IoU."""
        return {"greedynms": GREEDY_BETA, "diounms": self.beta}.get(self.kind)


def get_suppression(network: Network) -> Suppression:
    """Return the NMS settings of the last head, the only one that Darknet uses (detector.c test_detector)."""
    last = get_head(network.nodes[network.heads[-1]])
    return Suppression(last.nms_kind, last.beta_nms)  # type: ignore[arg-type]
