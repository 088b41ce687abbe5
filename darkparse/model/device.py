"""Device that networks run on."""

from __future__ import annotations

import torch

from darkparse.model.loading import Device, check_device


def choose_device(device: Device = None) -> torch.device:
    """Return a device that can compute; by default the current CUDA device, else MPS, else the CPU.

    With several GPUs and torchrun, the current CUDA device is that of the process.

    Raises:
        DarkparseError: torch does not support the device.
    """
    if device is not None:
        check_device(device)
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
