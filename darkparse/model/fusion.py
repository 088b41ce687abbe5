"""Batch norm folded into the layer before it, as AlexeyAB's Darknet does before
inference (network.c fuse_conv_batchnorm)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from darkparse.model.darknet import Darknet, Stage, weighted
from darkparse.model.modules import BatchNorm, RootEpsilonBatchNorm, XnorConv2d

Linear = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def fuse(model: nn.Module) -> Darknet:
    """A copy for inference in which batch norm is part of the weights of convolutional and connected layers.

    It computes the same up to rounding, in fewer steps. It can neither be trained nor saved, since batch norm's own
    numbers are gone. Layers that share weights follow; XNOR and recurrent layers stay as they are.

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
    fused = copy.deepcopy(weighted(model, "folding")).eval()
    for stage in fused.layers:
        if isinstance(stage, Stage):
            _fuse_stage(stage)
    return fused


def _fuse_stage(stage: Stage) -> None:
    norm = stage._modules.get("norm")
    for name in ("conv", "deconv", "linear"):
        owner = stage._modules.get(name)
        if isinstance(norm, BatchNorm) and isinstance(owner, Linear) and not isinstance(owner, XnorConv2d):
            _fold(owner, norm)
            del stage.norm


def _fold(owner: Linear, norm: BatchNorm) -> None:
    """Weights · scale and bias - mean · scale, in double precision as Darknet computes them."""
    scale, shift = _affine(norm)
    axis = 1 if isinstance(owner, nn.ConvTranspose2d) else 0
    shape = [1] * owner.weight.dim()
    shape[axis] = -1
    weight = owner.weight.double() * scale.view(shape)
    owner.weight = nn.Parameter(weight.to(owner.weight.dtype), requires_grad=False)
    owner.bias = nn.Parameter(shift.to(owner.weight.dtype), requires_grad=False)


def _affine(norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """The factor and the summand that batch norm comes to at inference."""
    mean, variance = norm.running_mean.double(), norm.running_var.double().clamp(min=0)
    root = variance.sqrt() + norm.eps if isinstance(norm, RootEpsilonBatchNorm) else (variance + norm.eps).sqrt()
    with torch.no_grad():
        scale = norm.weight.double() / root
        return scale, norm.bias.double() - mean * scale
