"""Time of each layer of a module."""

from __future__ import annotations

import time
from itertools import pairwise

import torch
from torch import Tensor

from darkparse.model.darknet import Darknet

NUM_RUNS = 3


def layer_seconds(model: Darknet, x: Tensor) -> tuple[float, ...]:
    """Measure each layer in the fastest of a few forward passes, after one pass to warm up.

    Args:
        model: A module in eval mode on the CPU.
        x: Its input, (N, C, H, W) or (N, inputs).

    Returns:
        The time of each layer, in seconds.
    """
    marks: list[float] = []
    hooks = [layer.register_forward_hook(lambda *_: marks.append(time.perf_counter())) for layer in model.layers]
    passes: list[list[float]] = []
    try:
        with torch.inference_mode():
            for _ in range(1 + NUM_RUNS):
                model.reset_state()
                marks.clear()
                start = time.perf_counter()
                model(x)
                passes.append([start, *marks])
    finally:
        for hook in hooks:
            hook.remove()
    best = min(passes[1:], key=lambda one: one[-1] - one[0])
    return tuple(after - before for before, after in pairwise(best))
