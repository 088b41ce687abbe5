"""Mini-batches from a data set on the disk: what is drawn, and that a seed repeats it."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from PIL import Image as Pillow

import darkparse
from darkparse.datasets import DataFile
from darkparse.detect.images import Image, open_image
from darkparse.layers import DIALECTS
from darkparse.network.training import bind_net_training
from darkparse.training import data
from darkparse.training.data import image_cache as album
from darkparse.training.data.geometry import CropWindow
from darkparse.training.data.processes import _find_exit_status
from darkparse.training.data.sampling import move_to_corner, sample_size

DETECTOR = """[net]
width=64
height=32
channels=3
batch=4
subdivisions=2
hue=.1
saturation=1.5
exposure=1.5
{net}
[convolutional]
filters=21
size=1
activation=linear
[yolo]
classes=2
num=3
mask=0,1,2
anchors=4,4,8,8,16,16
jitter=.3
{head}
"""
CLASSIFIER = """[net]
width=24
height=24
channels=3
batch=3
max_crop=40
angle=7
aspect=.75
{net}
[convolutional]
filters=2
size=1
activation=linear
[avgpool]
[softmax]
"""
NETS = ("", "mosaic=1", "mixup=1\nblur=5\ngaussian_noise=9", "letter_box=1\nflip=0\nblur=1", "mosaic=1\nmosaic_bound=1")


def mark_ignored(nets: Iterable[str]) -> list[ParameterSet]:
    """Return options of `[net]` with each dialect; pjreddie's, which has none of them, is slow with any."""
    return [
        pytest.param(net, dialect, marks=pytest.mark.slow if net and dialect == "pjreddie" else ())
        for net in nets
        for dialect in ("alexeyab", "pjreddie")
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DataFile:
    """Six pictures with a white square each, its box beside it."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "pictures").mkdir()
    for i in range(6):
        pixels = np.full((40 + 8 * i, 60, 3), (40, 20, 10), np.uint8)
        pixels[10:30, 12:42] = 255
        name = folder / "pictures" / f"{('cat', 'dog')[i % 2]}{i}.png"
        Pillow.fromarray(pixels).save(name)
        name.with_suffix(".txt").write_text(f"{i % 2} {27 / 60} {20 / (40 + 8 * i)} .5 {20 / (40 + 8 * i)}\n")
    names = [f"pictures/{path.name}" for path in sorted((folder / "pictures").glob("*.png"))]
    (folder / "train.txt").write_text("\n".join(names))
    (folder / "labels.txt").write_text("cat\ndog\n")
    (folder / "my.data").write_text("classes = 2\ntrain = train.txt\nnames = labels.txt\nlabels = labels.txt\n")
    return DataFile.read(folder / "my.data")


def _detector(net: str = "", head: str = "", dialect: str = "alexeyab") -> darkparse.Network:
    return darkparse.compile(DETECTOR.format(net=net, head=head), dialect=dialect)


def _same(first: data.Batch, second: data.Batch) -> bool:
    truths = zip(first.truth, second.truth, strict=True)
    return torch.equal(first.images, second.images) and all(torch.equal(*pair) for pair in truths)


@pytest.mark.parametrize(("net", "dialect"), mark_ignored(NETS))
def test_batches_from_start_equal_uninterrupted_run(files: DataFile, net: str, dialect: str) -> None:
    network = _detector(net, dialect=dialect)
    whole = list(islice(data.batches(network, files, seed=3), 8))
    rest = list(islice(data.batches(network, files, seed=3, start=2), 4))
    assert [one.number for one in whole] == list(range(8))
    assert all(_same(*pair) for pair in zip(whole[4:], rest, strict=True))
    other = next(data.batches(network, files, seed=4))
    assert not _same(whole[0], other)
    for one in whole:
        assert one.images.shape == (2, 3, 32, 64) == (len(one.paths), 3, *one.size)
        assert one.images.dtype == torch.float32
        assert 0 <= one.images.min() < one.images.max() <= 1


@pytest.mark.parametrize(("net", "dialect"), mark_ignored(("", "mosaic=1", "letter_box=1")))
def test_batch_boxes_lie_on_objects(files: DataFile, net: str, dialect: str) -> None:
    """The square is brighter than all around it, whatever was done to it."""
    plain = DETECTOR.format(net=net, head="").replace("hue=.1\nsaturation=1.5\nexposure=1.5\n", "")
    network = darkparse.compile(plain, size=(96, 96), dialect=dialect)
    inside: list[float] = []
    for batch in islice(data.batches(network, files, seed=5), 10):
        for image, truth in zip(batch.images, batch.truth, strict=True):
            covered = torch.zeros(batch.size, dtype=torch.bool)
            for x, y, w, h, _ in truth.tolist():
                left, right, top, bottom = (round(v * 96) for v in (x - w / 2, x + w / 2, y - h / 2, y + h / 2))
                covered[max(0, top) : bottom, max(0, left) : right] = True
                if min(right - left, bottom - top) > 8:
                    assert image[:, top + 4 : bottom - 4, left + 4 : right - 4].mean() > 0.6
            bright = (image.amax(0) > 0.6) & (image.amin(0) > 0.5 * image.amax(0))
            inside.append(float((bright & covered).sum() / bright.sum().clamp(min=1)))
    assert np.mean(inside) > 0.85


def test_batches_of_rank_are_every_other_mini_batch(files: DataFile) -> None:
    network = _detector()
    whole = list(islice(data.batches(network, files), 6))
    for rank in range(2):
        part = islice(data.batches(network, files, rank=rank, world=2), 3)
        assert all(_same(*pair) for pair in zip(whole[rank::2], part, strict=True))


def test_images_are_cached_while_memory_allows(files: DataFile, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def counted(path: str, channels: int | None, *, apply_exif: bool) -> Image:
        opened.append(path)
        return open_image(path, channels, apply_exif=apply_exif)

    monkeypatch.setattr(album, "open_image", counted)
    network = _detector()
    everything = sum(range(40, 81, 8)) * 60 * 3
    pictures = files.images("train", network.dialect)
    drawn = []
    for room, again in (0, 6), (everything - 1, 1), (everything, 0):
        one, random = album.CachedImages(network, pictures, room), np.random.default_rng(0)
        opened.clear()
        drawn.append([one.draw(random)[1].sum() for _ in range(60)])
        assert sum(opened.count(path) > 1 for path in set(opened)) == again
    assert drawn[0] == drawn[1] == drawn[2]


def test_batch_size_in_pixels_changes_every_10_batches(files: DataFile) -> None:
    one_image = DETECTOR.replace("batch=4", "batch=2").format(net="", head="random=1")  # per mini-batch
    network = darkparse.compile(one_image, dialect="alexeyab")
    sizes = [one.size for one in islice(data.batches(network, files), 100)]
    runs = [set(sizes[i : i + 20]) for i in range(0, 100, 20)]
    assert all(len(run) == 1 for run in runs)
    assert len(set(sizes)) > 1
    assert sizes[0] == (64, 128)
    assert {one.size for one in islice(data.batches(network, files, fixed_size=True), 25)} == {(32, 64)}


@pytest.mark.parametrize(("dialect", "sizes", "largest"), [
    ("pjreddie", range(320, 609, 32), 608),
    ("alexeyab", range(320, 609, 32), 608),
])  # fmt: skip
def test_sample_size_draws_darknets_sizes(dialect: str, sizes: range, largest: int) -> None:
    options = bind_net_training(_detector("max_batches=2000"))
    found = [sample_size(1, i, (416, 416), DIALECTS[dialect], options, 32, 1.0) for i in range(0, 2000, 10)]
    assert all(height == width and height in sizes for height, width in found)
    assert len(set(found)) > 6
    assert set(found[-9:]) == {(largest, largest)}


def test_move_to_corner_crops_away_from_tile_corner() -> None:
    crop = CropWindow(1, 2, 3, 4)
    assert move_to_corner(crop, 0, flip=False) == CropWindow(0, 0, 4, 6) == move_to_corner(crop, 1, flip=True)
    assert move_to_corner(crop, 3, flip=False) == CropWindow(4, 6, 0, 0) == move_to_corner(crop, 2, flip=True)


def test_classifier_truth_follows_image_path(files: DataFile) -> None:
    for dialect, net, low in (("pjreddie", "", 0), ("alexeyab", "label_smooth_eps=.1", 0.1)):
        network = darkparse.compile(CLASSIFIER.format(net=net), dialect=dialect)
        for batch in islice(data.batches(network, files, seed=2), 3):
            assert batch.images.shape == (3, 3, 24, 24)
            assert isinstance(batch.truth, torch.Tensor)
            for path, row in zip(batch.paths, batch.truth.tolist(), strict=True):
                assert row == pytest.approx([1 - low, low] if "cat" in Path(path).name else [low, 1 - low])


@pytest.mark.parametrize("net", ["mixup=1", "cutmix=1\nblur=1", "mosaic=1", "mosaic=1\ncutmix=1"])
def test_classifier_truth_of_joined_images_has_shares(files: DataFile, net: str) -> None:
    network = darkparse.compile(CLASSIFIER.format(net=net), dialect="alexeyab")
    rows = torch.cat([torch.as_tensor(one.truth) for one in islice(data.batches(network, files, seed=4), 12)])
    assert torch.allclose(rows.sum(1), torch.ones(len(rows)))
    parted = (rows > 0).all(1)
    assert 0 < parted.sum() < len(rows)
    if net == "mixup=1":
        assert (rows[parted] == 0.5).all()
    else:
        assert len(rows[parted].unique(dim=0)) > 3


SCRIPT = """
import darkparse
{guard}
    batches = darkparse.training.data.batches(darkparse.compile("small.cfg"), "my.data", workers=1)
    for batch, _ in zip(batches, range(2)):
        print(batch.number)
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_guarded", [True, False])
def test_missing_main_guard_is_explained(files: DataFile, is_guarded: bool) -> None:
    folder = files.path.parent
    (folder / "small.cfg").write_text(DETECTOR.format(net="", head=""))
    guard = 'if __name__ == "__main__":' if is_guarded else "if True:"
    (folder / "script.py").write_text(SCRIPT.format(guard=guard))
    command = [sys.executable, "script.py"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    if is_guarded:
        assert (run.returncode, run.stdout) == (0, "0\n1\n"), run.stderr
        return
    assert run.returncode == 1
    assert run.stdout == ""
    last = run.stderr.splitlines()[-1]
    assert last.startswith("darkparse.errors.DarkparseError: a loader process could not start: ")
    assert 'under `if __name__ == "__main__":`' in last


@pytest.mark.slow
def test_loader_workers_leave_torchs_generator_unchanged(files: DataFile) -> None:
    """What is dropped out follows from the batch alone, with loader processes and without."""
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    with closing(data.batches(_detector(), files, workers=1)) as batches:
        next(batches)
        assert torch.equal(torch.rand(3), wanted)


@pytest.mark.slow
def test_loader_workers_load_same_batches(files: DataFile) -> None:
    network = _detector("mosaic=1")
    alone = islice(data.batches(network, files, seed=7), 6)
    helped = islice(data.batches(network, files, seed=7, workers=2), 6)
    assert all(_same(*pair) for pair in zip(alone, helped, strict=True))


def test_batches_of_broken_data_file_name_place(tmp_path: Path) -> None:
    wrong = (
        ("names = x.names", r"my.data: missing line 'train = …'"),
        ("classes = 2\ntrain = no.txt", r"my.data:2:9: train = 'no.txt': no such file"),
        ("train = empty.txt", r"empty.txt: the list contains no images"),
        ("train = list.txt", r"1.png: No such file"),
    )
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "list.txt").write_text("1.png\n")
    for text, message in wrong:
        (tmp_path / "my.data").write_text(text)
        for workers in (0,):
            with pytest.raises(darkparse.DarkparseError, match=message):
                next(data.batches(_detector(), tmp_path / "my.data", workers=workers))
    (tmp_path / "my.data").write_text("classes = two")
    with pytest.raises(darkparse.DarkparseError, match=r"my.data:1:11: classes must be an integer, got 'two'"):
        _ = DataFile.read(tmp_path / "my.data").classes


def test_missing_label_raises_in_pjreddie_only(tmp_path: Path) -> None:
    Pillow.new("RGB", (9, 9)).save(tmp_path / "1.png")
    (tmp_path / "list.txt").write_text("1.png")
    (tmp_path / "my.data").write_text("train = list.txt")
    assert next(data.batches(_detector(), tmp_path / "my.data")).truth[0].shape == (0, 5)
    with pytest.raises(darkparse.DarkparseError, match=r"1.txt: no label file"):
        next(data.batches(_detector(dialect="pjreddie"), tmp_path / "my.data"))


def test_find_exit_status_waits_for_ending_process() -> None:
    ending = multiprocessing.get_context("spawn").Process(target=sys.exit, args=(3,))
    ending.start()
    try:
        assert _find_exit_status([ending], seconds=0) is None
        assert _find_exit_status([ending], seconds=60) == 3
    finally:
        ending.kill()
        ending.join()
