"""Anchors by k-means: those of plain groups, and what Darknet's loops give from the same start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from darkparse.cli import main
from darkparse.datasets import DataFile
from darkparse.errors import DarkparseError
from darkparse.layers import DIALECTS
from darkparse.network import compile
from darkparse.training.data import anchors
from darkparse.training.data.anchors import find_anchors, fit_anchors

Boxes = list[list[float]]


def data_of(folder: Path, boxes: Boxes) -> DataFile:
    for i, (w, h) in enumerate(boxes):
        (folder / f"{i}.txt").write_text(f"0 .5 .5 {w} {h}\n")
    (folder / "train.txt").write_text("".join(f"{folder}/{i}.png\n" for i in range(len(boxes))))
    (folder / "my.data").write_text("train = train.txt\n")
    return DataFile.read(folder / "my.data")


def overlap(a: list[float], b: list[float]) -> float:
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return shared / (a[0] * a[1] + b[0] * b[1] - shared)


def plain(boxes: Boxes, centers: Boxes) -> Boxes:
    """matrix.c do_kmeans, loop by loop."""
    before: list[int] = []
    for _ in range(1000):
        near = [max(range(len(centers)), key=lambda j, box=box: overlap(box, centers[j])) for box in boxes]  # type: ignore[misc]
        if near == before:
            break
        for j in range(len(centers)):
            own = [box for box, at in zip(boxes, near, strict=True) if at == j]
            centers[j] = [sum(side) / len(own) for side in zip(*own, strict=True)] if own else centers[j]
        before = near
    return sorted(centers, key=lambda c: c[0] * c[1])


@pytest.mark.parametrize("chunk", [1 << 16, 7])
def test_find_anchors_equals_darknets_loops(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "CHUNK_SIZE", chunk)
    random = np.random.default_rng(5)
    boxes = random.uniform(0.02, 0.9, (60, 2)).round(4).tolist()
    files = data_of(tmp_path, boxes)
    found = find_anchors(files, DIALECTS["alexeyab"], 5, (320, 416), seed=3)
    pixels = np.array(boxes, np.float32) * np.array((416, 320), np.float32)
    start = np.random.default_rng(3).permutation(pixels)[:5].tolist()
    wanted = plain(pixels.tolist(), start)
    assert np.allclose(found.sides, wanted, rtol=1e-5)
    best = [max(overlap(box, center) for center in wanted) for box in pixels.tolist()]
    assert found.overlap == pytest.approx(np.mean(best), rel=1e-5)


def test_find_anchors_of_equal_boxes_keeps_clusters_without_boxes(tmp_path: Path) -> None:
    found = find_anchors(data_of(tmp_path, [[0.25, 0.5]] * 4 + [[0.0, 0.5]]), DIALECTS["alexeyab"], 3, (100, 200))
    assert found.sides.tolist() == [[50, 50]] * 3
    assert (found.overlap, found.boxes) == (1, 4)


@pytest.mark.parametrize(("width", "digits", "line"), [(32, 4, "8.0000,50.0000"), (33, 0, "8,50"), (13, 4, "3.2500")])
def test_anchors_of_a_grid_have_four_decimals(width: int, digits: int, line: str, tmp_path: Path) -> None:
    found = find_anchors(data_of(tmp_path, [[0.25, 0.5]] * 2), DIALECTS["alexeyab"], 1, (100, width))
    assert found.digits == digits
    assert str(found).startswith(f"anchors = {line}")


YOLO = "[convolutional]\nfilters=14\nstride={stride}\n[yolo]\nclasses=2\nnum=3\nmask={mask}\nanchors=4,4, 8,8, 9,9\n"
REGION = "[convolutional]\nfilters=14\nstride=4\n[region]\nclasses=2\nnum=2\ncoords=4\nanchors=1,1, 2,2\n"


@pytest.mark.parametrize(("heads", "count", "digits", "first"), [
    (YOLO.format(stride=4, mask="0,1"), 3, 0, 16), (REGION, 2, 4, 4),
    (f"{YOLO.format(stride=4, mask='0,1')}[route]\nlayers=-2\n{YOLO.format(stride=1, mask='1,2')}", 3, 0, 16),
])  # fmt: skip
def test_fitted_anchors_are_as_many_as_the_cfg_lists_in_its_unit(
    heads: str, count: int, digits: int, first: float, tmp_path: Path
) -> None:
    network = compile(f"[net]\nwidth=64\nheight=32\nchannels=3\n{heads}")
    found = fit_anchors(data_of(tmp_path, [[0.25, 0.5]] * 4), network)
    assert (len(found.sides), found.digits) == (count, digits)
    assert found.sides.tolist() == [[first, first]] * count
    assert found.numbers == (first, first) * count


def test_anchors_command_prints_line_for_cfg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = [[w + i / 1000, h] for w, h in ((0.1, 0.1), (0.25, 0.5), (0.75, 0.5)) for i in range(5)]
    data_of(tmp_path, boxes)
    for size, line in (("100", "10,10, 25,50, 75,50"), ("8", "0.8160,0.8000, 2.0160,4.0000, 6.0160,4.0000")):
        seen = set()
        for seed in range(4):
            main(["anchors", f"{tmp_path}/my.data", "--clusters", "3", "--size", size, "--seed", str(seed)])
            out, err = capsys.readouterr()
            seen.add(out)
            assert err.startswith("15 objects, mean IoU ")
        assert f"anchors = {line}\n" in seen


@pytest.mark.parametrize("size", ["416", "13"])
@pytest.mark.parametrize("side", [1e-300, 1e-45, 1e-40, 1e-30, 1e-20, 1e-7, 0.0001, 0.0011])
def test_anchors_command_of_tiny_boxes_prints_no_zero(
    tmp_path: Path, side: float, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """1e-300 is 0 in float32, as is the area of 1e-30; 0.0011 of 416 pixels would be printed as 0."""
    data_of(tmp_path, [[side, side], [side, 2 * side], [0.3, 0.3], [0.2, 0.1]])
    main(["anchors", f"{tmp_path}/my.data", "--clusters", "2", "--size", size])
    out, err = capsys.readouterr()
    anchors = [float(text) for text in out.removeprefix("anchors = ").split(",")]
    assert len(anchors) == 4
    assert min(map(np.float32, anchors)) > 0
    assert "nan" not in err
    assert 0 < float(err.partition("IoU ")[2].rstrip("%\n")) <= 100


def test_find_anchors_of_too_few_objects_raises(tmp_path: Path) -> None:
    files = data_of(tmp_path, [[0.1, 0.2], [0, 0.5]])
    with pytest.raises(
        DarkparseError,
        match=r"train.txt: too few objects with a width and a height for 2 anchors, "
        r"got 1 object",
    ):
        find_anchors(files, DIALECTS["alexeyab"], 2, (416, 416))
