"""Output options and files of the commands that write a changed cfg together with its weights."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from darkparse._utils.files import atomic_write
from darkparse._utils.text import pluralize
from darkparse.cli.common import report_written
from darkparse.datasets.names import read_names
from darkparse.layers.head import format_count
from darkparse.network.io.cfg import encode_cfg, format_network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darkparse.weights import LoadedArrays

F = TypeVar("F", bound="Callable[..., Any]")

WEIGHTS_SUFFIXES = (".weights", ".safetensors", ".pt", ".pth", ".npz")


def pair_output_option(function: F) -> F:
    """Add the option for the two output files, a cfg and its weights."""
    return click.option(
        "-o",
        "--out",
        "--output",
        "out",
        nargs=2,
        required=True,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="OUT.cfg OUT.weights",
        help="Files to write: .cfg or .yaml, and .weights, .safetensors, .pt or .npz.",
    )(function)


def check_outputs(out: tuple[Path, Path], *inputs: object) -> None:
    """Raise UsageError if the second output is not a weights file, or an output is also an input."""
    cfg, weights = out
    if weights.suffix.lower() not in WEIGHTS_SUFFIXES or cfg.suffix.lower() in WEIGHTS_SUFFIXES:
        raise click.UsageError(
            f"-o takes a cfg, then its weights, got {cfg} {weights}; expected the second to end in "
            f"{', '.join(WEIGHTS_SUFFIXES)}\nhint: `darkparse convert OUT.cfg OUT.weights` writes other formats"
        )
    for path in out:
        for source in inputs:
            if isinstance(source, str) and Path(source).exists() and path.exists() and path.samefile(source):
                raise click.UsageError(f"{path} is an input; expected another name to write")


def write_pair(loaded: LoadedArrays, out: tuple[Path, Path], names: Sequence[str] | None = None) -> None:
    """Write a network's cfg, its weights and its class names, nothing if one cannot be written, and report them."""
    cfg, weights = out
    with ExitStack() as stack:
        stack.enter_context(atomic_write(cfg)).write_bytes(encode_cfg(format_network(loaded.network, cfg)))
        if names is not None:
            text = "".join(f"{name}\n" for name in names)
            stack.enter_context(atomic_write(get_names_path(cfg))).write_bytes(text.encode("utf-8", "surrogateescape"))
        size = loaded.save(weights)
    network = loaded.network
    report_written(cfg, f"{pluralize(len(network.nodes), 'layer')}, input {network.input_shape}")
    report_written(weights, f"{size:,} bytes")
    if names is not None:
        report_written(get_names_path(cfg), format_count(len(names)))


def get_names_path(cfg: Path) -> Path:
    """Return the file of class names that belongs to a cfg."""
    return cfg.with_suffix(".names")


def check_names_file(cfg: Path, names: Sequence[str]) -> None:
    """Raise UsageError if a file of other class names would be overwritten."""
    path = get_names_path(cfg)
    if path.exists() and (not path.is_file() or read_names(path) != tuple(names)):
        raise click.UsageError(f"{path} already contains other class names; choose another name for {cfg}")
