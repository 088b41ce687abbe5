"""Export of modules: torch.export programs, TorchScript, AOTInductor, and TFLite by litert-torch."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from torch import Tensor

from darkparse._utils.files import atomic_write, deferred_errors
from darkparse.errors import DarkparseError
from darkparse.export import tflite
from darkparse.model.tracing import ExportModule, make_example_input, prepare_export, trace
from darkparse.model.verification import CheckResult, Runner, compare_outputs
from darkparse.network import Network
from darkparse.network.dynamic_axes import DynamicAxes, Heads

if TYPE_CHECKING:
    from darkparse.model import Darknet

COMPILERS = ("c++", "g++", "clang++", "cl")
OutputModule = Callable[[Tensor], Tensor | tuple[Tensor, ...] | list[Tensor]]


@dataclass(frozen=True, slots=True)
class TorchFormat:
    """File format of torch.

    Attributes:
        produce: Function that converts a module to the artifact to save, with the given axes dynamic.
        save: Function that writes the artifact to an open file.
        load: Function that loads a file as a callable on image batches (N, C, H, W).
        find_obstacle: Function that returns why this machine cannot write the format, or an empty string.
        one_image: Whether the file processes one image at a time.
    """

    produce: Callable[[ExportModule, Network, DynamicAxes], Any]
    save: Callable[[Any, BinaryIO], object]
    load: Callable[[Path], OutputModule]
    find_obstacle: Callable[[], str] = lambda: ""
    one_image: bool = False


def _trace_script(exported: ExportModule, network: Network, dynamic_axes: DynamicAxes) -> torch.jit.ScriptModule:
    """Trace a module to TorchScript; its batch axis is always dynamic."""
    with torch.no_grad():
        script: torch.jit.ScriptModule = torch.jit.trace(exported, make_example_input(network), check_trace=False)
    return script


def _find_compiler_obstacle() -> str:
    if any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name):
        return ""
    return f"AOTInductor requires a C++ compiler in PATH; expected one of {', '.join(COMPILERS)}"


def _save_compiled(program: torch.export.ExportedProgram, file: BinaryIO) -> None:
    """Compile a program in memory and write it; torch 2.6 writes only to a buffer or to a path that ends in .pt2."""
    package = BytesIO()
    torch._inductor.aoti_compile_and_package(program, package_path=package)
    file.write(package.getbuffer())


PROGRAM = TorchFormat(
    produce=trace,
    save=torch.export.save,
    load=lambda path: torch.export.load(path).module(),
)
TORCHSCRIPT = TorchFormat(
    produce=_trace_script,
    save=torch.jit.save,
    load=torch.jit.load,
)
COMPILED = TorchFormat(
    produce=trace,
    save=_save_compiled,
    load=lambda path: torch._inductor.aoti_load_package(str(path)),
    find_obstacle=_find_compiler_obstacle,
)
TFLITE = TorchFormat(
    produce=lambda exported, network, _: tflite.convert(exported, make_example_input(network, 1), network.name),
    save=lambda model, file: file.write(model.model_content()),
    load=tflite.load,
    find_obstacle=tflite.find_obstacle,
    one_image=True,
)
FORMATS = {".pt2": PROGRAM, ".ts": TORCHSCRIPT, ".aoti.pt2": COMPILED, ".tflite": TFLITE}
"""File extension → format."""


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
    """Export a module as a torch.export program (`.pt2`); load it with `torch.export.load(path).module()`.

    Args:
        model: Module in eval mode, with weights.
        path: Output file.
        heads: Output form, `raw`, `decoded`, `yolov5` or `yolov8`; see `to_onnx`.
        dynamic_batch: Allow any batch size.
        dynamic_size: Allow any height and width that are multiples of the network's stride.
        half: Use float16 for weights and arithmetic; inputs and outputs stay float32.
        verify: Run the exported file and compare its outputs with those of the module.
        image: Additional input (1, C, H, W) for verification.

    Returns:
        The result of the comparison; None with `verify=False`.

    Raises:
        NoWeightsError: The module has no weights.
        DarkparseError: The network cannot be exported to this format, or the outputs of the file differ.

    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> darkparse.to_program(model, "tiny.pt2").difference < 1e-3
    True
    """
    axes = DynamicAxes(dynamic_batch, dynamic_size)
    return write_module(PROGRAM, model, path, heads, axes, half=half, verify=verify, image=image)


def to_torchscript(
    model: Darknet,
    path: str | os.PathLike[str],
    *,
    heads: Heads = "raw",
    half: bool = False,
    verify: bool = True,
    image: Tensor | None = None,
) -> CheckResult | None:
    """Export a module to TorchScript (`.ts`) by tracing; load it with `torch.jit.load(path)`, for any batch size.

    Args:
        model: Module in eval mode, with weights.
        path: Output file.
        heads: Output form, `raw`, `decoded`, `yolov5` or `yolov8`; see `to_onnx`.
        half: Use float16 for weights and arithmetic; inputs and outputs stay float32.
        verify: Run the exported file and compare its outputs with those of the module.
        image: Additional input (1, C, H, W) for verification.

    Returns:
        The result of the comparison; None with `verify=False`.

    Raises:
        NoWeightsError: The module has no weights.
        DarkparseError: The network cannot be exported to this format, or the outputs of the file differ.

    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> darkparse.to_torchscript(model, "tiny.ts").difference < 1e-3
    True
    """
    axes = DynamicAxes(batch=True, size=False)
    return write_module(TORCHSCRIPT, model, path, heads, axes, half=half, verify=verify, image=image)


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
    """Compile a module ahead of time with AOTInductor (`.aoti.pt2`) for this type of processor.

    Load it with `torch._inductor.aoti_load_package(path)` in Python, or from C++.

    Args:
        model: Module in eval mode, with weights.
        path: Output file.
        heads: Output form, `raw`, `decoded`, `yolov5` or `yolov8`; see `to_onnx`.
        dynamic_batch: Allow any batch size.
        half: Use float16 for weights and arithmetic; inputs and outputs stay float32.
        verify: Run the exported file and compare its outputs with those of the module.
        image: Additional input (1, C, H, W) for verification.

    Returns:
        The result of the comparison; None with `verify=False`.

    Raises:
        NoWeightsError: The module has no weights.
        DarkparseError: The network cannot be exported to this format, there is no C++ compiler, or the
            outputs of the file differ.

    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> darkparse.to_compiled(model, "tiny.aoti.pt2").difference < 1e-3
    True
    """
    axes = DynamicAxes(dynamic_batch)
    return write_module(COMPILED, model, path, heads, axes, half=half, verify=verify, image=image)


def write_module(
    torch_format: TorchFormat,
    model: Darknet,
    path: str | os.PathLike[str],
    heads: Heads,
    dynamic_axes: DynamicAxes,
    *,
    half: bool,
    verify: bool,
    image: Tensor | None,
) -> CheckResult | None:
    """Write a temporary file beside the target, verify it, and rename it to the target.

    Args:
        torch_format: Format of the file, one of `FORMATS`.
        model: Module in eval mode, with weights.
        path: Output file.
        heads: Output form; see `to_onnx`.
        dynamic_axes: Axes whose length may vary between runs.
        half: Use float16 for weights and arithmetic; inputs and outputs stay float32.
        verify: Run the exported file and compare its outputs with those of the module.
        image: Additional input (1, C, H, W) for verification.

    Raises:
        DarkparseError: The network cannot be exported to this format, something that it requires is missing, or the
            outputs of the file differ.
    """
    dynamic_axes = replace(dynamic_axes, batch=dynamic_axes.batch and not torch_format.one_image)
    if obstacle := torch_format.find_obstacle():
        raise DarkparseError(obstacle)
    if heads in ("nms", "features"):
        raise DarkparseError(f"heads {heads} is for .onnx files; other files support raw, decoded, yolov5 and yolov8")
    exported = prepare_export(model, heads, dynamic_axes=dynamic_axes, half=half)
    with atomic_write(path) as partial, warnings.catch_warnings():
        # torch recommends torch.export over TorchScript, and warns about shapes that are intentionally constant.
        warnings.simplefilter("ignore")
        artifact = torch_format.produce(exported, model.network, dynamic_axes)
        with partial.open("wb") as stream, deferred_errors(stream) as file:
            torch_format.save(artifact, file)
        if not verify:
            return None
        expected = _make_runner(ExportModule(model, heads).eval())
        actual = _make_runner(torch_format.load(partial))
        return compare_outputs(model.network, expected, actual, dynamic_axes, half=half, image=image)


def _make_runner(module: OutputModule) -> Runner:
    """Wrap a module so that it always returns a sequence."""

    def run(x: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            output = module(x)
        return (output,) if isinstance(output, Tensor) else output

    return run
