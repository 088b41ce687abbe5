"""Objects that a detector may miss: the list `difficult=` of a `.data` file."""

from __future__ import annotations

from pathlib import Path

from darkparse.datasets.data_file import DataFile, read_list
from darkparse.datasets.labels import find_label
from darkparse.datasets.sources import locate_input
from darkparse.errors import DarkparseError


def find_difficult_labels(images: Path) -> dict[str, Path]:
    """Return the label files that mark difficult objects, by the `locate_input` of their images.

    Each line of the list `difficult` belongs to the image on the same line of `valid`. Its label file is that of an
    image with this path, which need not exist (detector.c validate_detector_map). An image without a label file has no
    difficult objects.

    Args:
        images: Source of the images; only a `.data` file may name such a list.

    Raises:
        DarkparseError: A list is missing, or the lists differ in length.
    """
    data = DataFile.read(images) if images.suffix.lower() == ".data" and images.is_file() else None
    if data is None or "difficult" not in data.options:
        return {}
    difficult_list, difficult_images = data.file("difficult"), list(read_list(data.file("difficult")))
    valid_images = list(read_list(data.valid))
    if len(difficult_images) != len(valid_images):
        raise DarkparseError(
            f"{data.options['difficult']}: {difficult_list} lists {len(difficult_images)} images; expected "
            f"{len(valid_images)}, one for each image of valid"
        )
    labels: dict[str, Path] = {}
    for (_, image, folder), (_, difficult_image, _) in zip(valid_images, difficult_images, strict=True):
        # The list's own directory is tried too, as for images.
        found = (find_label(base / difficult_image) for base in (Path(), difficult_list.parent))
        if (label := next(filter(None, found), None)) is not None:
            labels[locate_input(image, folder)] = label
    return labels
