"""How a file of weights is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReadOptions:
    """How a file of weights is read, and where its values go.

    Functions that load weights into a module take `device` and `dtype` as keywords too, which override these fields.

    Attributes:
        strict: the file must hold exactly the floats that the network needs; otherwise a longer file is accepted.
        upto: read only the layers before this one, as `darknet partial` counts; the file may go on behind them.
        allow_partial: accept a file that ends exactly after a layer; the rest stays as it is, or is initialized.
        mmap: map a file given by its path, so that parameters on the CPU are its pages, copied only where they are
            written; False reads it into memory once.
        header_size: 16 or 20, for a `.weights` file whose header is not as wide as its version says.
        device: where to put parameters that have no memory yet.
        dtype: their dtype, by default the file's: float32 in a `.weights` file.

    >>> backbone = darkparse.ReadOptions(upto=10, mmap=False)
    >>> darkparse.load("yolov3-tiny", "tiny.weights", backbone).loaded.missing
    (10, 12, 13, 14, 15, 18, 21, 22)
    """

    strict: bool = True
    upto: int | None = None
    allow_partial: bool = False
    mmap: bool = True
    header_size: int | None = None
    device: str | torch.device | int | None = None
    dtype: torch.dtype | None = None

    def override(
        self, *, device: str | torch.device | int | None = None, dtype: torch.dtype | None = None
    ) -> ReadOptions:
        """Return these options with each value that is not None in place of the field."""
        return replace(
            self,
            device=self.device if device is None else device,
            dtype=self.dtype if dtype is None else dtype,
        )
