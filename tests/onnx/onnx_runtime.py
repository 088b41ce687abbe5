"""Running ONNX files with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnxruntime = pytest.importorskip("onnxruntime")

Floats = NDArray[np.float32]


def session_of(path: Path) -> Any:
    """Create a session for a file on the CPU, with one thread: the networks of tests are too small for more."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Runner:
    """ONNX file whose states are kept between calls."""

    def __init__(self, path: Path) -> None:
        self.session = session_of(path)
        self.memory: dict[str, Floats] = {}

    def __call__(self, image: Floats) -> dict[str, Floats]:
        """Return the outputs by name, without the states."""
        for value in self.session.get_inputs():
            if value.name != "image" and value.name not in self.memory:
                self.memory[value.name] = np.zeros((len(image), *value.shape[1:]), np.float32)
        names = [value.name for value in self.session.get_outputs()]
        found = dict(zip(names, self.session.run(None, {"image": image, **self.memory}), strict=True))
        self.memory = {name: found.pop(f"{name}.next") for name in self.memory}
        return found
