"""Check of the first labels before training: Darknet silently trains on images without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from darkparse._utils.text import pluralize
from darkparse.datasets.dataset import NUM_INSPECTED, Dataset, DatasetImage
from darkparse.datasets.labels import label_candidates, label_path
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import DIALECTS
from darkparse.network.network import Network
from darkparse.syntax.files import is_file

MIN_LABELED_SHARE = 0.5
"""Fraction of images with a label below which a warning is issued."""


def check_labels(files: Dataset, network: Network) -> str | None:
    """Check that the first images of `train` have labels.

    Args:
        files: The data set.
        network: Network to train; its dialect determines the label paths.

    Returns:
        A warning if few of the images have a label.

    Raises:
        DarkparseError: No image has a label, or the list cannot be read.
    """
    images = files.images("train", network.dialect, limit=NUM_INSPECTED)
    unlabeled = [image for image in images if not _has_label(image, files, network)]
    if not unlabeled or len(images) - len(unlabeled) >= MIN_LABELED_SHARE * len(images):
        return None
    first = f"the first {pluralize(len(images), 'image')}"
    if len(unlabeled) < len(images):
        return f"{files.train}: {len(unlabeled)} of {first} have no label; `darkparse check` lists them"
    if not network.heads:
        raise DarkparseError(f"{files.train}: no path of {first} contains a label of {files.file('labels')}")
    missing = unlabeled[0].label
    raise DarkparseError(
        f"{files.train}: no label for {first}: {missing} does not exist\nhint: {_hint(images, network)}"
    )


def _has_label(image: DatasetImage, files: Dataset, network: Network) -> bool:
    if not network.heads:
        return any(label in image.path for label in files.labels)
    return image.objects is not None or _is_label(image.label, image)


def _is_label(path: str, image: DatasetImage) -> bool:
    """Return whether a label exists; if Darknet does not know the image's extension, the path is that of the image."""
    return path != image.path and is_file(path)


def _hint(images: Sequence[DatasetImage], network: Network) -> str:
    """Suggest where the labels are instead."""
    for dialect in DIALECTS.values():
        path = next((path for image in images if _is_label(path := label_path(image.path, dialect), image)), None)
        if path is not None:
            return f"use --dialect {dialect.name}, which finds {path}"
    label = next((path for image in images for path in label_candidates(Path(image.path)) if is_file(path)), None)
    return f"{network.dialect.title} does not read {label}" if label else "an empty file marks an image without objects"
