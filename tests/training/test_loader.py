"""What a loader makes of the cfg: rows, sizes, the options of the last head, the memory for images."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import darkparse
from darkparse.datasets import DataFile
from darkparse.training import data
from darkparse.training.data import dataset
from darkparse.training.data.dataset import Loader, cache_budget
from tests.training.tiny_data import CFG, CLASSIFIER, write_cfg, write_data

SECOND = "[route]\nlayers=-2\n[convolutional]\nfilters=7\nactivation=linear\n[yolo]\nanchors=9,9\nclasses=2\nnum=1\n{}"


@pytest.fixture
def files(tmp_path: Path) -> DataFile:
    return DataFile.read(write_data(tmp_path))


def _network(files: DataFile, text: str = CFG, **options: Any) -> darkparse.Network:
    return darkparse.compile(write_cfg(files.path.parent, text=text, **options), dialect="alexeyab")


def test_mini_batches_of_a_batch_have_its_size(files: DataFile) -> None:
    loader = Loader(
        _network(files, max_batches=2000, net="resize_step=2", yolo="random=1"), files, seed=0, fixed_size=False
    )
    sizes = {loader.input_size(batch) for batch in range(0, 200, 10)}
    assert len(sizes) > 3
    for number in (0, 19, 20, 39, 100, 119):
        _, images, truth, paths = loader[number]
        assert images.shape == (2, 3, *loader.input_size(number // 2))
        assert (len(truth), len(paths)) == (2, 2)


@pytest.mark.parametrize(("batch", "subdivisions", "rows"), [(4, 2, 2), (5, 2, 2), (1, 1, 1), (1, 4, 1), (6, 1, 6)])
def test_mini_batch_has_an_image_at_least(batch: int, subdivisions: int, rows: int, files: DataFile) -> None:
    text = CFG.replace("batch=4\nsubdivisions=2", f"batch={batch}\nsubdivisions={subdivisions}")
    images = Loader(_network(files, text), files, seed=0, fixed_size=False)[0][1]
    assert images.shape == (rows, 3, 8, 16)


@pytest.mark.parametrize(("first", "last", "fixed_size", "varies"), [
    ("", "random=1", False, True), ("random=1", "", False, False), ("", "random=1", True, False),
])  # fmt: skip
def test_last_head_decides_whether_the_size_varies(
    first: str, last: str, fixed_size: bool, varies: bool, files: DataFile
) -> None:
    heads = f"{first}\n{SECOND.format(last)}"
    network = _network(files, max_batches=2000, net="resize_step=2", yolo=heads)
    loader = Loader(network, files, seed=0, fixed_size=fixed_size)
    sizes = {loader.input_size(batch) for batch in range(0, 200, 10)}
    assert (len(sizes) > 1) == varies
    assert varies or sizes == {(8, 16)}


def test_size_of_a_classifier_never_varies(files: DataFile) -> None:
    loader = Loader(_network(files, CLASSIFIER), files, seed=0, fixed_size=False)
    assert {loader.input_size(batch) for batch in range(0, 200, 10)} == {(16, 16)}
    assert loader[0][1].shape == (2, 3, 16, 16)


@pytest.mark.parametrize(("free", "processes", "expected"), [
    (2**40, 1, 2**30), (2**40, 4, 2**28), (2**33, 1, 2**30), (2**32, 1, 2**29), (2**32, 2, 2**28), (7, 1, 0),
])  # fmt: skip
def test_images_take_an_eighth_of_the_free_memory_and_at_most_a_gibibyte(
    free: int, processes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "free_memory", lambda: free)
    assert cache_budget(processes) == expected


@pytest.mark.parametrize(("workers", "world", "processes"), [(0, 1, 1), (0, 3, 3), (1, 1, 1), (2, 3, 6)])
def test_memory_for_images_is_divided_among_all_loader_processes(
    workers: int, world: int, processes: int, files: DataFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[int] = []
    loaded: list[tuple[Loader, int]] = []

    def load(loader: Loader, numbers: Any, count: int) -> Any:
        loaded.append((loader, count))
        return (loader[number] for number in numbers)

    def share(count: int) -> int:
        shares.append(count)
        return 0

    monkeypatch.setattr(dataset, "cache_budget", share)
    monkeypatch.setattr(dataset, "load_in_processes", load)
    batches = islice(data.batches(_network(files), files, workers=workers, world=world, rank=world - 1, start=2), 2)
    assert [batch.number for batch in batches] == [4 + world - 1, 4 + 2 * world - 1]
    assert shares == [processes]
    assert [count for _, count in loaded] == ([workers] if workers else [])


def test_batches_accept_the_path_of_a_data_file(files: DataFile) -> None:
    network = _network(files)
    for source in (files, files.path, str(files.path)):
        assert next(data.batches(network, source)).size == (8, 16)


def test_loader_checks_the_seed_before_it_reads_a_list(files: DataFile) -> None:
    (files.path.parent / "train.txt").unlink()
    with pytest.raises(darkparse.DarkparseError, match="seed is out of range, got -1"):
        Loader(_network(files), files, seed=-1, fixed_size=False)
