"""What runs a network for the detector, and which of those that are installed does."""

from __future__ import annotations

import ctypes
import os
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

ENGINES = ("torch", "onnxruntime", "openvino")
FASTEST_FIRST = ("openvino", "onnxruntime", "torch")
"""On a CPU, from the start of the process to the last picture; see docs/detect.md."""

HeadBoxes = tuple[Any, Any, Any]
"""Of a head: boxes (N, B, 4), scores (N, B, classes), objectness (N, B)."""
SelectedBoxes = tuple[Any, Any, Any, Any, Any, Any, Any, Any]
"""Arrays in the order of `Candidates`: of each of B boxes, then of each of K candidates."""


class Engine(ABC):
    """A network with its weights, and what runs it.

    Attributes:
        name: one of ENGINES.
        network: what it runs.
        use_class_map: of a word tree the classes that the head's `map=` lists are scored.
        batch: how many images should run at once.
    """

    name: str
    network: Network
    use_class_map: bool
    batch: int

    @abstractmethod
    def class_scores(self, images: Floats) -> Floats:
        """What the last layer gives, (N, …), for images (N, C, H, W) with values in 0…1."""

    @abstractmethod
    def candidates(self, images: Floats, threshold: float, hierarchy: float) -> list[SelectedBoxes]:
        """The boxes over the threshold, for each head, as numpy arrays."""

    @abstractmethod
    def reset_state(self) -> None:
        """Make recurrent layers forget the images before."""

    @contextmanager
    def share_cores(self, workers: int) -> Iterator[Callable[[], None]]:
        """While so many threads use it; what is given is to be called in each of them first."""
        yield lambda: None

    def select_boxes(self, heads: Sequence[HeadBoxes], threshold: float, arrays: Any) -> list[SelectedBoxes]:
        """The boxes over the threshold. `arrays` is the module of the heads' arrays: numpy or torch."""
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


def choose_engine(engine: str, *, wants_torch: bool) -> str:
    """The engine to use.

    Args:
        engine: one of ENGINES, or `auto`: torch, if it is there, for what only torch does, else the first of
            FASTEST_FIRST that is installed.
        wants_torch: a GPU or another dtype is asked for.

    Raises:
        DarkparseError: there is no such engine, it is not installed, or it does not do what is wanted.
    """
    if engine == "auto":
        engine = next(filter(find_spec, ("torch",) if wants_torch else FASTEST_FIRST), "torch")
    if engine not in ENGINES:
        raise DarkparseError(f"there is no engine {engine!r}; choose one of {', '.join(ENGINES)}, auto")
    if wants_torch and engine != "torch":
        raise DarkparseError(f"engine {engine} runs on the CPU in float32; a device or dtype is for engine torch")
    if not find_spec(engine):
        extra = "torch" if engine == "torch" else f"'darkparse[{engine}]'"
        raise DarkparseError(f"engine {engine} is not installed: pip install {extra}{_hint_at_engine(engine)}")
    return engine


def _hint_at_engine(missing: str) -> str:
    """Return a hint that names what runs without the missing engine."""
    if installed := next(filter(find_spec, FASTEST_FIRST), None):
        return f"\nhint: {installed} is installed; --engine auto (in Python engine='auto') takes it"
    if missing == "torch":
        return "\nhint: openvino runs networks without torch: pip install 'darkparse[openvino]', then --engine auto"
    return ""


def has_gpu() -> bool:
    """Whether NVIDIA's or AMD's driver is there, found out without torch."""
    if Path("/dev/kfd").exists():
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True
