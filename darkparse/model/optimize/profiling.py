"""How long each layer of a module runs."""

from __future__ import annotations

import time
from itertools import pairwise

import torch
from torch import Tensor

from darkparse.model.darknet import Darknet

NUM_RUNS = 3


def layer_seconds(model: Darknet, x: Tensor) -> tuple[float, ...]:
    """Seconds of each layer in the fastest of a few forward passes; the first, which warms up, does not count.

    Args:
        model: in evaluation mode, on the CPU.
        x: what it takes, (N, C, H, W) or (N, inputs).
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
