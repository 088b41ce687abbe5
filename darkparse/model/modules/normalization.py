"""Normalizations: batch norm of both forks, local response and L2 normalization. Maps are (N, C, H, W)."""

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
        # Darknet does not count batches, so weights files do not contain this number.
        self.register_buffer("num_batches_tracked", self.num_batches_tracked, persistent=False)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept vectors and maps."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        nn.Module._load_from_state_dict(self, state_dict, prefix, *args)
        self.num_batches_tracked = torch.zeros_like(self.num_batches_tracked, device=self.weight.device)


class RootEpsilonBatchNorm(nn.Module):
    """(x - mean) / (√variance + ε) · weight + bias (pjreddie blas.c:154); in training as cuDNN computes it.

    The class does not derive from torch's batch norm, because tools that replace or fold one would change the result.
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
            # A dead channel's variance can be a negative denormal, which Darknet, built with fast math, treats as 0.
            variance = (self.running_var.clamp(min=0).sqrt() + self.eps).square()
            return F.batch_norm(x, self.running_mean, variance, self.weight, self.bias, False, self.momentum, 0.0)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, self.momentum, 1e-5)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps:g}, momentum={self.momentum:g}"


class LocalResponseNorm(nn.Module):
    """x · (κ + α · Σ x² over neighboring channels)^-β (normalization_layer.c).

    The window spans (size-1)/2 channels before and size/2 after. Darknet updates one running sum that never includes
    channel size/2, so every sum is smaller by the square of that channel.
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
        # The running sum starts with channels 0 … size/2 - 1. It subtracts channel size/2 without having added it.
        return sums - squares[:, ahead : ahead + 1] if ahead < channels else sums

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, kappa={self.kappa:g}"


class L2Norm(nn.Module):
    """Values (N, C, …) divided by their Euclidean norm over the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return x / x.square().sum(1, keepdim=True).sqrt()
