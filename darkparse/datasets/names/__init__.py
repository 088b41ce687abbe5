"""Class names: from a file, from beside the cfg, or from the lists that ship."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path

from darkparse.datasets.data_file import DataFile, read_lines
from darkparse.errors import DarkparseError
from darkparse.layers.tree import read_tree
from darkparse.network import Network
from darkparse.syntax.files import MAX_TEXT_BYTES, is_file

SHIPPED = {80: ("COCO", "coco.names"), 20: ("Pascal VOC", "voc.names")}
"""The lists that ship, by the number of classes, in the order that Darknet's weights use: data set and file."""

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


def find_class_ids(names: Sequence[str], classes: Iterable[int | str]) -> tuple[int, ...]:
    """Return the numbers of classes that are given by name or number, each once, in ascending order.

    Args:
        names: The name of each class of the network.
        classes: Names or numbers; a text of digits is a number unless a class has that name.

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
    _, file = SHIPPED[classes]
    return tuple(resources.files(__name__).joinpath(file).read_text("utf-8").split("\n")[:classes])


def find_shipped_origin(network: Network, classes: int) -> str | None:
    """Return the data set whose names `find_names` takes by the number of classes alone; None if it takes others."""
    if classes not in SHIPPED or _find_beside(network.config.source.path, classes) is not None:
        return None
    return SHIPPED[classes][0]


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
