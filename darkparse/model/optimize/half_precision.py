"""Layers that stay in float32 where the rest of a module computes in bfloat16 or float16.

The outputs of the last convolutions become box coordinates and scores. Rounded to the 8 bits of bfloat16, they move
boxes; everything before them moves them far less.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darkparse.network import Network

HALF_DTYPES = (torch.bfloat16, torch.float16)


class ToFloat32(nn.Module):
    """Converts a tensor to float32; one in float32 is returned unchanged."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float()


def find_float32_layers(network: Network) -> frozenset[int]:
    """Return the layers that no later layer with weights reads: the last layers with weights, and all behind them.

    Layers that share weights are excluded, because their weights have one dtype.
    """
    shared = {node.shared_with for node in network.nodes} | {
        node.index for node in network.nodes if node.shared_with is not None
    }
    layers: set[int] = set()
    for node in reversed(network.nodes):
        readers = network.readers[node.index]
        if node.index not in shared and all(i in layers and not network.nodes[i].tensors for i in readers):
            layers.add(node.index)
    return frozenset(layers)


def convert_input(layer: nn.Module) -> None:
    """Convert the input of a layer to float32. Layers with several inputs promote them."""
    layer._modules = {"to_float32": ToFloat32(), **layer._modules}
