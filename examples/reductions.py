"""Which 1×1 convolutions of a network reduce anything: python examples/reductions.py yolov4"""

from __future__ import annotations

import sys

import darkparse
from darkparse.layers.convolutional import Convolutional

network = darkparse.compile(sys.argv[1] if len(sys.argv) > 1 else "yolov1")
for node in network.nodes:
    if isinstance(node.layer, Convolutional) and node.layer.size == 1:
        channels = network.reductions[node.index].channels
        if channels is not None:
            (before,), (after,) = channels.before, channels.after
            print(f"L{node.index}: {before} → {after} channels, {channels.direction}")
