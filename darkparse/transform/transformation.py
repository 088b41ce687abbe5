"""Interface and shared functions of the transformations."""

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
        """What the transformation preserves, in one phrase for users."""

    def __call__(self, network: Network, arrays: Arrays) -> tuple[Network, Arrays]:
        """Return the changed network and its arrays, by their names in the state_dict.

        Raises:
            DarkparseError: The transformation would not be exact; the message shows the place and the reason.
        """


def apply(transformation: Transformation, loaded: LoadedArrays) -> LoadedArrays:
    """Transform a network with its arrays; the result can be passed wherever that of `weights.read` can.

    Args:
        transformation: The transformation.
        loaded: Network and arrays; they are not modified.

    Raises:
        DarkparseError: The transformation would not be exact.
    """
    network, arrays = transformation(loaded.network, loaded.arrays)
    return replace(loaded, network=network, stored=arrays)


def make_refusal(reason: str, span: Span) -> CfgError:
    """Return the error for a section that cannot be transformed exactly."""
    return cfg_error("inexact", reason, span)
