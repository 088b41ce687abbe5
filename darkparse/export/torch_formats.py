"""A module as a torch.export program, as TorchScript, and compiled ahead of time by AOTInductor."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from darkparse._utils.files import atomic_write, deferred_errors
from darkparse.errors import DarkparseError
from darkparse.model.tracing import ExportModule, make_example_input, prepare_export, trace
from darkparse.model.verification import CheckResult, Runner, compare_outputs
from darkparse.network.dynamic_axes import DynamicAxes, Heads

if TYPE_CHECKING:
    from darkparse.model import Darknet

COMPILERS = ("c++", "g++", "clang++", "cl")


def to_program(
    model: Darknet,
    path: str | os.PathLike[str],
    *,
    heads: Heads = "raw",
    dynamic_batch: bool = True,
    dynamic_size: bool = False,
    half: bool = False,
    verify: bool = True,
    image: Tensor | None = None,
) -> CheckResult | None:
    """Write a module as a torch.export program (`.pt2`), which `torch.export.load(path).module()` runs.

    Args:
        model: in eval mode, with weights.
        path: the file.
        heads: `raw` or `decoded`, see `to_onnx`.
        dynamic_batch: leave the number of pictures free.
        dynamic_size: leave height and width free, in steps of the network's stride.
        half: weights and arithmetic in float16; inputs and outputs stay float32.
        verify: run the file and compare it with the module.
        image: a picture (1, C, H, W) to compare on too.

    Returns:
        What the check found; None without one.

    Raises:
        NoWeightsError: the module has no weights yet.
        DarkparseError: the network cannot be exported so, or the file computes something else.

    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> darkparse.to_program(model, "tiny.pt2").difference < 1e-3
    True
    """
    dynamic_axes = DynamicAxes(dynamic_batch, dynamic_size)
    exported = _prepare(model, heads, dynamic_axes, half)

    def write(target: Path) -> None:
        program = trace(exported, model.network, dynamic_axes)
        with target.open("wb") as stream, deferred_errors(stream) as file:
            torch.export.save(program, file)

    def load(target: Path) -> Runner:
        return _make_runner(torch.export.load(target).module())

    return _write_and_check(exported, model, path, write, load, dynamic_axes, half=half, verify=verify, image=image)


def to_torchscript(
    model: Darknet,
    path: str | os.PathLike[str],
    *,
    heads: Heads = "raw",
    half: bool = False,
    verify: bool = True,
    image: Tensor | None = None,
) -> CheckResult | None:
    """Write a module as TorchScript by tracing (`.ts`), which `torch.jit.load(path)` runs, for any batch.

    Args:
        model: in eval mode, with weights.
        path: the file.
        heads: `raw` or `decoded`, see `to_onnx`.
        half: weights and arithmetic in float16; inputs and outputs stay float32.
        verify: run the file and compare it with the module.
        image: a picture (1, C, H, W) to compare on too.

    Returns:
        What the check found; None without one.

    Raises:
        NoWeightsError: the module has no weights yet.
        DarkparseError: the network cannot be exported so, or the file computes something else.

    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> darkparse.to_torchscript(model, "tiny.ts").difference < 1e-3
    True
    """
    dynamic_axes = DynamicAxes(batch=True, size=False)
    exported = _prepare(model, heads, dynamic_axes, half)

    def write(target: Path) -> None:
        with torch.no_grad(), warnings.catch_warnings():
            # torch prefers torch.export, and warns that a shape becomes a constant where it is meant to.
            warnings.simplefilter("ignore")
            script = torch.jit.trace(exported, make_example_input(model.network), check_trace=False)
            with target.open("wb") as stream, deferred_errors(stream) as file:
                torch.jit.save(script, file)

    def load(target: Path) -> Runner:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _make_runner(torch.jit.load(target))

    return _write_and_check(exported, model, path, write, load, dynamic_axes, half=half, verify=verify, image=image)


def to_compiled(
    model: Darknet,
    path: str | os.PathLike[str],
    *,
    heads: Heads = "raw",
    dynamic_batch: bool = True,
    half: bool = False,
    verify: bool = True,
    image: Tensor | None = None,
) -> CheckResult | None:
    """Compile a module ahead of time by AOTInductor (`.aoti.pt2`), for this machine's kind of processor.

    `torch._inductor.aoti_load_package(path)` runs it, in Python or C++.

    Args:
        model: in eval mode, with weights.
        path: the file.
        heads: `raw` or `decoded`, see `to_onnx`.
        dynamic_batch: leave the number of pictures free.
        half: weights and arithmetic in float16; inputs and outputs stay float32.
        verify: run the file and compare it with the module.
        image: a picture (1, C, H, W) to compare on too.

    Returns:
        What the check found; None without one.

    Raises:
        NoWeightsError: the module has no weights yet.
        DarkparseError: the network cannot be exported so, there is no C++ compiler, or the file computes something
            else.

    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> darkparse.to_compiled(model, "tiny.aoti.pt2").difference < 1e-3
    True
    """
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name):
        raise DarkparseError(f"AOTInductor needs a C++ compiler, and there is none of {', '.join(COMPILERS)} on PATH")
    dynamic_axes = DynamicAxes(dynamic_batch)
    exported = _prepare(model, heads, dynamic_axes, half)

    def write(target: Path) -> None:
        program = trace(exported, model.network, dynamic_axes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with target.open("wb") as stream, deferred_errors(stream) as file:
                torch._inductor.aoti_compile_and_package(program, package_path=file)

    def load(target: Path) -> Runner:
        return _make_runner(torch._inductor.aoti_load_package(str(target)))

    return _write_and_check(exported, model, path, write, load, dynamic_axes, half=half, verify=verify, image=image)


def _prepare(model: Darknet, heads: Heads, dynamic_axes: DynamicAxes, half: bool) -> ExportModule:
    if heads == "nms":
        raise DarkparseError("heads nms is for .onnx files; decoded boxes go into every other")
    return prepare_export(model, heads, dynamic_axes=dynamic_axes, half=half)


def _make_runner(module: Callable[[Tensor], Tensor | tuple[Tensor, ...] | list[Tensor]]) -> Runner:
    """A module as a function that always gives a sequence."""

    def run(x: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            output = module(x)
        return (output,) if isinstance(output, Tensor) else output

    return run


def _write_and_check(
    exported: ExportModule,
    model: Darknet,
    path: str | os.PathLike[str],
    write: Callable[[Path], None],
    load: Callable[[Path], Runner],
    dynamic_axes: DynamicAxes,
    *,
    half: bool,
    verify: bool,
    image: Tensor | None,
) -> CheckResult | None:
    """Write to a file beside the target, check that, and give it the target's name."""
    with atomic_write(path) as partial:
        write(partial)
        if not verify:
            return None
        expected = _make_runner(ExportModule(model, exported.heads).eval())
        return compare_outputs(model.network, expected, load(partial), dynamic_axes, half=half, image=image)
