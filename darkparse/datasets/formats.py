"""Formats of data sets: `.data` files, `data.yaml`, COCO JSON, directories of VOC XML."""

from __future__ import annotations

import os
from pathlib import Path

from darkparse.datasets.coco import CocoDataset
from darkparse.datasets.data_file import DataFile
from darkparse.datasets.data_yaml import read_data_yaml
from darkparse.datasets.dataset import Dataset
from darkparse.datasets.voc import VocDataset
from darkparse.diagnostics.source import Source
from darkparse.errors import DarkparseError
from darkparse.syntax.files import YAML_SUFFIXES, is_file, read_bytes
from darkparse.syntax.yaml_reader import is_yaml_network

COCO_SUFFIX = ".json"
DATA_SUFFIXES = (".data", *YAML_SUFFIXES, COCO_SUFFIX)
"""Suffixes of files that describe a data set."""


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Open a data set; raise DarkparseError if it cannot be read or is invalid.

    Args:
        path: A `.data` file, a `data.yaml`, a COCO `.json` file, or a directory with VOC `.xml` files.
    """
    path = Path(path)
    if path.is_dir():
        dataset = VocDataset.read(path)
        if dataset is None:
            raise DarkparseError(
                f"{path}: no data set in this directory; expected VOC .xml files\n"
                "hint: of other formats, name the .data, data.yaml or COCO .json file"
            )
        return dataset
    suffix = path.suffix.lower()
    if suffix in YAML_SUFFIXES:
        return read_data_yaml(path)
    return CocoDataset.read(path) if suffix == COCO_SUFFIX else DataFile.read(path)


def is_dataset(path: str | os.PathLike[str]) -> bool:
    """Return whether a path has the name of a data set, and not the text of a network in YAML, or has VOC files."""
    path = Path(path)
    if path.is_dir():
        return VocDataset.read(path) is not None
    suffix = path.suffix.lower()
    if suffix not in YAML_SUFFIXES or not is_file(path):
        return suffix in DATA_SUFFIXES
    text = read_bytes(path).decode("utf-8", "replace")
    return not is_yaml_network(Source(str(path), text, path))
