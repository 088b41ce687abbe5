"""The interface of transformations, and what they share."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from darkparse.diagnostics import Span
from darkparse.errors import CfgError, cfg_error
from darkparse.network import Network
from darkparse.weights import LoadedArrays
from darkparse.weights.buffer import Arrays


class Transformation(Protocol):
    """A change of a network together with its arrays."""

    @property
    def preserves(self) -> str:
        """What stays the same, in one sentence for users."""

    def __call__(self, network: Network, arrays: Arrays) -> tuple[Network, Arrays]:
        """Return the changed network and its arrays, by their names in the state_dict.

        Raises:
            DarkparseError: The change cannot be made exactly; the message has the place and the reason.
        """


def apply(transformation: Transformation, loaded: LoadedArrays) -> LoadedArrays:
    """Transform a network with its arrays; every function that takes the result of `weights.read` takes this too.

    Args:
        transformation: The transformation.
        loaded: Network and arrays; they stay as they are.

    Raises:
        DarkparseError: The transformation cannot be made exactly.
    """
    network, arrays = transformation(loaded.network, loaded.arrays)
    return replace(loaded, network=network, stored=arrays)


def make_refusal(reason: str, span: Span) -> CfgError:
    """Return the error of a layer that a transformation cannot change exactly."""
    return cfg_error("inexact", reason, span)
