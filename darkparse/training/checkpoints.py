"""Files of a training run: weights under Darknet's names, and the state to resume from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from darkparse._utils.files import atomic_write, deferred_errors
from darkparse.errors import DarkparseError
from darkparse.model.darknet import Darknet
from darkparse.model.saving import save_weights
from darkparse.network import Network
from darkparse.network.training import count_images_per_batch
from darkparse.syntax.files import describe_error
from darkparse.training.state import State


class Checkpoints:
    """Paths of a network's saved weights and the batches after which they are due (detector.c train_detector).

    pjreddie's Darknet writes NAME.backup every 100 batches, and numbered files every 100 batches below 1000 and every
    10000; of a classifier NAME.backup every 1000 batches, NAME_1, NAME_2, … after each epoch and NAME.weights at the
    end (classifier.c train_classifier). AlexeyAB's writes NAME_last every `savelast` batches and numbered files every
    `saveweights`.

    Args:
        network: Network; the files have its name, and its dialect determines the intervals.
        folder: Output directory; it is created if it does not exist.
        batches: Number of batches of the whole training.
        savelast: `savelast` of the `.data` file.
        saveweights: `saveweights` of the `.data` file.
        epoch: Number of images in an epoch.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        batches: int,
        savelast: int = 100,
        saveweights: int | None = None,
        epoch: int | None = None,
    ) -> None:
        self._counts, self._batches = network.dialect.training.counts_iterations, batches
        self._base, self._images = folder / network.name, count_images_per_batch(network)
        self._epoch = epoch if network.dialect.training.numbers_epochs and not network.heads else None
        self._last_every = 1000 if self._epoch else 100
        if self._counts:
            self._last_every = savelast
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
        is_plain = kind == "final" and self._epoch is not None
        return self._base.with_name(f"{self._base.name}.weights" if is_plain else f"{self._base.name}_{kind}.weights")

    def list_due(self, batch: int) -> Iterator[str | int]:
        """Yield the weights due after a batch: its number or its epoch, "final" after the last batch, and "last"."""
        if self._epoch:
            epoch = batch * self._images // self._epoch
            if epoch > (batch - 1) * self._images // self._epoch:
                yield epoch
        else:
            early = not self._counts and batch < 1000 and batch % 100 == 0
            if early or batch % (self._numbered_every if self._counts else 10_000) == 0:
                yield batch
        if batch == self._batches:
            yield "final"
        if batch % self._last_every == 0:
            yield "last"

    def complete(self, due: Sequence[str | int]) -> Iterator[str | int]:
        """Yield the weights due at the end of a run, when the state must be saved.

        pjreddie's classifiers end with NAME.weights instead of NAME.backup; the state is then saved without weights.
        """
        yield from due
        if "last" not in due:
            yield "state" if self._epoch and "final" in due else "last"

    def write(self, model: Darknet, kind: str | int, state: State | None = None) -> Path | None:
        """Write weights atomically, and a state after the last ones; return the path of the weights.

        Raises:
            OSError: A file cannot be written, for example because the disk is full; existing files stay intact.
            WeightsError: The weights cannot be written; existing files stay intact.
        """
        self._base.parent.mkdir(parents=True, exist_ok=True)
        path = None
        if kind != "state":
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
            raise DarkparseError(f"{self.state}: no training state to resume from\nhint: remove --resume") from None
        except OSError as problem:
            raise DarkparseError(f"{self.state}: {describe_error(problem)}") from None
        except Exception as problem:  # noqa: BLE001  # torch raises many kinds of errors for corrupt files
            raise DarkparseError(f"{self.state}: not a training state ({type(problem).__name__})") from None
