"""What a training starts from: weights, optimizers, and the labels of its first images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import darkparse
from darkparse.datasets import DataFile
from darkparse.training import build_for_training
from darkparse.training.data.label_check import check_labels
from darkparse.training.initialization import build_optimizer
from darkparse.training.optimizers import Adam, Sgd
from darkparse.weights.header import Header
from tests.training.tiny_data import CLASSIFIER, write_cfg

CAT, DOG, COW = "cat.png", "dog.png", "cow.png"


def _write_list(folder: Path, *images: str) -> DataFile:
    (folder / "train.txt").write_text("".join(f"{folder / name}\n" for name in images))
    (folder / "x.names").write_text("cat\ndog\n")
    (folder / "x.data").write_text("train = train.txt\nnames = x.names\nlabels = x.names\nclasses = 2\n")
    return DataFile.read(folder / "x.data")


@pytest.mark.parametrize(("labeled", "unlabeled", "message"), [
    (0, 0, None), (1, 0, None), (1, 1, None), (2, 1, None), (1, 2, "2 of the first 3 images have no label"),
    (2, 3, "3 of the first 5 images have no label"), (0, 1, "no label for the first 1 image: .*cow.txt does not exist"),
    (0, 2, "no label for the first 2 images"),
])  # fmt: skip
def test_first_images_of_a_detector_have_labels_mostly(
    labeled: int, unlabeled: int, message: str | None, tmp_path: Path
) -> None:
    (tmp_path / "cat.txt").touch()
    files = _write_list(tmp_path, *[COW] * unlabeled, *[CAT] * labeled)
    network = darkparse.compile(write_cfg(tmp_path), dialect="alexeyab")
    if message and not labeled:
        with pytest.raises(darkparse.DarkparseError, match=message):
            check_labels(files, network)
    else:
        warning = check_labels(files, network)
        assert warning == (f"{files.train}: {message}; `darkparse check` lists them" if message else None)


@pytest.mark.parametrize(("images", "message"), [
    ((CAT, DOG), None), ((CAT, COW), None), ((CAT, COW, COW), "2 of the first 3 images have no label"),
    ((COW,), "no path of the first 1 image contains a label of .*x.names"),
])  # fmt: skip
def test_paths_of_a_classifier_contain_labels_mostly(
    images: tuple[str, ...], message: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("made")
    network = darkparse.compile(write_cfg(folder, text=CLASSIFIER))
    files = _write_list(folder, *images)
    if message and CAT not in images:
        with pytest.raises(darkparse.DarkparseError, match=message):
            check_labels(files, network)
    else:
        warning = check_labels(files, network)
        assert warning == (f"{files.train}: {message}; `darkparse check` lists them" if message else None)


@pytest.mark.parametrize(("image", "label", "hint"), [
    ("images/0.png", "labels/0.txt", "use --dialect pjreddie, which finds .*labels/0.txt"),
    ("photos/0.gif", "photos/0.txt", "AlexeyAB/darknet does not read .*photos/0.txt"),
    ("photos/0.png", "other.txt", "an empty file marks an image without objects"),
])  # fmt: skip
def test_error_about_labels_names_where_they_are(image: str, label: str, hint: str, tmp_path: Path) -> None:
    for name in (image, label):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / label).touch()
    network = darkparse.compile(write_cfg(tmp_path), dialect="alexeyab")
    with pytest.raises(darkparse.DarkparseError, match=f"/0.* does not exist\nhint: {hint}"):
        check_labels(_write_list(tmp_path, image), network)


@pytest.fixture
def model(tmp_path: Path) -> darkparse.Darknet:
    torch.manual_seed(0)
    return darkparse.build(darkparse.compile(write_cfg(tmp_path)), initialize=True)


def test_training_keeps_its_values_when_the_weights_file_changes(model: darkparse.Darknet, tmp_path: Path) -> None:
    path = tmp_path / "w.weights"
    darkparse.save_weights(model, path, seen=0)
    built, message = build_for_training(model.network, path)
    before = [parameter.detach().clone() for parameter in built.parameters()]
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
    assert all(map(torch.equal, before, built.parameters()))
    assert any(parameter.any() for parameter in built.parameters())
    assert built.training
    assert message == f"weights: {path}: loaded layer 0"


def test_weights_that_do_not_fit_raise_what_is_wrong(model: darkparse.Darknet, tmp_path: Path) -> None:
    path = tmp_path / "w.weights"
    darkparse.save_weights(model, path, seen=0)
    path.write_bytes(path.read_bytes() + bytes(12))
    with pytest.raises(darkparse.WeightsError):
        build_for_training(model.network, path)


def test_training_without_weights_starts_in_training_mode(model: darkparse.Darknet) -> None:
    built, message = build_for_training(model.network)
    assert built.training
    assert message == "weights: none, all layers are initialized"


@pytest.mark.parametrize(("header_seen", "seen", "batch"), [(None, None, 1), (12, None, 4), (12, 0, 1), (12, 8, 3)])
def test_optimizer_counts_from_the_header_unless_told_otherwise(
    header_seen: int | None, seen: int | None, batch: int, model: darkparse.Darknet
) -> None:
    model.header = None if header_seen is None else Header(seen=header_seen)
    optimizer, schedule = build_optimizer(model, seen)
    assert (schedule.batch, optimizer.batch, model.iteration) == (batch, batch, batch - 1)
    assert (model.header or Header()).seen == (header_seen or 0)
    schedule.step()
    assert (schedule.batch, optimizer.batch, model.iteration) == (batch + 1, batch + 1, batch)
    assert (model.header or Header()).seen == 4 * batch


@pytest.mark.parametrize(("net", "kind"), [("", Sgd), ("adam=0\n", Sgd), ("adam=1\n", Adam)])
def test_optimizer_is_the_one_of_the_cfg(net: str, kind: type, tmp_path: Path) -> None:
    model = darkparse.build(darkparse.compile(write_cfg(tmp_path, net=net)), initialize=True)
    assert isinstance(build_optimizer(model)[0], kind)


@pytest.mark.parametrize(("option", "frozen"), [("", 0), ("dont_update=3", 3)])
def test_layer_is_frozen_up_to_and_including_its_batch(option: str, frozen: int, tmp_path: Path) -> None:
    text = write_cfg(tmp_path).read_text().replace("activation=linear", f"activation=linear\n{option}")
    model: Any = darkparse.build(darkparse.compile(text, dialect="alexeyab"), initialize=True)
    optimizer, schedule = build_optimizer(model, 0)
    moved = []
    for _ in range(5):
        before = [parameter.detach().clone() for parameter in model.parameters()]
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        schedule.step()
        moved.append(not all(map(torch.equal, before, model.parameters())))
    assert moved == [batch > frozen for batch in range(1, 6)]


@pytest.mark.parametrize(("dialect", "net", "layer", "limit"), [
    ("pjreddie", "", "", 9), ("pjreddie", "clip=0.25", "", 0.25), ("alexeyab", "", "clip=0.125", 0.125),
    ("alexeyab", "", "", 9),
])  # fmt: skip
def test_weights_of_convolutions_are_clipped_after_the_update(
    dialect: str, net: str, layer: str, limit: float, tmp_path: Path
) -> None:
    text = write_cfg(tmp_path, net=f"{net}\ndecay=0").read_text().replace("filters=7", f"filters=7\n{layer}")
    model = darkparse.build(darkparse.compile(text, dialect=dialect), initialize=True)
    optimizer, _ = build_optimizer(model, 0)
    for parameter in model.parameters():
        parameter.data = torch.linspace(-9, 9, parameter.numel()).reshape(parameter.shape)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    ranges = {name: (value.min().item(), value.max().item()) for name, value in model.state_dict().items()}
    assert ranges == {
        "layers.0.conv.weight": pytest.approx((-limit, limit)), "layers.0.conv.bias": pytest.approx((-9, 9))
    }  # fmt: skip
