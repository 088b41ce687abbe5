"""State dicts and inputs of the cases in tests/data/lower: values made of a key and a seed."""

from __future__ import annotations

import json
import math
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.conftest import DATA

FOLDER = DATA / "lower"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))


def draw(key: str, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.RandomState(zlib.crc32(key.encode())).random_sample(count)


def draw_parameter(case: str, meta: dict[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    stem, part = key.rsplit(".", 1)
    prefix = f"{case}/{meta['seed']}/{stem}"
    u = draw(f"{prefix}/{part}", math.prod(shape))
    if part == "num_batches_tracked":
        return np.full(shape, 1000, np.int64)
    if "BatchNorm2d" in stem and part in ("weight", "running_var"):
        variance = 0.5 + draw(f"{prefix}/running_var", len(u))
        tiny = draw(f"{prefix}/tiny", len(u)) < 0.08
        variance = np.where(tiny, 10.0 ** (-6.0 + 2.0 * draw(f"{prefix}/exponent", len(u))), variance)
        values = variance if part == "running_var" else (0.5 + u) * np.where(tiny, np.sqrt(variance), 1.0)
    elif part in ("running_mean", "bias"):
        values = (0.6 if part == "running_mean" else 0.4) * (u - 0.5)
    elif part == "implicit":
        values = (0.4 + 0.8 * u) * np.where(draw(f"{prefix}/sign", len(u)) < 0.25, -1.0, 1.0)
    elif part == "w":
        values = 4.0 * (u - 0.5)
    else:
        spread = 60.0 / shape[1] if len(shape) == 2 else 3.0 * meta["gain"] / math.prod(shape[1:])
        values = (2.0 * u - 1.0) * math.sqrt(spread)
    return values.reshape(shape).astype(np.float16 if meta["wrapper"] == "half" else np.float32)


def load_case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the reference numbers of a case and its description."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        arrays = dict(archive)
    return arrays, json.loads(str(arrays["meta"]))


def make_state(name: str, meta: dict[str, Any]) -> dict[str, torch.Tensor]:
    keys = [(key, tuple(shape)) for key, shape in meta["keys"]]
    return OrderedDict((key, torch.from_numpy(draw_parameter(name, meta, key, shape))) for key, shape in keys)


def make_input(name: str, meta: dict[str, Any]) -> torch.Tensor:
    shape = tuple(meta["input"])
    values = draw(f"{name}/{meta['seed']}/input", math.prod(shape))
    return torch.from_numpy(values.reshape(shape).astype(np.float32))


def save_state(path: Path, state: dict[str, Any], wrapper: str = "plain") -> Path:
    """Save a state dict as the projects' programs do; a training leaves numpy values beside the tensors."""
    prefixed = OrderedDict(("module." * (wrapper == "module") + key, value) for key, value in state.items())
    checkpoint: dict[str, Any] = {"epoch": -1, "best_fitness": None, "model": prefixed, "optimizer": None}
    if wrapper == "train":
        checkpoint |= {"best_fitness": np.array([0.5]), "best_fitness_p": np.float64(0.25), "epoch": 299}
    torch.save(prefixed if wrapper == "plain" else checkpoint, path)
    return path
