"""Backbones: loading the first layers of a network, and writing them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import darkparse
from tests.weights.weight_files import ALEXEYAB, SMALL, network, weights

NET = network()


def test_load_weights_of_backbone_keeps_other_layers() -> None:
    model = darkparse.load(SMALL, weights(NET))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for options in (darkparse.ReadOptions(upto=2), darkparse.ReadOptions(allow_partial=True)):
        loaded = darkparse.load_weights(model, weights(NET, ALEXEYAB, seed=1, upto=2), options)
        assert (loaded.layers, loaded.missing) == ((0, 1), (2, 6, 7))
        assert str(loaded) == "<bytes>: loaded layers 0–1; unchanged: layers 2, 6–7"
        assert model.loaded is loaded
    fresh = darkparse.load(SMALL, weights(NET, seed=1)).state_dict()
    for key, tensor in model.state_dict().items():
        expected = fresh if int(key.split(".")[1]) < 2 else before
        assert torch.equal(tensor, expected[key]), key
    assert model.header == ALEXEYAB


def test_load_backbone_initializes_missing_layers() -> None:
    model = darkparse.load(SMALL, weights(NET, upto=2), darkparse.ReadOptions(allow_partial=True))
    assert model.loaded is not None
    assert model.loaded.missing == (2, 6, 7)
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    assert model(torch.rand(1, 3, 32, 32))[0].isfinite().all()


def test_load_upto_reads_front_of_whole_file() -> None:
    """As for other classes: the backbone of trained weights in a network with other heads."""
    other = SMALL.replace("classes=2", "classes=9").replace("filters=21", "filters=42")
    model = darkparse.load(other, weights(NET), darkparse.ReadOptions(upto=2))
    want = darkparse.load(SMALL, weights(NET)).state_dict()
    assert all(torch.equal(model.state_dict()[key], want[key]) for key in want if int(key.split(".")[1]) < 2)
    report = darkparse.inspect_weights(other, weights(NET), darkparse.ReadOptions(upto=2))
    assert report.fits
    assert f"of {len(weights(NET)):,}, 20 for the header" in str(report)


def test_load_partial_file_ending_within_layer_raises() -> None:
    data = weights(NET, upto=2)
    for cut in (data[:-4], data + bytes(4), data[:-1]):
        with pytest.raises(darkparse.WeightsError, match="the file ends in layer"):
            darkparse.load(SMALL, cut, darkparse.ReadOptions(allow_partial=True))
    with pytest.raises(darkparse.WeightsError, match="too short"):
        darkparse.load(SMALL, data, darkparse.ReadOptions(upto=3))
    with pytest.raises(darkparse.WeightsError, match="too short"):
        darkparse.load(SMALL, data)


def test_save_weights_ignores_backbone_in_file_name(tmp_path: Path) -> None:
    path = tmp_path / "small.conv.2"
    model = darkparse.load(SMALL, weights(NET, ALEXEYAB))
    darkparse.save_weights(model, path)
    assert path.read_bytes() == weights(NET, ALEXEYAB)
    darkparse.save_weights(model, path, upto=2)
    assert path.read_bytes() == weights(NET, ALEXEYAB)[: len(weights(NET, upto=2))]
    with pytest.raises(darkparse.WeightsError, match=r"upto=2 or allow_partial=True"):
        darkparse.load(SMALL, path)


def test_backbone_sizes_equal_darknets_files() -> None:
    """darknet53.conv.74, darknet19_448.conv.23 and yolov3-tiny.conv.15 end with a convolution."""
    from darkparse.weights.layout import compute_layout, count_stored_floats

    for name, upto, size in (
        ("yolov3", 74, 162_482_580),
        ("yolov4", 137, 170_038_676),
        ("yolov3-tiny", 15, 30_973_396),
    ):
        net = darkparse.compile(name)
        assert 20 + 4 * count_stored_floats(compute_layout(net, upto)) == size
        assert net.nodes[upto - 1].weights
