"""Class names: from a file, from beside the cfg, or from the lists that ship."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from darkparse.datasets.data_file import DataFile, read_lines
from darkparse.errors import DarkparseError
from darkparse.layers.tree import read_tree
from darkparse.network import Network
from darkparse.syntax.files import MAX_TEXT_BYTES, is_file

SHIPPED = {80: "coco.names", 20: "voc.names"}
"""The lists that ship, by the number of classes: COCO and Pascal VOC, in the order that Darknet's weights use."""

Names = str | os.PathLike[str] | Sequence[str]


def find_names(network: Network, classes: int, names: Names | None = None) -> tuple[str, ...]:
    """The name of each class.

    Args:
        network: whose cfg may have a `.names` file beside it.
        classes: how many names are needed.
        names: a `.names` file (a name a line), a `.data` file (`names = …`), or the names themselves. Left out: the
            `.names` file beside the cfg, COCO's list for 80 classes, VOC's for 20, the nodes of the last layer's word
            tree, or else `class 0`, `class 1`, …

    Raises:
        DarkparseError: a file cannot be read, or has another number of names than the network has classes.
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
        raise DarkparseError(f"{origin}: {len(class_names)} names, and the network has {classes} classes")
    return class_names


def read_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names in a `.names` file, or in the one that a `.data` file points to;
    empty lines at the end do not count."""
    path = Path(path)
    if path.suffix == ".data":
        data = DataFile.read(path)
        return data.names if "names" in data.options else data.labels  # a classifier's, classifier.c
    return read_lines(path, MAX_TEXT_BYTES)


@cache
def shipped_names(classes: int) -> tuple[str, ...] | None:
    """The list that ships for so many classes."""
    if classes not in SHIPPED:
        return None
    return tuple(resources.files(__name__).joinpath(SHIPPED[classes]).read_text("utf-8").split("\n")[:classes])


def _find_beside(cfg: Path | None, classes: int) -> tuple[str, ...] | None:
    """The names beside a cfg: the file of the same name, or the only other one that has the right number of them."""
    if cfg is None:
        return None
    path = cfg.with_suffix(".names")
    if is_file(path):
        class_names = read_names(path)
        if len(class_names) != classes:
            raise DarkparseError(
                f"{path}: {len(class_names)} names, and the network has {classes} classes; --names chooses another file"
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
