"""Every reader ends in its result or in DarkparseError, whatever the bytes."""

from __future__ import annotations

import json
import os
import zipfile
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
from darkparse.datasets.annotations import read_annotations
from darkparse.detect.images import open_image
from darkparse.evaluation import open_reference
from tests.conftest import examples
from tests.reliability.fuzz.readers import CFG, COCO, READERS, SIZES, prepared, told

quick = settings(examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("readers"))


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


@pytest.mark.filterwarnings("ignore:.* NaN or infinite value")  # which mutated weights may well hold
@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
@quick
def test_reader_of_any_bytes_returns_or_raises_darkparse_error(kind: str, folder: Path, data: st.DataObject) -> None:
    name, _, read = READERS[kind]
    path = folder / name
    good = _good(kind, folder)
    path.write_bytes(good)
    read(path, folder)
    path.write_bytes(_mutated(good, data))
    told(read, path, folder)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data(), value=PLAIN)
@quick
def test_coco_with_any_value_returns_or_raises_darkparse_error(folder: Path, data: st.DataObject, value: Any) -> None:
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
def test_yaml_with_any_value_returns_or_raises_darkparse_error(value: Any, key: str) -> None:
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
        ("layers: [{kind: convolutional, options: {<<: {filters: 4}}}]\n", ":1:42: error: invalid key in `options`"),
        ("layers: []\n---\nlayers: []\n", ":2:1: error: invalid YAML: expected a single document"),
        (
            "layers: [{kind: convolutional, options: {filters: 4, filters: 5}}]\n",
            ":1:54: error: duplicate key 'filters' in `options`",
        ),
        (
            "layers: [{kind: convolutional, options: {filters: }}]\n",
            ":1:51: error: invalid value for filters; expected text, a number or a list",
        ),
        (
            "layers: [{kind: convolutional, options: {filters: [[1]]}}]\n",
            ":1:52: error: invalid value for filters; expected text, a number or a list",
        ),
        (
            "layers: [{kind: convolutional, options: {[a]: 1}}]\n",
            ":1:42: error: invalid key in `options`; expected text",
        ),
        (
            "layers: [{kind: convolutional, options: {filters: .inf}}]\n",
            ":1:51: error: invalid value for filters, got '.inf'; expected a decimal number",
        ),
        (
            "layers: [{kind: convolutional, options: {filters: 0x_}}]\n",
            ":1:51: error: invalid value for filters, got '0x_'; expected a decimal number",
        ),
        ("layers: [{kind: convolutional, options: {filters: !!binary aa}}]\n", ":1:51: error: invalid YAML: tags"),
        (
            "layers: [{kind: convolutional, options: {filters: 1 2}}]\n",
            ":1:51: error: invalid value for filters, got '1 2'; expected no spaces",
        ),
        ("name: ../../etc/x\nlayers: [{kind: convolutional}]\n", ":1:7: error: invalid `name`"),
        ("dialect: [a]\nlayers: [{kind: convolutional}]\n", ":1:10: error: invalid `dialect`; expected text"),
        ("layers: [{kind: 1}]\n", ":1:17: error: invalid `kind`"),
        ("- a: *b\n", ":1:6: error: invalid YAML: anchors and aliases"),
        ("- a: 1\n  b: &c 1\n", ":2:6: error: invalid YAML: anchors and aliases"),
        (f"- {'[' * 11}", ":1:12: error: invalid YAML: nested too deeply"),
        pytest.param(f"[{'1,' * 100_001}]", "too many values", marks=pytest.mark.slow),
        ("<<: 1\nlayers: []\n", ":1:1: error: invalid key in the network"),
        ('a: "\\udce9" b', ":1:13: error: invalid YAML: expected <block end>"),
        ("a: 'b\n", ":2:1: error: invalid YAML: found unexpected end of stream"),
    ],
)
def test_from_yaml_of_hostile_document_raises(text: str, message: str) -> None:
    with pytest.raises(darkparse.CfgError, match=message):
        darkparse.from_yaml(text)


def test_from_yaml_with_too_many_values_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkparse.syntax.safe_yaml.MAX_NODES", 50)
    with pytest.raises(darkparse.DarkparseError, match="too many values; expected at most 50"):
        darkparse.from_yaml(f"[{'1,' * 51}]")


@pytest.mark.skipif(os.name != "posix", reason="needs links and devices: run it on Linux or macOS")
@pytest.mark.parametrize("kind", [kind for kind in READERS if kind not in ("voc", "labels")])
@pytest.mark.parametrize("target", ["/dev/zero", "itself"])
def test_reader_of_endless_device_or_link_loop_raises(kind: str, target: str, tmp_path: Path, folder: Path) -> None:
    name, _, read = READERS[kind]
    path = tmp_path / name
    path.symlink_to(name if target == "itself" else target)
    with pytest.raises(darkparse.DarkparseError) as caught:
        read(path, folder)
    assert len(str(caught.value)) < 1000


@pytest.mark.slow
def test_archive_or_image_that_unpacks_too_large_raises(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (50 << 20,)})
        for _ in range(200):
            member.write(bytes(1 << 20))
    for read in (lambda: open_reference(path, SIZES), lambda: darkparse.load(CFG, path)):
        with pytest.raises(darkparse.WeightsError, match="at most 100 times the size"):
            read()
    Image.new("RGB", (6_000, 6_000)).save(tmp_path / "x.png")
    with pytest.raises(darkparse.DarkparseError, match="at most 200 times the size"):
        open_image(tmp_path / "x.png", apply_exif=False)


def test_load_pt_of_unexpected_objects_raises(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    endless: dict[str, Any] = {}
    endless["model"] = endless
    state: object
    for state in (endless, {"a": torch.zeros(2, dtype=torch.complex64)}, {1: torch.zeros(1)}, [], None):
        torch.save(state, path)
        with pytest.raises(darkparse.DarkparseError):
            darkparse.load(CFG, path)
