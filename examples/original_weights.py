"""Original weights in a torch module: python examples/original_weights.py yolov3.cfg yolov3.weights"""

from __future__ import annotations

import sys

import torch

import darkparse

model = darkparse.load(sys.argv[1], sys.argv[2])
shape = model.network.input_shape
with torch.inference_mode():
    outputs = model.layer_outputs(torch.rand(1, *shape.tensor))
for node, out in zip(model.network.nodes, outputs, strict=True):
    print(f"L{node.index} {node.summary}: {tuple(out.shape)}, mean {out.mean():.4f}")
