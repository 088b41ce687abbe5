"""Base class of the engines that run a network for the detector, and selection of an engine."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkparse.errors import DarkparseError
from darkparse.network import Network
from darkparse.network.heads import thresholds_objectness

if TYPE_CHECKING:
    from darkparse.detect.preprocess import Floats

DTYPES = ("float32", "bfloat16", "float16")
ENGINE_DTYPES = {"torch": (*DTYPES, "float64"), "onnxruntime": ("float32",), "openvino": DTYPES}
"""Dtypes that each engine computes in on the CPU. ONNX Runtime has no convolution for 16 bits there."""
ENGINES = tuple(ENGINE_DTYPES)
FASTEST_FIRST = ("openvino", "onnxruntime", "torch")
"""Order on a CPU, by the time from the start of the process to the last image; see docs/howto/engines.md."""

HeadBoxes = tuple[Any, Any, Any]
"""For one head: boxes (N, B, 4), scores (N, B, classes), objectness (N, B)."""
SelectedBoxes = tuple[Any, Any, Any, Any, Any, Any, Any, Any]
"""Arrays in the order of `Candidates`: first those of the B boxes, then those of the K candidates."""


class Engine(ABC):
    """A network with weights and the runtime that runs it.

    Attributes:
        name: One of ENGINES.
        network: Network that it runs.
        use_class_map: With a word tree, score the classes that the head's `map=` lists.
        batch: Recommended number of images per batch.
    """

    name: str
    network: Network
    use_class_map: bool
    batch: int

    @abstractmethod
    def class_scores(self, images: Floats) -> Floats:
        """Return the output (N, …) of the last layer for images (N, C, H, W) in [0, 1]."""

    @abstractmethod
    def candidates(self, images: Floats, threshold: float, hierarchy: float) -> list[SelectedBoxes]:
        """Return the boxes of each head over the threshold, as numpy arrays."""

    @abstractmethod
    def reset_state(self) -> None:
        """Reset the state of recurrent layers."""

    @contextmanager
    def share_cores(self, workers: int) -> Iterator[Callable[[], None]]:
        """Divide the cores among `workers` threads; yield a function that each thread must call first."""
        yield lambda: None

    def select_boxes(self, heads: Sequence[HeadBoxes], threshold: float, arrays: Any) -> list[SelectedBoxes]:
        """Return the boxes of each head over the threshold.

        Args:
            heads: Outputs of the heads.
            threshold: Minimum score, exclusive.
            arrays: Module of the heads' arrays: numpy or torch.
        """
        parts, count = [], 0
        for index, (boxes, scores, objectness) in zip(self.network.heads, heads, strict=True):
            by_objectness = thresholds_objectness(self.network.nodes[index], use_class_map=self.use_class_map)
            image, box = arrays.where(objectness > threshold if by_objectness else objectness != 0)
            box_scores = scores[image, box]
            row, classes = arrays.where(box_scores > threshold)
            scored = (row + count, box_scores[row, classes], classes)
            layer = arrays.full_like(image, index)
            parts.append((image, layer, box, boxes[image, box], objectness[image, box], *scored))
            count += len(image)
        return parts


def choose_engine(engine: str, *, device: object = None, dtype: str | None = None) -> str:
    """Return the name of the engine to use.

    Args:
        engine: One of ENGINES, or `auto`: torch for another device than the CPU, otherwise the first installed one of
            FASTEST_FIRST that computes in `dtype`.
        device: Requested device; None for a GPU if this machine has one and torch is installed, else the CPU.
        dtype: Name of the requested dtype; None for the default.

    Raises:
        DarkparseError: The engine or the dtype is unknown, or the engine is not installed or does not support the
            device or dtype.
    """
    if dtype is not None and dtype not in ENGINE_DTYPES["torch"]:
        raise DarkparseError(f"unsupported dtype {dtype}; expected one of {', '.join(ENGINE_DTYPES['torch'])}")
    on_cpu = device is None or str(device).partition(":")[0] == "cpu"
    if engine == "auto":
        takes_torch = not on_cpu or (device is None and find_spec("torch") and has_gpu())
        candidates = filter(lambda name: _supports(name, dtype), ("torch",) if takes_torch else FASTEST_FIRST)
        engine = next(filter(find_spec, candidates), "torch")
    if engine not in ENGINES:
        raise DarkparseError(f"unknown engine {engine!r}; expected one of {', '.join(ENGINES)}, auto")
    if not on_cpu and engine != "torch":
        raise DarkparseError(f"engine {engine} only supports the CPU, got device {device}; use engine torch")
    if not _supports(engine, dtype):
        others = " or ".join(name for name in FASTEST_FIRST if _supports(name, dtype))
        raise DarkparseError(
            f"engine {engine} does not compute in {dtype}; expected {', '.join(ENGINE_DTYPES[engine])}\n"
            f"hint: use engine {others} for {dtype}"
        )
    if not find_spec(engine):
        extra = "torch" if engine == "torch" else f"'darkparse[{engine}]'"
        raise DarkparseError(f"engine {engine} is not installed: pip install {extra}{_hint_at_engine(engine)}")
    return engine


def _supports(engine: str, dtype: str | None) -> bool:
    return dtype is None or dtype in ENGINE_DTYPES[engine]


def _hint_at_engine(missing: str) -> str:
    """Return a hint about engines that run without the missing one."""
    if installed := next(filter(find_spec, FASTEST_FIRST), None):
        return f"\nhint: use the installed engine {installed}, or the default engine auto"
    if missing == "torch":
        return "\nhint: run networks without torch: pip install 'darkparse[openvino]'"
    return ""


def has_gpu() -> bool:
    """Return whether the NVIDIA or AMD driver or Apple's GPU is there, without importing torch."""
    if Path("/dev/kfd").exists() or (sys.platform == "darwin" and platform.machine() == "arm64"):
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True
