"""Class names: from a file, from the cfg's directory, or from a bundled list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path

from darkparse.datasets.data_file import read_lines
from darkparse.datasets.formats import is_dataset, open_dataset
from darkparse.errors import DarkparseError
from darkparse.layers.tree import read_tree
from darkparse.network import Network
from darkparse.syntax.files import MAX_TEXT_BYTES, is_file

SHIPPED = {80: ("COCO", "coco.names"), 20: ("Pascal VOC", "voc.names")}
"""Bundled lists by number of classes, in the order of Darknet's weights: dataset and file name."""

Names = str | os.PathLike[str] | Sequence[str]


def find_names(network: Network, classes: int, names: Names | None = None) -> tuple[str, ...]:
    """Return the name of each class.

    Args:
        network: Network; its cfg's directory may have a `.names` file.
        classes: Number of names required.
        names: A `.names` file (one name per line), a `.data` file (`names = …`), or the names themselves. None: use the
            `.names` file beside the cfg, the COCO names for 80 classes, the VOC names for 20, the nodes of the last
            layer's word tree, or `class 0`, `class 1`, …, in this order.

    Raises:
        DarkparseError: A file cannot be read, or the number of names differs from `classes`.
    """
    if names is None:
        numbered = tuple(f"class {i}" for i in range(classes))
        return (
            _find_beside(network.config.source.path, classes)
            or shipped_names(classes)
            or _tree_names(network, classes)
            or numbered
        )
    if isinstance(names, str | os.PathLike):
        class_names, origin = read_names(names), str(names)
    else:
        class_names, origin = tuple(names), "names"
    if len(class_names) != classes:
        raise DarkparseError(
            f"{origin}: wrong number of names, got {len(class_names)}; expected {classes}, the classes of the network"
        )
    return class_names


def find_class_ids(names: Sequence[str], classes: Iterable[int | str]) -> tuple[int, ...]:
    """Return the IDs of classes given by name or ID, without duplicates, in ascending order.

    Args:
        names: Class names of the network.
        classes: Names or IDs; a string of digits is an ID unless a class has that name.

    Raises:
        DarkparseError: The network has no such class.
    """
    numbers = {name: number for number, name in reversed(list(enumerate(names)))}
    ids = set()
    for name in classes:
        number = numbers.get(name) if isinstance(name, str) else int(name)
        if number is None and str(name).strip().isdecimal():
            number = int(name)
        if number is None or not 0 <= number < len(names):
            near = get_close_matches(str(name), names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DarkparseError(
                f"unknown class {name!r}; expected a class name or a number from 0 to {len(names) - 1}{hint}"
            )
        ids.add(number)
    return tuple(sorted(ids))


def read_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read the names of a `.names` file or of a data set.

    Empty lines at the end are ignored.
    """
    path = Path(path)
    if is_dataset(path):
        data = open_dataset(path)
        return data.names if "names" in data.keys else data.labels  # classifiers have `labels` (classifier.c)
    return read_lines(path, MAX_TEXT_BYTES)


@cache
def shipped_names(classes: int) -> tuple[str, ...] | None:
    """Return the bundled names for a number of classes, None if there are none."""
    if classes not in SHIPPED:
        return None
    _, file = SHIPPED[classes]
    return tuple(resources.files(__name__).joinpath(file).read_text("utf-8").split("\n")[:classes])


def find_shipped_origin(network: Network, classes: int) -> str | None:
    """Return the dataset whose bundled names `find_names` selects by the number of classes; None for other sources."""
    if classes not in SHIPPED or _find_beside(network.config.source.path, classes) is not None:
        return None
    return SHIPPED[classes][0]


def _find_beside(cfg: Path | None, classes: int) -> tuple[str, ...] | None:
    """Return the names in the cfg's directory: those of the file with the cfg's name, or of the only file that fits."""
    if cfg is None:
        return None
    path = cfg.with_suffix(".names")
    if is_file(path):
        class_names = read_names(path)
        if len(class_names) != classes:
            raise DarkparseError(
                f"{path}: ignored, it has {len(class_names)} names for {classes} classes\nhint: select another file "
                f"with --names"
            )
        return class_names
    other_paths = filter(is_file, sorted(cfg.parent.glob("*.names")))
    matching = [names for path in other_paths if len(names := _names_or_none(path)) == classes]
    return matching[0] if len(matching) == 1 else None


def _tree_names(network: Network, classes: int) -> tuple[str, ...] | None:
    tree = getattr(network.nodes[network.outputs[-1]].layer, "tree", None)
    names = read_tree(tree).names if tree is not None else ()
    return names if len(names) == classes else None


def _names_or_none(path: Path) -> tuple[str, ...]:
    try:
        return read_names(path)
    except DarkparseError:
        return ()
