"""Networks to measure and the files that peers load, written before any timing."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import darkparse

STEM = "[net]\nwidth=208\nheight=208\nchannels=3\n" + "[convolutional]\nfilters=64\nsize=3\nstride=2\npad=1\n" * 2
CONVOLUTIONS = "[convolutional]\nbatch_normalize=1\nfilters=64\nsize=3\nstride=1\npad=1\nactivation=leaky\n" * 2
SHORTCUT = "[shortcut]\nfrom=-3\nactivation=linear\n"


@dataclass(frozen=True)
class Case:
    """A network with its files, input size, batch size and number of threads."""

    name: str
    cfg: str
    weights: str
    directory: str
    """Directory of the files that belong to the case."""
    size: int
    batch: int
    threads: int

    @property
    def title(self) -> str:
        return f"{self.name}, {self.size}×{self.size}, batch {self.batch}, {count_threads(self.threads)}"

    def get_path(self, extension: str) -> str:
        """Return the path of a file of this case."""
        return str(Path(self.directory) / f"network{extension}")


def count_threads(count: int) -> str:
    """Return `1 thread`, `2 threads`, …"""
    return "1 thread" if count == 1 else f"{count} threads"


def write_residual_cfg(blocks: int, directory: Path) -> str:
    """Write a cfg with a number of residual blocks at one resolution; return its path."""
    path = directory / f"residual-{blocks}.cfg"
    path.write_text(STEM + (CONVOLUTIONS + SHORTCUT) * blocks, "utf-8")
    return str(path)


@cache
def prepare_case(
    cfg: str, weights: str | None, directory: Path, *, size: int | None, batch: int, threads: int,
    formats: frozenset[str],
) -> Case:  # fmt: skip
    """Write the files that peers load.

    Args:
        cfg: Path or name of a cfg.
        weights: `.weights` file; None writes random weights.
        directory: Directory for the files.
        size: Input height and width; None for the cfg's.
        batch: Images per call.
        threads: Threads per peer.
        formats: File formats to export: `.onnx`, `.py` (source), `.ncnn`.
    """
    import torch

    network = darkparse.compile(cfg, size=size)
    subdirectory = Path(tempfile.mkdtemp(dir=directory))
    resized_cfg = subdirectory / "network.cfg"
    resized_cfg.write_text(darkparse.to_cfg(network), "utf-8")
    name, network = network.name, darkparse.compile(resized_cfg)
    if weights is None:
        torch.manual_seed(0)
        weights, model = str(subdirectory / "network.weights"), darkparse.load(network)
        for key, value in model.state_dict().items():
            if key.endswith("conv.bias"):
                value.fill_(-4)  # low objectness, so that nothing is detected
        darkparse.save_weights(model, weights)
    case = Case(name, str(resized_cfg), weights, str(subdirectory), network.net.height, batch, threads)
    if ".onnx" in formats:
        darkparse.to_onnx(network, case.get_path(".onnx"), weights=weights, dynamic_batch=batch > 1)
    if ".py" in formats:
        Path(case.get_path(".py")).write_text(darkparse.to_source(network), "utf-8")
    if ".ncnn" in formats and find_spec("pnnx"):
        _export_ncnn(case, network)
    return case


def _export_ncnn(case: Case, network: darkparse.Network) -> None:
    """Convert the module with pnnx in float32; its float16 outputs differ by some thousandths."""
    import pnnx
    import torch

    model = darkparse.fuse(darkparse.load(network, case.weights))
    with warnings.catch_warnings(action="ignore"):  # of the tracer
        torch.jit.trace(model, torch.rand(1, 3, case.size, case.size)).save(case.get_path(".pt"))
    command = [pnnx.EXEC_PATH, "network.pt", f"inputshape=[1,3,{case.size},{case.size}]", "fp16=0"]
    subprocess.run(command, cwd=case.directory, capture_output=True, check=True)
