"""Every reader ends in its result or in DarkparseError, whatever the bytes."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import darkparse
from darkparse.compare import open_reference
from darkparse.data import DataFile
from darkparse.detect.accuracy.annotations import read_annotations
from darkparse.detect.images import open_image
from darkparse.detect.names import read_names
from darkparse.layers.tree import read_map, read_tree
from darkparse.weights import Header

quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
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
    onnx = pytest.importorskip("onnx")
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture a.png, and folders for annotations."""
    made = tmp_path_factory.mktemp("readers")
    (made / "a.png").write_bytes(_pictured())
    (made / "y.names").write_text("a\nb\n")
    (made / "voc").mkdir()
    (made / "labels").mkdir()
    return made


READERS: dict[str, tuple[str, Callable[[Path], bytes], Callable[[Path, Path], Any]]] = {
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
    "picture": ("x.png", lambda _: _pictured(), lambda path, _: open_image(path, turn=False).pixels),
}
"""By format: a file's name, a good one, and what reads it."""


@cache
def _good(kind: str, folder: Path) -> bytes:
    return READERS[kind][1](folder)


def _mutated(good: bytes, data: st.DataObject) -> bytes:
    """A good file cut, with bytes changed, or with a part doubled; or any bytes."""
    kind = data.draw(st.sampled_from(("any", "cut", "changed", "doubled", "swapped")))
    place, other = (data.draw(st.integers(0, max(len(good) - 1, 0))) for _ in range(2))
    if kind == "any":
        return data.draw(st.binary(max_size=200))
    if kind == "cut":
        return good[:place]
    if kind == "doubled":
        return good[: max(place, other)] + good[min(place, other) :]
    piece = data.draw(st.binary(min_size=1, max_size=8) if kind == "changed" else st.sampled_from(WORDS))
    return good[:place] + piece + good[place + len(piece) :]


WORDS = (b"nan", b"-1", b"9" * 50, b"1e999", b"null", b"[[[[", b"!!x", b"\0\0\0\0", b"\xff" * 8, b"\xed\xb3\xa9", b"..")


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
@quick
def test_any_bytes(kind: str, folder: Path, data: st.DataObject) -> None:
    name, _, read = READERS[kind]
    path = folder / name
    good = _good(kind, folder)
    path.write_bytes(good)
    read_tree.cache_clear()
    read_map.cache_clear()
    read(path, folder)
    path.write_bytes(_mutated(good, data))
    read_tree.cache_clear()
    read_map.cache_clear()
    try:
        read(path, folder)
    except darkparse.DarkparseError as problem:
        assert str(problem)  # noqa: PT017


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data(), value=PLAIN)
@quick
def test_any_value_in_coco(folder: Path, data: st.DataObject, value: Any) -> None:
    changed = json.loads(json.dumps(COCO))
    place = changed
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        inner = place[key]
        if not isinstance(inner, dict | list) or data.draw(st.booleans()):
            place[key] = value
            break
        place = inner
    (folder / "y.json").write_text(json.dumps(changed))
    try:
        found = read_annotations(folder / "y.json", folder, ("a", "b"))
    except darkparse.DarkparseError:
        return
    assert all(np.isfinite(truth.boxes).all() and (truth.boxes[:, 2:] >= 0).all() for truth in found.truths)


@given(value=PLAIN, key=st.sampled_from(["name", "dialect", "net", "layers", "options", "kind", "training", "width"]))
@quick
def test_any_value_in_yaml(value: Any, key: str) -> None:
    import yaml

    document = yaml.safe_load(darkparse.compile(CFG).to_yaml())
    for part in (document, document["layers"][0], document["net"], document["net"]["options"]):
        if key in part:
            part[key] = value
    try:
        darkparse.from_yaml(yaml.safe_dump(document) + "\n")
    except darkparse.DarkparseError as problem:
        assert str(problem)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers: [{kind: convolutional, options: {<<: {filters: 4}}}]\n", "<<"),
        ("layers: []\n---\nlayers: []\n", "a second document"),
        ("layers: [{kind: convolutional, options: {filters: 4, filters: 5}}]\n", "'filters' for a second time"),
        ("layers: [{kind: convolutional, options: {filters: }}]\n", "filters: a text, a number or a list"),
        ("layers: [{kind: convolutional, options: {filters: [[1]]}}]\n", "filters: a text, a number or a list"),
        ("layers: [{kind: convolutional, options: {[a]: 1}}]\n", "a key that is no text"),
        ("layers: [{kind: convolutional, options: {filters: .inf}}]\n", "filters=inf: a whole number"),
        ("layers: [{kind: convolutional, options: {filters: 0x_}}]\n", "'0x_', which is no number"),
        ("layers: [{kind: convolutional, options: {filters: !!binary aa}}]\n", "a tag"),
        ("layers: [{kind: convolutional, options: {filters: 1 2}}]\n", "has spaces in it"),
        ("name: ../../etc/x\nlayers: [{kind: convolutional}]\n", "without a folder"),
        ("dialect: [a]\nlayers: [{kind: convolutional}]\n", "that of a Darknet"),
        ("layers: [{kind: 1}]\n", "layer 0: a mapping with `kind`"),
        ("- a: *b\n", "an anchor or alias"),
        ("a: 'b\n", "not YAML"),
    ],
)
def test_yaml_that_is_no_network(text: str, message: str) -> None:
    with pytest.raises(darkparse.DarkparseError, match=message):
        darkparse.from_yaml(text)


@pytest.mark.skipif(os.name != "posix", reason="needs links and devices")
@pytest.mark.parametrize("kind", [kind for kind in READERS if kind not in ("voc", "labels")])
@pytest.mark.parametrize("target", ["/dev/zero", "itself"])
def test_endless_devices_and_links_to_themselves(kind: str, target: str, tmp_path: Path, folder: Path) -> None:
    name, _, read = READERS[kind]
    path = tmp_path / name
    path.symlink_to(name if target == "itself" else target)
    with pytest.raises(darkparse.DarkparseError) as caught:
        read(path, folder)
    assert len(str(caught.value)) < 1000


def test_archives_and_pictures_that_unpack_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (50 << 20,)})
        for _ in range(200):
            member.write(bytes(1 << 20))
    for read in (lambda: open_reference(path, SIZES), lambda: darkparse.load(CFG, path)):
        with pytest.raises(darkparse.WeightsError, match="more than 100 times as many: not read"):
            read()
    Image.new("RGB", (6_000, 6_000)).save(tmp_path / "x.png")
    with pytest.raises(darkparse.DarkparseError, match="more than 200 times as many"):
        open_image(tmp_path / "x.png", turn=False)


def test_tensors_of_odd_kinds(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    endless: dict[str, Any] = {}
    endless["model"] = endless
    state: object
    for state in (endless, {"a": torch.zeros(2, dtype=torch.complex64)}, {1: torch.zeros(1)}, [], None):
        torch.save(state, path)
        with pytest.raises(darkparse.DarkparseError):
            darkparse.load(CFG, path)
