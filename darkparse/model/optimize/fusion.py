"""Batch norm folded into the layer before it, as AlexeyAB's Darknet does before
inference (network.c fuse_conv_batchnorm)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from darkparse.model.darknet import Darknet, require_weights
from darkparse.model.modules import BatchNorm, RootEpsilonBatchNorm, XnorConv2d

Linear = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
Norm = BatchNorm | RootEpsilonBatchNorm
CHUNK_SIZE = 2**15
"""Weights that are folded at once: in double precision they stay in the caches, and torch starts no threads for so
few."""


def fuse(model: nn.Module) -> Darknet:
    """A copy for inference in which batch norm is part of the weights of convolutional and connected layers.

    It computes the same up to rounding, in fewer steps. It can neither be trained nor saved, since batch norm's own
    numbers are gone. Layers that share weights follow; XNOR and recurrent layers stay as they are. Its modules are
    torch's own; `optimize` goes further where the module only has to run.

    Args:
        model: a Darknet module, or one compiled or wrapped for parallel use, which the copy is not.

    Returns:
        The copy, in eval mode.

    Raises:
        NoWeightsError: the module has no weights yet.
        WeightsError: this is no module of darkparse.

    >>> fused = darkparse.fuse(darkparse.load("yolov3-tiny", size=64))
    >>> fused.layers[0]
    Stage(
      (conv): Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (activation): LeakyReLU(negative_slope=0.1)
    )
    """
    model = require_weights(model, "folding")
    folded = [layer for layer in model.layers if _find_foldable(layer)]
    fused = shallow_copy(model, (tensor for layer in folded for tensor in layer.state_dict(keep_vars=True).values()))
    for layer in fused.layers:
        fold(layer)
    return fused


def shallow_copy(model: Darknet, shared: Iterable[Tensor]) -> Darknet:
    """A copy in eval mode that has the same network and some tensors' memory."""
    memo: dict[int, Any] = {id(model.network): model.network}
    for tensor in shared:
        # A parameter of its own over the same memory: where the copy is moved, the model stays.
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(tensor.detach(), requires_grad=False) if is_parameter else tensor
    return copy.deepcopy(model, memo).eval()


def fold(layer: nn.Module) -> None:
    """Put a layer's batch norm, if it has one, into the weights before it."""
    owner = _find_foldable(layer)
    if owner is not None:
        _fold(owner, layer.norm)  # type: ignore[arg-type]
        del layer.norm


def _find_foldable(layer: nn.Module) -> Linear | None:
    """The map that a layer's batch norm can be folded into."""
    if not isinstance(layer._modules.get("norm"), Norm):
        return None
    owners = (layer._modules.get(name) for name in ("conv", "deconv", "linear"))
    return next((owner for owner in owners if isinstance(owner, Linear) and not isinstance(owner, XnorConv2d)), None)


def _fold(owner: Linear, norm: Norm) -> None:
    """Weights · scale and bias - mean · scale, in double precision as Darknet computes them, rounded once."""
    scale, shift = _compute_affine(norm)
    axis = 1 if isinstance(owner, nn.ConvTranspose2d) else 0
    shape = [1] * owner.weight.dim()
    shape[axis] = -1
    old, weight = owner.weight.detach(), torch.empty_like(owner.weight)
    rows = max(1, CHUNK_SIZE // old[0].numel())
    for part in zip(old.split(rows), scale.view(shape).expand_as(old).split(rows), weight.split(rows), strict=True):
        torch.mul(*part[:2], out=part[2])
    owner.weight = nn.Parameter(weight, requires_grad=False)
    owner.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=False)


@torch.no_grad()
def _compute_affine(norm: Norm) -> tuple[Tensor, Tensor]:
    """The factor and the summand that batch norm comes to at inference."""
    mean, variance = norm.running_mean.double(), norm.running_var.double().clamp(min=0)
    root = variance.sqrt() + norm.eps if isinstance(norm, RootEpsilonBatchNorm) else (variance + norm.eps).sqrt()
    scale = norm.weight.double() / root
    return scale, norm.bias.double() - mean * scale
