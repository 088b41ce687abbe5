"""What reads strangers' bytes: by format a good file, and the reader, which ends in its result or in DarkparseError."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import darkparse
from darkparse.datasets import DataFile
from darkparse.datasets.annotations import read_annotations
from darkparse.datasets.names import read_names
from darkparse.detect.images import open_image
from darkparse.evaluation import open_reference
from darkparse.layers.tree import read_map, read_tree
from darkparse.weights import Header

Read = Callable[[Path, Path], Any]
"""Of a file, and of a folder with a picture a.png and names in y.names."""
SIZES = np.zeros((1, 3, 32, 32), np.float32)
CFG = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=5\nsize=1\n[region]\nnum=1\nclasses=0\n"


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _saved(suffix: str, folder: Path) -> bytes:
    path = folder / f"good{suffix}"
    darkparse.save(darkparse.load(CFG), path)
    return path.read_bytes()


def _pictured() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(189, dtype=np.uint8).reshape(7, 9, 3)).save(file, "PNG")
    return file.getvalue()


def _onnx() -> bytes:
    import onnx

    one = onnx.helper.make_tensor_value_info("x", 1, [1, 3, 32, 32])
    two = onnx.helper.make_tensor_value_info("y", 1, [1, 3, 32, 32])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [one], [two])
    made: bytes = onnx.helper.make_model(graph).SerializeToString()
    return made


COCO = {
    "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 10}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 2]}],
    "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
}
VOC = (
    "<annotation><size><height>8</height><width>10</width></size><object><name>a</name><bndbox><xmin>1</xmin>"
    "<ymin>1</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"
)


READERS: dict[str, tuple[str, Callable[[Path], bytes], Read]] = {
    "cfg": ("x.cfg", lambda _: CFG.encode(), lambda path, _: darkparse.compile(path)),
    "yaml": ("x.yaml", lambda _: darkparse.compile(CFG).to_yaml().encode(), lambda path, _: darkparse.from_yaml(path)),
    "weights": ("x.weights", lambda _: Header().pack() + bytes(4 * 20), lambda path, _: darkparse.load(CFG, path)),
    "safetensors": ("x.st", lambda at: _saved(".safetensors", at), lambda path, _: darkparse.load(path)),
    "pt": ("x.pt", lambda at: _saved(".pt", at), lambda path, _: darkparse.load(path)),
    "npz": ("y.npz", lambda at: _saved(".npz", at), lambda path, _: darkparse.load(path)),
    "dump": ("x.npz", lambda _: _npz(layer_0=SIZES[0, 0]), lambda path, _: open_reference(path, SIZES)),
    "onnx": ("x.onnx", lambda _: _onnx(), lambda path, _: open_reference(path, SIZES)),
    "names": ("x.names", lambda _: b"a\nb\n", lambda path, _: read_names(path)),
    "data": (
        "x.data",
        lambda _: b"names=y.names\nclasses = 2\n",
        lambda path, _: (DataFile.read(path), read_names(path)),
    ),
    "tree": ("x.tree", lambda _: b"a -1\nb 0\n", lambda path, _: read_tree(path)),
    "map": ("x.map", lambda _: b"0\n1\n", lambda path, _: read_map(path, 2)),
    "coco": ("x.json", lambda _: json.dumps(COCO).encode(), lambda path, at: read_annotations(path, at, ("a", "b"))),
    "voc": ("voc/a.xml", lambda _: VOC.encode(), lambda path, at: read_annotations(path.parent, at, ("a", "b"))),
    "labels": ("labels/a.txt", lambda _: b"0 .5 .5 1 1\n", lambda path, at: read_annotations(path.parent, at, ("a",))),
    "picture": ("x.png", lambda _: _pictured(), lambda path, _: open_image(path, apply_exif=False).pixels),
}
"""By format: a file's name, a good one, and what reads it."""


def prepared(folder: Path) -> Path:
    """The folder that readers take."""
    (folder / "a.png").write_bytes(_pictured())
    (folder / "y.names").write_text("a\nb\n")
    (folder / "voc").mkdir()
    (folder / "labels").mkdir()
    return folder


def told(read: Read, path: Path, folder: Path) -> None:
    """Read a file of any bytes: what is wrong with it is said."""
    read_tree.cache_clear()
    read_map.cache_clear()
    try:
        read(path, folder)
    except darkparse.DarkparseError as problem:
        if not str(problem):
            raise AssertionError("an error without a word") from problem
