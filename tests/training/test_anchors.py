"""Anchors by k-means: those of plain groups, and what Darknet's loops give from the same start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from darkparse.cli import main
from darkparse.datasets import DataFile
from darkparse.errors import DarkparseError
from darkparse.layers import DIALECTS
from darkparse.training.data.anchors import find_anchors

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


def test_find_anchors_equals_darknets_loops(tmp_path: Path) -> None:
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
