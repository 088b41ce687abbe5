"""Calls that look right and are not: one sentence names the call that works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from darkparse.export.source.printing import make_class_name
from darkparse.model.misuse import CALLS_BY_METHOD
from tests.model.samples import narrow


@pytest.fixture(scope="module")
def model() -> darkparse.Darknet:
    return darkparse.build(darkparse.compile(narrow("yolov3-tiny")), initialize=True)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((64, 64, 3), np.uint8), "got ndarray; for images call darkparse.Detector(model).detect(image)"),
        ("dog.jpg", "got str; for images call darkparse.Detector(model).detect(image)"),
        (Path("dog.jpg"), "Path; for images call darkparse.Detector(model).detect(image)"),
        ([[0.0]], "got list; for images call"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "got uint8; call model(x.float() / 255)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.int64), "got int64; call model(x.float())"),
    ],
)
def test_model_called_with_image_names_detector(model: darkparse.Darknet, image: Any, message: str) -> None:
    with pytest.raises(TypeError, match=r"^expected a tensor \(N, 3, H, W\) of floating point values") as error:
        model(image)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 64, 64), "got (3, 64, 64); add the batch: model(x[None])"),
        ((1, 64, 64, 3), "got (1, 64, 64, 3); move the channels: model(x.permute(0, 3, 1, 2))"),
        ((1, 4, 64, 64), "got (1, 4, 64, 64)"),
    ],
)
def test_model_called_with_wrong_shape_names_fix(
    model: darkparse.Darknet, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=r"^expected a tensor \(N, 3, H, W\)") as error:
        model(torch.zeros(shape))
    assert str(error.value).endswith(message)


@pytest.mark.parametrize("name", CALLS_BY_METHOD)
def test_missing_method_names_function(model: darkparse.Darknet, name: str) -> None:
    with pytest.raises(AttributeError, match=rf"^a Darknet module has no {name}\(\); call ") as error:
        getattr(model, name)
    function = str(error.value).partition("darkparse.")[2].partition("(")[0]
    assert callable(getattr(darkparse, function))


def test_missing_attribute_raises_torchs_error(model: darkparse.Darknet) -> None:
    with pytest.raises(AttributeError, match="'Darknet' object has no attribute 'frobnicate'"):
        _ = model.frobnicate
    assert not hasattr(model, "load_weights")


@pytest.mark.parametrize("network", ["x.cfg", Path("x.cfg"), None])
def test_darknet_of_path_names_load_and_build(network: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a compiled Network, got .*darkparse\.load\(.*darkparse\.build"):
        darkparse.Darknet(network)


def test_save_weights_of_emitted_network_names_alternative(model: darkparse.Darknet) -> None:
    namespace: dict[str, Any] = {"__name__": "emitted"}
    exec(str(darkparse.to_source(model.network)), namespace)
    emitted = namespace[make_class_name(model.network.name)]()
    emitted.load_state_dict(model.state_dict())
    with pytest.raises(darkparse.WeightsError, match="expected a module that darkparse built, got Network") as error:
        darkparse.losses.Losses(emitted)
    assert "model.load_state_dict(emitted.state_dict())" in str(error.value)
    rebuilt = darkparse.build(model.network)
    rebuilt.load_state_dict(emitted.state_dict())
    assert darkparse.losses.Losses(rebuilt) is not None
    with pytest.raises(darkparse.WeightsError, match=r"got str; call darkparse\.load"):
        darkparse.losses.Losses("yolov3-tiny")  # type: ignore[arg-type]
