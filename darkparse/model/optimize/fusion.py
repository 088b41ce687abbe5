"""Fold batch norm into the layer before it, as AlexeyAB's Darknet does before inference.

See network.c, fuse_conv_batchnorm.
"""

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
"""Number of weights folded at a time: in double precision they fit the caches, and torch starts no threads for them."""


def fuse(model: nn.Module) -> Darknet:
    """Return a copy for inference with batch norm folded into convolutional and connected layers.

    The outputs are equal up to rounding. The copy can neither be trained nor saved, because the batch norm parameters
    are gone. Layers that share weights use the folded ones; XNOR and recurrent layers are unchanged. The copy consists
    of standard torch modules; `optimize` returns a faster one that only runs.

    Args:
        model: A Darknet module, possibly compiled or wrapped for parallel use; the copy is unwrapped.

    Returns:
        The copy, in eval mode.

    Raises:
        NoWeightsError: The module has no weights yet.
        WeightsError: The module was not built by darkparse.

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
    """Return a copy in eval mode that shares the network and the memory of the `shared` tensors."""
    memo: dict[int, Any] = {id(model.network): model.network}
    for tensor in shared:
        # A new parameter over the same memory, so that moving the copy does not move the model.
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(tensor.detach(), requires_grad=False) if is_parameter else tensor
    return copy.deepcopy(model, memo).eval()


def fold(layer: nn.Module) -> None:
    """Fold the batch norm of a layer, if it has one, into its weights, in place."""
    owner = _find_foldable(layer)
    if owner is not None:
        _fold(owner, layer.norm)  # type: ignore[arg-type]
        del layer.norm


def _find_foldable(layer: nn.Module) -> Linear | None:
    """Return the module that the batch norm of a layer can be folded into; None if there is none."""
    if not isinstance(layer._modules.get("norm"), Norm):
        return None
    owners = (layer._modules.get(name) for name in ("conv", "deconv", "linear"))
    return next((owner for owner in owners if isinstance(owner, Linear) and not isinstance(owner, XnorConv2d)), None)


def _fold(owner: Linear, norm: Norm) -> None:
    """Set weights · scale and bias - mean · scale, computed in double precision as in Darknet and rounded once."""
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
    """Return the scale and the shift that batch norm applies at inference, in double precision."""
    mean, variance = norm.running_mean.double(), norm.running_var.double().clamp(min=0)
    root = variance.sqrt() + norm.eps if isinstance(norm, RootEpsilonBatchNorm) else (variance + norm.eps).sqrt()
    scale = norm.weight.double() / root
    return scale, norm.bias.double() - mean * scale
