"""Mini-batches of images with their targets."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from darkparse._utils.memory import free_memory
from darkparse.datasets.dataset import Dataset
from darkparse.datasets.formats import open_dataset
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
"""Maximum bytes of decoded images to cache, unless an eighth of the free memory is less."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A mini-batch.

    Attributes:
        number: Mini-batch number, counted from 0 over the whole training.
        images: (N, C, H, W), float32 in [0, 1].
        truth: For detectors N tensors (K, 5): center x, center y, width, height as fractions of the input, class. For
            classifiers one tensor (N, classes).
        paths: Image path of each row; the first one where a row combines several images.
        size: Height and width.
    """

    number: int
    images: Tensor
    truth: list[Tensor] | Tensor
    paths: list[str]
    size: Size


def batches(
    network: Network,
    files: Dataset | str | os.PathLike[str],
    *,
    seed: int = 0,
    workers: int = 0,
    start: int = 0,
    fixed_size: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Generator[Batch]:
    """Yield mini-batches of `batch / subdivisions` images without end, drawn with replacement and augmented.

    Each mini-batch depends only on the seed and its number: a run from `start` gets the same images as a run from the
    first batch.

    Args:
        network: Network whose cfg defines the augmentation.
        files: The data set.
        seed: Random seed.
        workers: Number of loader processes; 0 loads in this process. Loader processes import the main module, so
            scripts need `if __name__ == "__main__":`.
        start: Number of completed batches.
        fixed_size: Use the cfg's input size, even with `random=1`.
        rank: Rank of this process among those that share a batch.
        world: Number of these processes; each loads every `world`th mini-batch.

    Raises:
        DarkparseError: A file is missing or corrupt, the classes do not match, or a loader process was killed.
    """
    import torch

    data = files if isinstance(files, Dataset) else open_dataset(files)
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
    """Return the bytes of decoded images that each of several processes may cache."""
    return min(MAX_CACHE_BYTES, free_memory() // 8) // processes


class Loader:
    """Creates any mini-batch by its number, in any process."""

    def __init__(self, network: Network, files: Dataset, seed: int, fixed_size: bool, cache_bytes: int = 0) -> None:
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
            raise DarkparseError(f"{files.train}: the list contains no images")
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
        """Return the input height and width of a batch, counted from 0."""
        if not self.random:
            return self.size
        step = self.net.resize_step
        return sample_size(self.seed, batch, self.size, self.dialect, self.training, step, self.random)

    def __getitem__(self, number: int) -> Any:
        """Return number, images (N, C, H, W) as a tensor, targets as arrays and paths; or the error that occurred."""
        import torch

        size = self.input_size(number // self.subdivisions)
        images = torch.empty((self.rows, self.channels, *size))
        image_array, truth, paths = images.numpy(), [], []
        try:
            for row in range(self.rows):
                random = create_generator(self.seed, IMAGE_STREAM, number, row)
                sample = self.dataset.sample(random, size, image_array[row])
                truth.append(sample.truth)
                paths.append(sample.path)
        except DarkparseError as problem:
            return problem
        return number, images, truth, paths


def _labels(network: Network, files: Dataset) -> tuple[str, ...]:
    """Return a classifier's labels; raise DarkparseError if their number differs from the network's outputs."""
    outputs, labels = network.nodes[network.outputs[-1]].out_shape.size, files.labels
    if len(labels) != outputs:
        message = f"wrong number of labels, got {len(labels)}; expected {outputs}, the outputs of the network"
        raise DarkparseError(f"{files.options.get('labels', files.path)}: {message}")
    return labels
