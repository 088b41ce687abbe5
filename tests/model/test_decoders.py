"""Heads to boxes: word trees beside a transcription of tree.c, batches, dynamic sizes, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import darkparse
from darkparse.layers.tree import Tree
from darkparse.model import Decoder, decode
from darkparse.model.hierarchy import Hierarchy

# animal, thing; dog, cat, bird below animal; terrier, poodle below dog; car, bus below thing
TREE = Tree(
    ("animal", "thing", "dog", "cat", "bird", "terrier", "poodle", "car", "bus"),
    (-1, -1, 0, 0, 0, 2, 2, 1, 1),
    (2, 3, 2, 2),
)


def absolute_in_c(p: list[float]) -> list[float]:
    """tree.c hierarchy_predictions."""
    p = list(p)
    for j, parent in enumerate(TREE.parents):
        if parent >= 0:
            p[j] *= p[parent]
    return p


def top_in_c(p: list[float], threshold: float) -> int:
    """tree.c hierarchy_top_prediction."""
    offsets = [0, 2, 5, 7]
    child = {0: 1, 2: 2, 1: 3}
    product, group = 1.0, 0
    while True:
        best, best_at = 0.0, 0
        for i in range(TREE.group_sizes[group]):
            if p[offsets[group] + i] > best:
                best, best_at = p[offsets[group] + i], offsets[group] + i
        if product * best > threshold:
            product *= best
            if best_at not in child:
                return best_at
            group = child[best_at]
        elif group == 0:
            return best_at
        else:
            return TREE.parents[offsets[group]]


def conditional(random: np.random.RandomState) -> list[float]:
    """Probabilities that add up to 1 in each group of siblings."""
    parts = [random.dirichlet(np.full(size, 0.3)) for size in TREE.group_sizes]
    return [float(v) for part in parts for v in part]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_hierarchy_equals_darknets_tree(threshold: float) -> None:
    random = np.random.RandomState(4)
    rows = [conditional(random) for _ in range(200)]
    hierarchy = Hierarchy(TREE, threshold)
    absolute = hierarchy.absolute(torch.tensor(rows, dtype=torch.float64).reshape(2, 100, 9))
    assert np.allclose(absolute.reshape(-1, 9), [absolute_in_c(row) for row in rows])
    top = hierarchy.top(absolute).reshape(-1, 9)
    assert (top.sum(1) == 1).all()
    assert top.argmax(1).tolist() == [top_in_c(absolute_in_c(row), threshold) for row in rows]
    for row, chosen in zip(
        absolute.reshape(-1, 9).tolist(), hierarchy.deepest(absolute).reshape(-1, 9).tolist(), strict=True
    ):
        over = [i for i, value in enumerate(row) if value > threshold]
        assert chosen == [float(i == max(over, default=-1)) for i in range(9)]


REGION = """
[net]
width=64
height=64
channels={channels}
[region]
anchors=1,2, 3,1
classes=9
coords=4
num=2
softmax=1
tree={tree}
map={map}
"""


def region(folder: Path) -> Path:
    (folder / "t.tree").write_text(
        "".join(f"{n} {p}\n" for n, p in zip(TREE.names, TREE.parents, strict=True)), "utf-8"
    )
    (folder / "t.map").write_text("3\n7\n", "utf-8")
    cfg = folder / "tree.cfg"
    cfg.write_text(REGION.format(channels=28, tree="t.tree", map="t.map"), "utf-8")
    return cfg


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_decode_region_with_tree_equals_darknet(tmp_path: Path, dialect: str) -> None:
    network = darkparse.compile(region(tmp_path), dialect=dialect, size=(2, 3))
    model = darkparse.build(network)
    raw = torch.randn(2, 28, 2, 3) * 3
    output = model(raw)
    boxes, scores, objectness = decode(network, output, hierarchy=0.3)
    assert boxes.shape == (2, 12, 4)
    assert scores.shape == (2, 12, 9)
    entries = raw.unflatten(1, (2, 14)).permute(0, 3, 4, 1, 2).reshape(2, 12, 14)
    assert torch.allclose(objectness, entries[..., 4].sigmoid(), atol=1e-6)
    assert torch.allclose(boxes[0, 1, 2:], entries[0, 1, 2:4].exp() * torch.tensor([3.0 / 3, 1.0 / 2]), rtol=1e-5)
    for n, b in [(0, 0), (0, 5), (1, 11)]:
        groups = torch.cat([part.softmax(0) for part in entries[n, b, 5:].split(TREE.group_sizes)]).tolist()
        absolute = absolute_in_c(groups)
        want = [0.0] * 9
        if dialect == "pjreddie":
            want[top_in_c(absolute, 0.3)] = float(objectness[n, b])
        elif over := [i for i, value in enumerate(absolute) if value > 0.3]:
            want[max(over)] = absolute[max(over)]
        assert scores[n, b].tolist() == pytest.approx(want, abs=1e-5)


def test_decode_with_class_map_selects_tree_classes(tmp_path: Path) -> None:
    network = darkparse.compile(region(tmp_path), dialect="pjreddie", size=(2, 3))
    output = darkparse.build(network)(torch.randn(1, 28, 2, 3))
    _, scores, objectness = Decoder(network, use_class_map=True)(output)
    classes = output[0].unflatten(1, (2, 14)).permute(0, 3, 4, 1, 2).reshape(1, 12, 14)[..., 5:]
    absolute = Hierarchy(TREE).absolute(classes)
    assert torch.allclose(scores, objectness[..., None] * absolute[..., [3, 7]], atol=1e-6)


HEADS = ["yolov1-tiny", "yolov2-tiny", "yolov3-tiny", "yolov4-tiny"]


@pytest.mark.parametrize("cfg", HEADS)
def test_decode_batch_equals_single_images(cfg: str) -> None:
    network = darkparse.compile(cfg)
    outputs = [torch.randn(3, *network.nodes[i].out_shape.tensor) for i in network.heads]
    if network.dialect.region_interleaved and network.nodes[network.heads[0]].kind == "region":
        outputs = [o.permute(0, 2, 3, 1) for o in outputs]
    decoder = Decoder(network)
    whole = decoder(outputs)
    for n in range(3):
        for part, all_of_it in zip(decoder([o[n : n + 1] for o in outputs]), whole, strict=True):
            assert torch.equal(part[0], all_of_it[n])


def test_decode_without_output_of_last_head_raises() -> None:
    with pytest.raises(ValueError, match="shorter"):
        decode(darkparse.compile("yolov3-tiny"), [torch.zeros(1, 255, 2, 2)])


def test_decode_at_other_size_scales_anchors() -> None:
    network = darkparse.compile("yolov3-tiny")
    boxes, _, _ = decode(network, [torch.zeros(1, 255, 4, 6), torch.zeros(1, 255, 8, 12)], (128, 192))
    assert boxes.shape == (1, 3 * (24 + 96), 4)
    assert boxes[0, 0].tolist() == pytest.approx(
        [0, 0, 81 / 192, 82 / 128], abs=1e-6
    )  # what the head left is not squashed again


class Whole(nn.Module):
    """A decoder that takes its outputs one by one, as an exporter sees it."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, first: Any, second: Any) -> Any:
        return tuple(self.decoder((first, second), (first.shape[2] * 32, first.shape[3] * 32)))


@pytest.mark.slow
def test_decoder_exports_with_dynamic_batch_and_size() -> None:
    whole = Whole(Decoder(darkparse.compile("yolov4-tiny")))
    batch, rows, columns = (torch.export.Dim(name, min=2, max=64) for name in ("batch", "rows", "columns"))
    shapes = ({0: batch, 2: rows, 3: columns}, {0: batch, 2: 2 * rows, 3: 2 * columns})
    example = (torch.randn(2, 255, 13, 11), torch.randn(2, 255, 26, 22))
    program = torch.export.export(whole, example, dynamic_shapes=shapes)
    other = (torch.randn(5, 255, 7, 9), torch.randn(5, 255, 14, 18))
    for exported, eager in zip(program.module()(*other), whole(*other), strict=True):
        assert torch.allclose(exported, eager, atol=1e-6)


def test_decoder_of_network_without_heads_raises() -> None:
    with pytest.raises(darkparse.DarkparseError, match="darknet19 has no detection head"):
        Decoder(darkparse.compile("darknet19"))
