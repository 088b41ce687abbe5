"""Mixed precision: the data type that a device computes natively, and the scaling of gradients in float16."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch

MIN_SCALE = 1.0
"""Scale below which a gradient that is not finite is not due to overflow of float16."""
INITIAL_SCALE = 1024.0
"""First scale: deltas are scaled in float16, where torch's default of 65536 overflows at a delta of 1."""
MIN_CUDA_CAPABILITY = (8, 0)
"""Compute capability from which NVIDIA GPUs compute bfloat16 natively."""


def choose_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16, or float16 on a GPU that only emulates bfloat16."""
    if device.type == "cuda" and torch.version.hip is None:
        has_bfloat16 = torch.cuda.get_device_capability(device) >= MIN_CUDA_CAPABILITY
        return torch.bfloat16 if has_bfloat16 else torch.float16
    return torch.float16 if device.type == "mps" else torch.bfloat16


def has_native_bfloat16() -> bool:
    """Return whether the processor computes bfloat16 natively (AVX512-BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in checks)


class Precision:
    """Precision of the forward pass, and the scaler of the gradients.

    Attributes:
        dtype: Data type of the layers that torch.autocast selects.
        scaler: Gradient scaler; enabled in float16 only, whose smallest values are too large for gradients.

    Args:
        device: Device that computes.
        dtype: bfloat16 or float16; None for float32 everywhere.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype | None) -> None:
        self._device, self.dtype = device, dtype
        self.scaler = torch.amp.GradScaler(device.type, INITIAL_SCALE, enabled=dtype == torch.float16)

    def autocast(self) -> torch.autocast:
        """Return a context for the forward pass."""
        return torch.autocast(self._device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None)

    @property
    def tolerates_overflow(self) -> bool:
        """Whether gradients that are not finite may come from the scale; the update is then skipped."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > MIN_SCALE

    def state_dict(self) -> dict[str, Any]:
        """Return the scaler's state; empty without a scaler."""
        return dict(self.scaler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the scaler's state if it has one and the state is not empty."""
        if state and self.scaler.is_enabled():
            self.scaler.load_state_dict(state)


def is_scaler_state(name: str, value: Any) -> bool:
    """Return whether a value is valid for an entry of a scaler's state."""
    default = torch.amp.GradScaler("cpu").state_dict()[name]
    match name:
        case "scale":
            return type(value) is float and isfinite(value) and value > 0
        case "_growth_tracker":
            return type(value) is int and 0 <= value < torch.amp.GradScaler("cpu").get_growth_interval()
    return type(value) is type(default) and bool(value == default)
