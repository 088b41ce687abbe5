"""How images are fitted to a network's input."""

from __future__ import annotations

from typing import Literal

from darkparse.network.network import Network


def default_resize(network: Network, *, classifies: bool) -> Literal["letterbox", "stretch", "crop"]:
    """Return how the dialect's Darknet fits images to the network's input."""
    if classifies:
        return "crop"  # as training and `classifier valid` do; only pjreddie's `classifier predict` letterboxes
    return "letterbox" if network.net.letter_box else network.dialect.resize
