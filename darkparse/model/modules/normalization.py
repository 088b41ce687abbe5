"""Normalizations: batch norm in both forks' forms, over neighbouring channels, and to length one.
Maps are (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """(x - mean) / √(variance + ε) · weight + bias over axis 1 of (N, C, …) (AlexeyAB blas.c normalize_cpu)."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_features: int, eps: float, momentum: float) -> None:
        super().__init__(num_features, eps, momentum)
        # Darknet does not count batches, so no file has this number.
        self.register_buffer("num_batches_tracked", self.num_batches_tracked, persistent=False)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept vectors and maps."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        nn.Module._load_from_state_dict(self, state_dict, prefix, *args)
        self.num_batches_tracked = torch.zeros_like(self.num_batches_tracked, device=self.weight.device)


class RootEpsilonBatchNorm(nn.Module):
    """(x - mean) / (√variance + ε) · weight + bias (pjreddie blas.c:154); in training as cuDNN computes it.

    It is not a batch norm of torch: tools that replace or fold one would compute other numbers.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float, momentum: float) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.empty(num_features))
        self.bias = nn.Parameter(torch.empty(num_features))
        self.register_buffer("running_mean", torch.empty(num_features))
        self.register_buffer("running_var", torch.empty(num_features))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            # A dead channel's variance can be a denormal below 0; Darknet, built with fast math, takes that for 0.
            variance = (self.running_var.clamp(min=0).sqrt() + self.eps).square()
            return F.batch_norm(x, self.running_mean, variance, self.weight, self.bias, False, self.momentum, 0.0)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, self.momentum, 1e-5)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps:g}, momentum={self.momentum:g}"


class LocalResponseNorm(nn.Module):
    """x · (κ + α · Σ x² over neighbouring channels)^-β (normalization_layer.c).

    The window reaches (size-1)/2 channels back and size/2 ahead; the first channel's lacks the one farthest ahead,
    and with it every later window, since Darknet moves one running sum along.
    """

    def __init__(self, size: int, alpha: float, beta: float, kappa: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.kappa = size, alpha, beta, kappa

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.kappa + self.alpha * self._sums(x.square())) ** -self.beta

    def _sums(self, squares: Tensor) -> Tensor:
        channels, ahead, behind = squares.shape[1], self.size // 2, (self.size - 1) // 2
        total = F.pad(squares.cumsum(1), (0, 0, 0, 0, 1, 0))
        index = torch.arange(channels, device=squares.device)
        stop = (index + ahead + 1).clamp(max=channels)
        start = (index - behind).clamp(min=0)
        sums = total[:, stop] - total[:, start]
        # The running sum starts from channels 0 … size/2 - 1 and so never holds channel size/2 until it should leave.
        return sums - squares[:, ahead : ahead + 1] if ahead < channels else sums

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, kappa={self.kappa:g}"


class L2Norm(nn.Module):
    """(N, C, …) over its Euclidean length along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return x / x.square().sum(1, keepdim=True).sqrt()
