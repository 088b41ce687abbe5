"""Snapshots of trained models: arrays, files, round trips and boxes."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import darkparse
from tests.snapshots.cases import Case
from tests.snapshots.digest import Line, Part, evaluate
from tests.snapshots.networks import FORMS, onnx_file
from tests.snapshots.values import fixed_input

FORMATS = ("weights", "npz", "safetensors", "pt")
THRESHOLD = 0.1

Aspects = Iterator[tuple[str, Callable[[], Iterable[Part]]]]


def model_lines(case: Case) -> Iterator[Line]:
    """Yield every line of a trained model."""
    for other in case.others:
        yield Line(case.name, "auto", f"mismatch-{other.stem}", evaluate(partial(_diagnose, case.cfg, other)))
    for dialect in case.dialects:
        model = darkparse.load(case.cfg, case.weights, dialect=dialect)
        with tempfile.TemporaryDirectory() as folder:
            for aspects in (_files(model, Path(folder)), _forms(model, case), _boxes(model, case)):
                for aspect, make in aspects:
                    yield Line(case.name, dialect, aspect, evaluate(make))


def _arrays(model: nn.Module) -> Iterator[Part]:
    for key, value in model.state_dict().items():
        yield f"{key} {value.dtype} {tuple(value.shape)}"
        yield value


def _files(model: darkparse.Darknet, folder: Path) -> Aspects:
    """Yield the arrays, and for each format the file and the arrays loaded from it."""
    yield "arrays", lambda: _arrays(model)
    network = model.network
    for form in FORMATS:
        path = folder / f"x.{form}"
        darkparse.save(model, path)
        if form != "pt":  # the bytes of a checkpoint are PyTorch's
            yield f"file-{form}", partial(_file_parts, path)
        again = partial(darkparse.load, network, path) if form == "weights" else partial(darkparse.load, path)
        yield f"read-{form}", partial(_read, again)
    yield "round-trip-yaml", lambda: [darkparse.from_yaml(network.to_yaml()).to_yaml()]
    yield "round-trip-cfg", lambda: [darkparse.compile(network.to_cfg(), dialect=network.dialect.name).to_yaml()]


def _file_parts(path: Path) -> Iterator[Part]:
    data = path.read_bytes()
    if path.suffix != ".safetensors":
        yield data
        return
    # The library writes the metadata in random order.
    size = int.from_bytes(data[:8], "little")
    yield json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True)
    yield data[8 + size :]


def _read(load: Callable[[], darkparse.Darknet]) -> Iterator[Part]:
    model = load()
    yield model.network.to_cfg()
    yield from _arrays(model)


def _forms(model: darkparse.Darknet, case: Case) -> Aspects:
    """Yield other forms of the model."""
    for form in FORMS:
        yield f"onnx-{form}", partial(onnx_file, model, form)
    by_weights = {"weights": case.weights, "fold": False, "dynamic_size": True}
    yield "onnx-unfolded", partial(onnx_file, model.network, "raw", **by_weights)
    yield "onnx-half", partial(onnx_file, model.network, "raw", weights=case.weights, half=True)
    fresh = partial(darkparse.load, model.network, case.weights)
    yield "fused", lambda: _arrays(darkparse.fuse(fresh()))
    yield "optimized", lambda: _run(darkparse.optimize(fresh()), model.network)


def _run(model: nn.Module, network: darkparse.Network) -> Iterator[Part]:
    with torch.inference_mode():
        out = model(fixed_input(network.input_shape.tensor))
    yield from out if isinstance(out, tuple) else (out,)


def _diagnose(cfg: Path, weights: Path) -> Iterator[Part]:
    """Yield the causes of a mismatch between cfg and weights, and the first layer that differs."""
    try:
        darkparse.load(cfg, weights)
    except darkparse.WeightsError as error:
        yield json.dumps([[cause.code for cause in error.causes], error.layer])


def _boxes(model: darkparse.Darknet, case: Case) -> Aspects:
    detector = darkparse.Detector(model)
    for image in case.images:
        yield f"boxes-{image.name}", partial(_detect, detector, image)


def _detect(detector: Any, image: Path) -> Iterator[Part]:
    for item in detector.detect(image, threshold=THRESHOLD):
        yield item.name
        yield struct.pack("<q6d2q", item.class_id, item.score, item.objectness, *item.box, *item.image_size)
