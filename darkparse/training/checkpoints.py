"""Files of a training run: weights under Darknet's names, and the state to resume from."""

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
    """Paths of a network's saved weights and the batches after which they are due (detector.c train_detector).

    pjreddie's Darknet writes NAME.backup every 100 batches, and numbered files every 100 batches below 1000 and every
    10000. AlexeyAB's writes NAME_last every `savelast` batches and numbered files every `saveweights`.

    Args:
        network: Network; the files have its name, and its dialect determines the intervals.
        folder: `backup` of the `.data` file; the directory is created if it does not exist.
        batches: Number of batches of the whole training.
        savelast: `savelast` of the `.data` file.
        saveweights: `saveweights` of the `.data` file.
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
        """Path of everything that `--resume` needs: weights, momentum, averages and position."""
        return self._base.with_name(f"{self._base.name}_last.state")

    def weights_path(self, kind: str | int) -> Path:
        """Return the path of `NAME_1000.weights`, `NAME_best.weights` or `NAME_final.weights`."""
        return self._base.with_name(f"{self._base.name}_{kind}.weights")

    def list_due(self, batch: int) -> Iterator[str | int]:
        """Yield what is due after a batch: its number, "final" after the last batch, and "last"."""
        early = not self._counts and batch < 1000 and batch % 100 == 0
        if early or batch % (self._numbered_every if self._counts else 10_000) == 0:
            yield batch
        if batch == self._batches:
            yield "final"
        if batch % self._last_every == 0:
            yield "last"

    def write(self, model: Darknet, kind: str | int, state: State | None = None) -> Path:
        """Write weights atomically, and a state beside the last ones.

        Raises:
            OSError: A file cannot be written, for example because the disk is full; existing files stay intact.
            WeightsError: The weights cannot be written; existing files stay intact.
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
        """Read the state file of the last run without checking its content.

        Raises:
            DarkparseError: The file does not exist or cannot be read.
        """
        try:
            return torch.load(self.state, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise DarkparseError(f"{self.state}: there is no such file to resume from; leave --resume out") from None
        except OSError as problem:
            raise DarkparseError(f"{self.state}: {describe_error(problem)}") from None
        except Exception as problem:  # noqa: BLE001  # torch raises many kinds of errors for corrupt files
            raise DarkparseError(f"{self.state}: not what a training leaves ({type(problem).__name__})") from None
