"""Options of `[net]` for training on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from darkparse._utils.memory import free_memory
from darkparse.datasets.dataset import Dataset
from darkparse.detect.engines.engine import has_gpu
from darkparse.errors import DarkparseError
from darkparse.network.analysis.memory import compute_training_memory
from darkparse.network.network import Network
from darkparse.network.training_schedule import (
    BATCH,
    choose_subdivisions,
    plan_schedule,
    recommend_batches,
)

MEMORY_SHARE = 0.5
"""Fraction of the free memory that a mini-batch may take; the rest is for images, libraries and other programs."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Changes to a cfg for a data set.

    Attributes:
        classes: Number of classes.
        options: Options of `[net]`.
        images: Number of images in `train`.
    """

    classes: int
    options: dict[str, str]
    images: int


def prepare(
    network: Network,
    files: Dataset,
    *,
    batches: int | None = None,
    classes: int | None = None,
    options: Mapping[str, str] | None = None,
    memory: int | None = None,
) -> TrainingPlan:
    """Choose classes, batch, subdivisions and schedule for a data set.

    Args:
        network: Network to train.
        files: The data set.
        batches: Number of batches to train; by default as many as AlexeyAB's README recommends.
        classes: Number of classes; by default that of the data set.
        options: Options of `[net]` that replace the planned ones.
        memory: Free bytes of the device; by default those of the GPU, or of the system if there is none.

    Raises:
        DarkparseError: The data set cannot be read, or does not state its classes.
    """
    given = dict(options or {})
    classes = classes or files.count_classes(is_detector=bool(network.heads))
    if classes is None:
        raise DarkparseError(f"{files.path}: number of classes unknown; expected 'names = FILE' or 'classes = N'")
    images = len(files.images("train", network.dialect))
    if not images:
        raise DarkparseError(f"{files.train}: the list contains no images")
    batches = batches or recommend_batches(classes, images)
    batch = _read_batch(given)
    usage = compute_training_memory(network, moments=2 if given.get("adam") == "1" else 1)
    budget = int(MEMORY_SHARE * (measure_free_memory() if memory is None else memory)) - usage.estimate(0)
    planned = {"batch": str(batch), "subdivisions": str(choose_subdivisions(batch, usage.saved, budget))}
    planned |= plan_schedule(network, batches)
    return TrainingPlan(classes, planned | given, images)


def _read_batch(options: Mapping[str, str]) -> int:
    try:
        return max(1, int(options.get("batch", BATCH)))
    except ValueError:
        return BATCH  # the invalid value is reported at its line of the cfg


def measure_free_memory() -> int:
    """Return the free bytes of the GPU, or of the system if there is none."""
    if has_gpu():
        from torch import cuda

        if cuda.is_available():
            return cuda.mem_get_info()[0]
    return free_memory()
