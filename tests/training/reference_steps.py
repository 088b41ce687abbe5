"""Training steps that repeat those of Darknet's reference numbers, and the differences."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import darkparse
from darkparse.training.distributed import SelectedOutputs
from darkparse.training.memory_format import convert_model
from darkparse.weights.layout import compute_layout
from tests.conftest import DATA
from tests.model.reference.parameters import network_input, sampled, write_weights

TRAINING = DATA / "training"
NUMBERS: dict[str, dict[str, Any]] = json.loads((TRAINING / "numbers.json").read_text())
FLOOR = 1e-3
"""Fraction of the network's root mean square below which an array counts as 0."""

Vector = np.ndarray[Any, np.dtype[np.float64]]


def prepared(name: str, folder: Path) -> darkparse.Darknet:
    """Return a network of the reference numbers in training mode."""
    numbers, (dialect, cfg) = NUMBERS[name], name.split("/")
    write_weights(folder / "x.weights", cfg, numbers["arrays"], numbers["seed"], (0, 2, 0))
    return darkparse.load(TRAINING / "cfgs" / f"{cfg}.cfg", folder / "x.weights", dialect=dialect).train()


def batch_of(numbers: dict[str, Any], step: int) -> Tensor:
    """Return the input of one mini-batch."""
    c, h, w, inputs = numbers["input"]
    x = torch.from_numpy(network_input(numbers["name"], numbers["seed"], inputs * numbers["batch"], step))
    return x.reshape(-1, c, h, w) if c * h * w == inputs else x.reshape(-1, inputs)


def truth_of(numbers: dict[str, Any], iteration: int, part: int) -> Any:
    """Return the truth of one mini-batch."""
    truth = torch.tensor(numbers["truths"][iteration][part])
    if numbers["truth"] != "boxes":
        return truth.reshape(numbers["batch"], -1)
    return [image[image[:, 0] != 0] for image in truth]


def arrays(model: darkparse.Darknet, *, of_gradients: bool = False) -> list[Vector]:
    """Return parameters and statistics in file order, or the negative gradients."""
    if of_gradients:
        own, model = model, copy.deepcopy(model)
        for copied, parameter in zip(model.parameters(), own.parameters(), strict=True):
            copied.data = torch.zeros_like(parameter) if parameter.grad is None else -parameter.grad
    state = model.state_dict()
    return [state[e.name].flatten().double().numpy().copy() for e in compute_layout(model.network)]


def differences(name: str, folder: Path, *, channels_last: bool = False) -> Iterator[tuple[str, float]]:
    """Yield quantities with their largest difference, relative to the root mean square of the array.

    With `channels_last` the network runs as in `Trainer`.
    """
    numbers, model = NUMBERS[name], prepared(name, folder)
    run: Callable[[Tensor], list[Any]] = model.layer_outputs
    if channels_last:
        run = SelectedOutputs(convert_model(model), {i for head in numbers["heads"] for i in (head - 1, head)})
    losses = darkparse.training.losses.Losses(model)
    optimizer, schedule = darkparse.training.build_optimizer(model, seen=numbers["seen"])
    start, seen = arrays(model), numbers["seen"]
    heads, batch, parts = numbers["heads"], numbers["batch"], numbers["subdivisions"]
    for iteration in range(numbers["iterations"]):
        for part in range(parts):
            seen += batch
            outputs = run(batch_of(numbers, iteration * parts + part))
            entries = [head for head in heads if head - 1 not in heads]
            for head in entries:
                outputs[head - 1].retain_grad()
            loss = losses(outputs, truth_of(numbers, iteration, part), seen=seen)
            loss.total.backward()
            for position, head in enumerate(heads if iteration == 0 else ()):
                want = numbers["cost"][iteration][part][position]
                yield f"cost of {head}", abs(float(loss.costs[head]) - want) / max(abs(want), 1e-6)
            for head in entries if iteration == 0 else ():
                gradient = outputs[head - 1].grad
                assert gradient is not None
                yield from _delta(f"delta of {head}", -gradient.flatten(), numbers["delta"][str(head)][part])
        if iteration == 0:
            ours = arrays(model, of_gradients=True)
            yield from _sampled("gradient", numbers, ours)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    yield from _sampled("change", numbers, [now - then for now, then in zip(arrays(model), start, strict=True)])


def _delta(what: str, ours: Tensor, want: dict[str, Any]) -> Iterator[tuple[str, float]]:
    rms = max(want["rms"], 1e-12)
    assert ours.numel() == want["size"]
    yield what, float((ours[want["at"]] - torch.tensor(want["is"])).abs().max()) / rms
    yield f"sum of {what}", abs(float(ours.double().sum()) - want["sum"]) / (rms * want["size"])
    yield f"rms of {what}", abs(float(ours.double().square().mean().sqrt()) - want["rms"]) / rms


def _sampled(what: str, numbers: dict[str, Any], ours: list[Vector]) -> Iterator[tuple[str, float]]:
    samples, sizes = numbers[what], numbers[f"{what}_rms"]
    floor = FLOOR * float(np.sqrt(np.mean(np.square(sizes))))
    for row, values, want, rms in zip(numbers["arrays"], ours, samples, sizes, strict=True):
        if what == "gradient" and row[2].startswith("rolling"):
            continue
        error = np.abs(values[sampled(row[3], len(want))] - want).max(initial=0.0)
        yield f"{what} of layer {row[0]} {row[2]}", float(error) / max(rms, floor)
