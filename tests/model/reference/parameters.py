"""The parameters and inputs that the reference numbers were computed with: the same on every machine.

numpy promises that the stream of RandomState never changes. About 2 % of the batch-norm channels have a tiny variance,
so that a wrong epsilon shows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = tuple[int, str, str, int, int]
"""Layer, part of it, kind of tensor, count of floats, fan-in; in file order."""


def _uniform(key: str, count: int) -> NDArray[np.float64]:
    return np.random.RandomState(zlib.crc32(key.encode())).random_sample(count)


def parameter(key: str, kind: str, count: int, fan_in: int) -> NDArray[np.float32]:
    """One array; `key` names network, seed, layer and part."""
    u = _uniform(f"{key}/{kind}", count)
    if kind == "weights":
        return np.asarray((2 * u - 1) * np.sqrt(4.5 / max(fan_in, 1)), np.float32)
    if kind in ("shortcut_weights", "implicit_weights"):
        return (0.3 + 0.7 * u).astype(np.float32)
    if kind in ("biases", "rolling_mean"):
        return ((0.4 if kind == "biases" else 0.6) * (u - 0.5)).astype(np.float32)
    variance = 0.5 + _uniform(f"{key}/rolling_variance", count)
    tiny = _uniform(f"{key}/tiny", count) < 0.02
    variance = np.where(tiny, 10.0 ** (-7 + 3 * _uniform(f"{key}/exponent", count)), variance)
    values = variance if kind == "rolling_variance" else (0.5 + u) * np.where(tiny, np.sqrt(variance), 1.0)
    return np.asarray(values, np.float32)


def write_weights(
    path: Path, name: str, arrays: Sequence[Array], seed: int, header: Sequence[int], seen: int = 32013312
) -> None:
    """Write the `.weights` file of a reference network."""
    wide = header[0] * 10 + header[1] >= 2
    with path.open("wb") as file:
        file.write(struct.pack("<3i", *header) + struct.pack("<q" if wide else "<i", seen))
        for layer, part, kind, count, fan_in in arrays:
            parameter(f"{name}/{seed}/{layer}/{part}", kind, count, fan_in).tofile(file)


def network_input(name: str, seed: int, count: int, step: int) -> NDArray[np.float32]:
    """The input at a time step, flat, values in 0…1."""
    return _uniform(f"{name}/{seed}/input/{step}", count).astype(np.float32)


def sampled(outputs: int, count: int) -> NDArray[np.int64]:
    """The flat positions at which an output was sampled."""
    return np.array([(j * 2654435761 + 12345) % outputs for j in range(count)], dtype=np.int64)
