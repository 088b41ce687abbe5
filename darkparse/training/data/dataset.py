"""Mini-batches of pictures with what is in them."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from darkparse._utils.memory import free_memory
from darkparse.datasets.data_file import DataFile
from darkparse.datasets.image_files import Size
from darkparse.errors import DarkparseError
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.network.network import Network
from darkparse.network.training import bind_net_training, bind_training_options
from darkparse.training.data.classification_dataset import ClassificationDataset
from darkparse.training.data.detection_dataset import DetectionDataset
from darkparse.training.data.image_cache import CachedImages
from darkparse.training.data.processes import load_in_processes
from darkparse.training.data.sampling import IMAGE_STREAM, create_generator, sample_size
from darkparse.training.data.seed import check_seed

if TYPE_CHECKING:
    from torch import Tensor

MAX_CACHE_BYTES = 1 << 30
"""Bytes of pixels to keep in memory, or an eighth of what is free; all of a set that is small."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A mini-batch.

    Attributes:
        number: which, counted from 0 through all of the training.
        images: (N, C, H, W), float32 in 0…1.
        truth: of a detector N tensors (K, 5): x, y of the centre, width, height as fractions of the input, class; of a
            classifier one (N, classes).
        paths: the picture of each row; of several in one row the first.
        size: height and width.
    """

    number: int
    images: Tensor
    truth: list[Tensor] | Tensor
    paths: list[str]
    size: Size


def batches(
    network: Network,
    files: DataFile | str | os.PathLike[str],
    *,
    seed: int = 0,
    workers: int = 0,
    start: int = 0,
    fixed_size: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Generator[Batch]:
    """Mini-batches of `batch / subdivisions` pictures without end, drawn with replacement and varied as Darknet does.

    What is drawn follows from the seed and the mini-batch's number alone: a run from `start` on sees the pictures that
    one from the first batch sees there.

    Args:
        network: whose cfg says how pictures are varied.
        files: the `.data` file.
        seed: of the draws.
        workers: processes that load; 0 for this one. They import the main module, so a script needs its
            `if __name__ == "__main__":`.
        start: batches that are done already.
        fixed_size: the cfg's size always, whatever `random=` says.
        rank: which of several processes that share a batch this is.
        world: how many they are; each takes every `world`th mini-batch of a batch.

    Raises:
        DarkparseError: a file is missing or broken, the classes do not fit, or a process that loads was killed.
    """
    import torch

    data = files if isinstance(files, DataFile) else DataFile.read(files)
    loader = Loader(network, data, seed, fixed_size, cache_budget(max(1, workers) * world))
    first = start * loader.subdivisions + rank
    numbers = count(first, world)
    results = load_in_processes(loader, numbers, workers) if workers else (loader[number] for number in numbers)
    with closing(results):
        for result in results:
            if isinstance(result, DarkparseError):
                raise result
            number, images, truth, paths = result
            size = images.shape[2], images.shape[3]
            truths = [torch.from_numpy(rows) for rows in truth]
            yield Batch(number, images, truths if loader.is_detector else torch.stack(truths), paths, size)


def cache_budget(processes: int) -> int:
    """Bytes of pixels that each of so many processes may keep."""
    return min(MAX_CACHE_BYTES, free_memory() // 8) // processes


class Loader:
    """Makes any mini-batch, by its number; in whatever process."""

    def __init__(self, network: Network, files: DataFile, seed: int, fixed_size: bool, cache_bytes: int = 0) -> None:
        check_seed(seed)
        self.seed, self.subdivisions, self.dialect = seed, network.net.subdivisions, network.dialect
        self.size, self.channels = (network.net.height, network.net.width), network.net.channels
        self.rows = max(1, network.net.batch // network.net.subdivisions)
        self.net, self.training = (
            bind_training_options(network, network.config.net, Augmentation),
            bind_net_training(network),
        )
        image_list = files.images("train", network.dialect)
        if not image_list:
            raise DarkparseError(f"{files.train}: the list names no picture")
        self.is_detector, images = bool(network.heads), CachedImages(network, image_list, cache_bytes)
        self.random = 0.0
        if not self.is_detector:
            self.dataset: DetectionDataset | ClassificationDataset = ClassificationDataset(
                network, images, self.net, _labels(network, files)
            )
            return
        head = bind_training_options(network, network.nodes[network.heads[-1]].section, HeadAugmentation)
        self.random = 0.0 if fixed_size else head.random
        self.dataset = DetectionDataset(network, images, self.net, head)

    def input_size(self, batch: int) -> Size:
        """Height and width of a batch, counted from 0."""
        if not self.random:
            return self.size
        step = self.net.resize_step
        return sample_size(self.seed, batch, self.size, self.dialect, self.training, step, self.random)

    def __getitem__(self, number: int) -> Any:
        """Number, images (N, C, H, W) as a tensor, the truth of each as an array, paths; or the error that came up."""
        import torch

        size = self.input_size(number // self.subdivisions)
        images = torch.empty((self.rows, self.channels, *size))
        image_array, truth, paths = images.numpy(), [], []
        try:
            for row in range(self.rows):
                image, rows, path = self.dataset.sample(create_generator(self.seed, IMAGE_STREAM, number, row), size)
                image_array[row] = image
                truth.append(rows)
                paths.append(path)
        except DarkparseError as problem:
            return problem
        return number, images, truth, paths


def _labels(network: Network, files: DataFile) -> tuple[str, ...]:
    """A classifier's. Raises DarkparseError if they are not as many as the network has outputs."""
    outputs, labels = network.nodes[network.outputs[-1]].out_shape.size, files.labels
    if len(labels) != outputs:
        message = f"{len(labels)} labels, and the network has {outputs} outputs"
        raise DarkparseError(f"{files.options['labels']}: {message}")
    return labels
