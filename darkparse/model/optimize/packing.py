"""Convolutions in oneDNN's weight layout with a fused activation, for inference on the CPU."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from darkparse.layers.activations import ACTIVATIONS, ActivationRow
from darkparse.model.activations import Mish, is_traced
from darkparse.model.optimize import winograd

KERNELS = torch.ops.mkldnn


def can_pack(values: Tensor) -> bool:
    """Return whether torch and oneDNN have kernels for the dtype and device of a tensor on this processor."""
    has_kernels = torch.backends.mkldnn.is_available() and hasattr(KERNELS, "_convolution_pointwise")
    if values.device.type != "cpu" or not has_kernels:
        return False
    if values.dtype in (torch.bfloat16, torch.float16):
        name = "bf16" if values.dtype == torch.bfloat16 else "fp16"
        return bool(getattr(KERNELS, f"_is_mkldnn_{name}_supported")())
    return values.dtype == torch.float32


def can_fuse(activation: nn.Module | None) -> bool:
    """Return whether an activation runs faster inside a packed convolution than after it."""
    return _find_row(activation) is not None or isinstance(activation, Mish)


def _find_row(activation: nn.Module | None) -> ActivationRow | None:
    """Return the row of an activation that oneDNN fuses with a convolution; None for others."""
    rows = (row for row in ACTIVATIONS.values() if row.packed and type(activation) is getattr(nn, row.module))
    return next(rows, None)


class PackedConvolution(nn.Conv2d):
    """A convolution and the activation after it, (N, C, H, W) to (N, filters, H, W) in channels-last order.

    oneDNN reorders weights for one map size and is slow with others, so a call with another size reorders them again.
    Reading or moving the weights (`state_dict`, `to`, copying, pickling) restores the plain layout until the next call.
    They stay plain on devices and in dtypes that oneDNN does not support.

    Args:
        conv: The convolution, whose weights are reused.
        activation: The activation after it (see `can_fuse`), or None.
        tiles: Use Winograd's algorithm where it is faster.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None, *, tiles: bool) -> None:
        geometry: dict[str, Any] = {key: getattr(conv, key) for key in ("padding", "stride", "dilation", "groups")}
        size: Any = conv.kernel_size
        super().__init__(conv.in_channels, conv.out_channels, size, device="meta", **geometry)
        self._geometry = [list(value) if isinstance(value, tuple) else value for value in geometry.values()]
        self.weight, self.bias = conv.weight, conv.bias
        self.activation, self._use_winograd = activation or nn.Identity(), tiles
        if isinstance(getattr(activation, "inplace", None), bool):
            self.activation.inplace = True  # type: ignore[assignment]  # its input is used nowhere else
        row = _find_row(activation)
        self._fused_name = row.packed if row else "none"
        self._fused_args = [getattr(activation, key) for key in row.settings] if row else []
        self._size: tuple[int, ...] | None = None
        """Height and width of the maps that the weights are ordered for; None if they are plain."""

    def forward(self, x: Tensor) -> Tensor:
        if is_traced() or not (self._size == x.shape[2:] or self.lay_out(x.shape)):
            plain_output: Tensor = self.activation(super().forward(x))
            return plain_output
        x, weight = x.contiguous(memory_format=torch.channels_last), self.weight
        if weight.dim() == 3:
            tiled_output: Tensor = self.activation(winograd.convolve(x, weight, self.bias))
            return tiled_output
        out: Tensor = KERNELS._convolution_pointwise(
            x, weight, self.bias, *self._geometry, self._fused_name, self._fused_args, ""
        )
        return self.activation(out) if self._fused_name == "none" else out

    @torch.no_grad()
    def lay_out(self, shape: tuple[int, ...]) -> bool:
        """Reorder the weights for maps (N, C, H, W); return whether oneDNN supports them."""
        if not can_pack(self.weight):
            return False
        weight = self._plain_weight().contiguous()
        if self._use_winograd and winograd.is_supported(self, shape):
            packed = winograd.transform_filters(weight)
        else:
            packed = KERNELS._reorder_convolution_weight(weight, *self._geometry, list(shape))
        self.weight, self._size = nn.Parameter(packed, requires_grad=False), shape[2:]
        return True

    def _plain_weight(self) -> Tensor:
        weight = self.weight.detach()
        if weight.dim() == 3:
            return winograd.restore_filters(weight)
        if weight.layout is torch.strided:
            return weight
        return weight.to_dense().view(self.out_channels, -1, *self.kernel_size)

    def _unpack(self) -> None:
        self.weight, self._size = nn.Parameter(self._plain_weight(), requires_grad=False), None

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._unpack()
        return super()._apply(*args, **kwargs)  # type: ignore[no-any-return, no-untyped-call]

    def _save_to_state_dict(self, *args: Any) -> None:
        self._unpack()
        super()._save_to_state_dict(*args)

    def _load_from_state_dict(self, *args: Any) -> None:
        self._unpack()
        super()._load_from_state_dict(*args)

    def __getstate__(self) -> dict[str, Any]:
        self._unpack()
        return dict(vars(self))
