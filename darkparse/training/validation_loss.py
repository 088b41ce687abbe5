"""Loss on the validation images, without augmentation."""

from __future__ import annotations

import numpy as np
import torch

from darkparse.datasets.dataset import Dataset, DatasetImage
from darkparse.detect.images import open_image
from darkparse.detect.preprocess import Floats, fit_image
from darkparse.errors import DarkparseError
from darkparse.model.darknet import Darknet
from darkparse.network import Network
from darkparse.training.losses import Losses


class ValidationLoss:
    """Computes the loss of the `valid` list; images are stretched to the input, for classifiers their center square.

    Args:
        network: Network to train.
        files: The data set.

    Raises:
        DarkparseError: The list cannot be read or is empty.
    """

    def __init__(self, network: Network, files: Dataset) -> None:
        self._network, self._images = network, files.images("valid", network.dialect)
        self._labels = () if network.heads else files.labels
        if not self._images:
            raise DarkparseError(f"{files.valid}: the list contains no images")

    @torch.no_grad()
    def __call__(self, model: Darknet, losses: Losses, seen: int) -> float:
        """Return the mean loss per image, as Darknet prints it in training; batch norm uses its rolling statistics.

        Raises:
            DarkparseError: An image or a label cannot be read.
        """
        net, total = self._network.net, 0.0
        rows, device = max(1, net.batch // net.subdivisions), next(model.parameters()).device
        was_training = model.training
        model.eval()
        try:
            for start in range(0, len(self._images), rows):
                samples = [self._read(image) for image in self._images[start : start + rows]]
                x = torch.from_numpy(np.stack([image for image, _ in samples])).to(device)
                truths = [torch.from_numpy(truth) for _, truth in samples]
                model.reset_state()
                loss = losses(model.layer_outputs(x), truths if self._network.heads else torch.stack(truths), seen=seen)
                total += float(loss.cost)
        finally:
            model.train(was_training)
        return total / len(self._images)

    def _read(self, entry: DatasetImage) -> tuple[Floats, Floats]:
        network = self._network
        size = (network.net.height, network.net.width)
        pixels = open_image(entry.path, network.net.channels, apply_exif=network.dialect.applies_exif).pixels
        if not network.heads:
            image, _ = fit_image(pixels, size, "crop", crop_first=True)
            return image, np.array([name in entry.path for name in self._labels], np.float32)
        image, _ = fit_image(pixels, size, "stretch")
        labels = entry.read_labels() if entry.has_label else []
        return image, np.array([(*box, number) for _, number, box in labels], np.float32).reshape(-1, 5)
