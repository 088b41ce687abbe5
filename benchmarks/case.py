"""What is measured, and the files that a peer needs: all made before any clock starts."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import darkparse

DEEP = "[net]\nwidth=208\nheight=208\nchannels=3\n" + "[convolutional]\nfilters=64\nsize=3\nstride=2\npad=1\n" * 2
BLOCK = "[convolutional]\nbatch_normalize=1\nfilters=64\nsize=3\nstride=1\npad=1\nactivation=leaky\n" * 2
JOINED = "[shortcut]\nfrom=-3\nactivation=linear\n"


@dataclass(frozen=True)
class Case:
    """A network with its weights at some size."""

    name: str
    cfg: str
    weights: str
    folder: str
    """Where its other forms lie."""
    size: int
    batch: int
    threads: int

    @property
    def title(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.name}, {self.size}×{self.size}, batch {self.batch}, {threads}"

    def form(self, ending: str) -> str:
        return str(Path(self.folder) / f"network{ending}")

    def asdict(self) -> dict[str, Any]:
        return asdict(self)


def deep(blocks: int, folder: Path) -> str:
    """A cfg of so many residual blocks on one map."""
    path = folder / f"residual-{blocks}.cfg"
    path.write_text(DEEP + (BLOCK + JOINED) * blocks, "utf-8")
    return str(path)


@cache
def prepare(
    cfg: str, weights: str | None, folder: Path, *, size: int | None, batch: int, threads: int, forms: frozenset[str]
) -> Case:
    """Write the network's weights, if it has none, and its other forms.

    Args:
        cfg: a path or a name.
        weights: a `.weights` file; without it one is made.
        folder: for the files.
        size: height and width of the input, if not the cfg's.
        batch: pictures a call.
        threads: for every peer.
        forms: `.onnx`, `.py` for the source, `.ncnn`.
    """
    import torch

    network = darkparse.compile(cfg, size=size)
    home = Path(tempfile.mkdtemp(dir=folder))
    own = home / "network.cfg"
    own.write_text(darkparse.to_cfg(network), "utf-8")
    name, network = network.name, darkparse.compile(own)
    if weights is None:
        torch.manual_seed(0)
        weights, model = str(home / "network.weights"), darkparse.load(network)
        for key, value in model.state_dict().items():
            if key.endswith("conv.bias"):
                value.fill_(-4)  # objectness: no object anywhere
        darkparse.save_weights(model, weights)
    case = Case(name, str(own), weights, str(home), network.net.height, batch, threads)
    if ".onnx" in forms:
        darkparse.to_onnx(network, case.form(".onnx"), weights=weights, dynamic_batch=batch > 1)
    if ".py" in forms:
        Path(case.form(".py")).write_text(darkparse.to_source(network), "utf-8")
    if ".ncnn" in forms and find_spec("pnnx"):
        to_ncnn(case, network)
    return case


def to_ncnn(case: Case, network: darkparse.Network) -> None:
    """pnnx's way from the module; in float32, since its halves are off by some thousandths."""
    import pnnx
    import torch

    model = darkparse.fuse(darkparse.load(network, case.weights))
    with warnings.catch_warnings(action="ignore"):  # of what the module asks of its input, and of tracing itself
        torch.jit.trace(model, torch.rand(1, 3, case.size, case.size)).save(case.form(".pt"))
    command = [pnnx.EXEC_PATH, "network.pt", f"inputshape=[1,3,{case.size},{case.size}]", "fp16=0"]
    subprocess.run(command, cwd=case.folder, capture_output=True, check=True)
