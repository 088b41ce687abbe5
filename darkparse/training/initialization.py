"""Initial values for training: none, complete weights, a backbone, or weights for other classes."""

from __future__ import annotations

from torch import nn

from darkparse._utils.text import join_with_and, pluralize
from darkparse.errors import WeightsError
from darkparse.model.darknet import Darknet, unwrap_model
from darkparse.model.loading import Device, load
from darkparse.network import Network
from darkparse.network.io.edit import edit
from darkparse.network.training import bind_net_training
from darkparse.training.lr_schedule import Schedule
from darkparse.training.optimizers import Adam, DarknetOptimizer, Sgd
from darkparse.weights import ReadOptions, WeightsSource
from darkparse.weights.arrays import LoadResult


def build_for_training(
    network: Network, weights: WeightsSource | None = None, *, device: Device = None
) -> tuple[Darknet, str]:
    """Build a module in training mode; return it with a message about the source of its values.

    Args:
        network: Network to train.
        weights: Complete weights, a file that ends after some layer (`yolov4.conv.137`), or weights of the same cfg
            with another number of classes, of which all layers but those before the heads are loaded. None: initialize
            as Darknet does.
        device: Device to train on.

    Raises:
        WeightsError: The file cannot be read or does not fit.
        DarkparseError: The device is not available.
    """
    if weights is None:
        model = load(network, device=device)
        return model.train(), "weights: none, all layers are initialized"
    try:
        model = load(network, weights, ReadOptions(allow_partial=True, mmap=False), device=device)
    except WeightsError as problem:
        classes = next((cause.facts["classes"] for cause in problem.causes if cause.code == "classes"), None)
        if classes is None:
            raise
        return _load_other_classes(network, weights, int(classes), device)
    return model.train(), f"weights: {model.loaded}"


def _load_other_classes(network: Network, weights: WeightsSource, classes: int, device: Device) -> tuple[Darknet, str]:
    """Load all tensors whose shapes do not depend on the number of classes; the others are initialized.

    Training counts images from 0.
    """
    old, model = load(edit(network, classes=classes), weights), load(network, device=device)
    values = model.state_dict()
    matching = {key: value for key, value in old.state_dict().items() if value.shape == values[key].shape}
    model.load_state_dict(values | matching)
    shapes = {key: tuple(value.shape) for key, value in matching.items()}
    loaded = LoadResult.from_shapes(old.loaded.name if old.loaded else "", None, network, shapes)
    new_layers = join_with_and([f"L{index}" for index in loaded.missing if index not in loaded.layers])
    model.loaded = loaded
    return model.train(), (
        f"weights: {loaded.name} has {pluralize(classes, 'class', 'classes')}: loaded all but {new_layers}, whose "
        "classes differ"
    )


def build_optimizer(model: nn.Module, seen: int | None = None) -> tuple[DarknetOptimizer, Schedule]:
    """Build the optimizer and the schedule that the cfg specifies.

    Sum gradients over the cfg's `batch` images, in any number of mini-batches, then call `optimizer.step()`,
    `optimizer.zero_grad()` and `schedule.step()`.

    Args:
        model: A Darknet module whose parameters have values.
        seen: Number of images seen in earlier training; by default that in the header of the loaded weights.

    Raises:
        CfgError: An option is invalid.
    """
    model = unwrap_model(model)
    if seen is None:
        seen = model.header.seen if model.header is not None else 0
    net = bind_net_training(model.network)
    kind: type[Sgd | Adam] = Adam if net.adam else Sgd
    update = kind(model, net, seen)
    return update, Schedule(model.network, seen, update)
