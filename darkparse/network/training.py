"""Binding of options that only affect training, which is deferred until a network is trained."""

from __future__ import annotations

import warnings
from typing import TypeVar

from darkparse.errors import CfgError
from darkparse.layers.augmentation import Augmentation
from darkparse.layers.training import LayerTraining, NetTraining, Training
from darkparse.network.network import Network
from darkparse.network.node import Node
from darkparse.network.passes.binding import bind_section
from darkparse.syntax import Section

T = TypeVar("T", bound=Training)


def count_images_per_batch(network: Network) -> int:
    """Return the number of images between two updates, which `subdivisions` divides (parser.c parse_net_options)."""
    net = network.net
    return max(net.batch // max(net.subdivisions, 1), 1) * net.time_steps * max(net.subdivisions, 1)


def bind_training_options(network: Network, section: Section, cls: type[T], *, quiet: bool = False) -> T:
    """Return a section's options of one class; warn about a value that Darknet reads as another one unless `quiet`.

    Raises:
        CfgError: A value is invalid.
    """
    options, diagnostics = bind_section(section, cls, network.dialect)
    if options is None:
        raise CfgError(tuple(d for d in diagnostics if d.severity == "error"))
    for finding in diagnostics:
        if finding.code == "odd-value" and not quiet:
            warnings.warn(finding.headline, stacklevel=2)
    return options


def check_net_options(network: Network) -> None:
    """Raise CfgError if a training option of `[net]` has an invalid value."""
    for cls in (NetTraining, Augmentation):
        bind_training_options(network, network.config.net, cls, quiet=True)


def bind_layer_training(network: Network, node: Node) -> LayerTraining:
    """Bind the training options that any layer may have."""
    return bind_training_options(network, node.section, LayerTraining)


def bind_net_training(network: Network, *, quiet: bool = False) -> NetTraining:
    """Return the training options of `[net]`; see `bind_training_options`."""
    return bind_training_options(network, network.config.net, NetTraining, quiet=quiet)
