"""The files of a training: weights under Darknet's names, and beside the last ones what goes on from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from darkparse._utils.files import atomic_write, deferred_errors
from darkparse.errors import DarkparseError
from darkparse.model.darknet import Darknet
from darkparse.model.saving import save_weights
from darkparse.network import Network
from darkparse.syntax.files import describe_error
from darkparse.training.state import State


class Checkpoints:
    """Where the weights of a network go, and after which batches (detector.c train_detector of each fork).

    pjreddie's Darknet writes NAME.backup every 100 batches, and a numbered file every 100 below 1000 and every 10000;
    AlexeyAB's NAME_last every `savelast`, and a numbered file every `saveweights`.

    Args:
        network: its name is the files', its dialect chooses.
        folder: `backup` of the `.data` file; it is made.
        batches: of the whole training.
        savelast: of the `.data` file.
        saveweights: likewise.
    """

    def __init__(
        self, network: Network, folder: Path, batches: int, savelast: int = 100, saveweights: int | None = None
    ) -> None:
        self._counts, self._batches = network.dialect.training.counts_iterations, batches
        self._base = folder / network.name
        self._last_every = savelast if self._counts else 100
        self._numbered_every = saveweights or (1000 if batches < 10_000 else 10_000)

    @property
    def last(self) -> Path:
        return self._base.with_name(f"{self._base.name}_last.weights" if self._counts else f"{self._base.name}.backup")

    @property
    def state(self) -> Path:
        """All that `--resume` needs: the weights, momentum, averages and place."""
        return self._base.with_name(f"{self._base.name}_last.state")

    def weights_path(self, kind: str | int) -> Path:
        """`NAME_1000.weights`, `NAME_best.weights`, `NAME_final.weights`."""
        return self._base.with_name(f"{self._base.name}_{kind}.weights")

    def list_due(self, batch: int) -> Iterator[str | int]:
        """What is written after a batch: its number, "final" after the last of all, and "last"."""
        early = not self._counts and batch < 1000 and batch % 100 == 0
        if early or batch % (self._numbered_every if self._counts else 10_000) == 0:
            yield batch
        if batch == self._batches:
            yield "final"
        if batch % self._last_every == 0:
            yield "last"

    def write(self, model: Darknet, kind: str | int, state: State | None = None) -> Path:
        """Write weights, whole or not at all, and a state beside the last ones.

        Raises:
            OSError: the disk is full, or what else keeps a file from being written; what was there is there.
            WeightsError: likewise, of the weights.
        """
        self._base.parent.mkdir(parents=True, exist_ok=True)
        path = self.last if kind == "last" else self.weights_path(kind)
        save_weights(model, path)
        if state is not None:
            with (
                atomic_write(self.state, synced=True) as partial,
                partial.open("wb") as file,
                deferred_errors(file) as writer,
            ):
                torch.save(state, writer)
        return path

    def read(self) -> Any:
        """Read what the last run left in its state file, whatever that holds.

        Raises:
            DarkparseError: there is no such file, or it cannot be read.
        """
        try:
            return torch.load(self.state, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise DarkparseError(f"{self.state}: there is no such file to resume from; leave --resume out") from None
        except OSError as problem:
            raise DarkparseError(f"{self.state}: {describe_error(problem)}") from None
        except Exception as problem:  # noqa: BLE001  # what torch raises of a damaged file is of many kinds
            raise DarkparseError(f"{self.state}: not what a training leaves ({type(problem).__name__})") from None
