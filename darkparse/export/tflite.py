"""Conversion to TFLite with litert-torch, which requires another torch; imports torch only to convert."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkparse.errors import DarkparseError
from darkparse.syntax.files import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


def find_obstacle() -> str:
    """Return why no TFLite file can be written, or an empty string."""
    if find_spec("litert_torch"):
        return ""
    return (
        "writing a .tflite file requires litert-torch, which is not installed\n"
        "hint: install it in a separate environment, because it requires another torch: pip install darkparse "
        "litert-torch; or write .onnx and convert that: onnx2tf -i X.onnx"
    )


def convert(module: nn.Module, x: Tensor, name: str) -> Any:
    """Convert a module to a model of litert-torch, without progress messages on standard output.

    Raises:
        DarkparseError: litert-torch does not support the module; `name` is the network's.
    """
    import litert_torch

    shows_progress = litert_torch.config.show_progress
    litert_torch.config.show_progress = False
    try:
        return litert_torch.convert(module, (x,))
    except Exception as problem:
        raise DarkparseError(f"litert-torch cannot convert {name}: {describe_error(problem)}") from problem
    finally:
        litert_torch.config.show_progress = shows_progress


def load(path: Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Load a file as a function of an image (1, C, H, W)."""
    import litert_torch
    import torch

    model = litert_torch.load(str(path))

    def run(x: Tensor) -> tuple[Tensor, ...]:
        outputs = model(x.numpy())
        return tuple(map(torch.from_numpy, outputs if isinstance(outputs, tuple) else (outputs,)))

    return run
