"""Targets of `darkparse convert` for other runtimes: ONNX, torch.export, TorchScript, AOTInductor, TFLite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import darkparse
from darkparse.cli.common import setting_option, stderr
from darkparse.cli.detector import ClassesType
from darkparse.datasets.names import find_class_ids, find_names
from darkparse.detect.images import open_image
from darkparse.detect.preprocess import fit_image
from darkparse.detect.task import class_count
from darkparse.export.tflite import find_obstacle
from darkparse.network import Network
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.dynamic_axes import HEAD_FORMS, DynamicAxes, Heads
from darkparse.onnx.write import OPSETS
from darkparse.weights import LoadedArrays

if TYPE_CHECKING:
    from torch import Tensor

    from darkparse.model import CheckResult

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Options of an export; the fields have the names of the command's options."""

    heads: Heads = "raw"
    dynamic_size: bool = False
    fixed_batch: bool = False
    opset: int | None = None
    half: bool = False
    threshold: float = DetectionSettings.threshold
    nms: float = DetectionSettings.nms
    classes: tuple[str, ...] | None = None
    names: str | None = None
    image: Path | None = None
    no_fold: bool = False
    in_place: bool = False

    def used_options(self) -> set[str]:
        """Return the names of the options that were set."""
        plain = ExportOptions()
        return {name for name in self.__slots__ if getattr(self, name) != getattr(plain, name)}


def export_options(function: F) -> F:
    """Add the options of targets for other runtimes, the fields of `ExportOptions`."""
    for option in reversed(
        (
            click.option(
                "--heads",
                type=click.Choice(HEAD_FORMS),
                default="raw",
                show_default=True,
                help="Output: raw heads, boxes (decoded, yolov5, yolov8), final detections, or maps before the heads.",
            ),
            click.option("--dynamic-size", is_flag=True, help="Accept any height and width divisible by the stride."),
            click.option("--fixed-batch", is_flag=True, help="Accept one image at a time instead of any number."),
            click.option("--opset", type=click.IntRange(min=18), show_default="18", help="ONNX opset version."),
            click.option("--half", is_flag=True, help="Compute in float16 (inputs and outputs: float32)."),
            setting_option("--threshold", help="Minimum score (--heads nms)."),
            setting_option("--nms", help="NMS IoU threshold (--heads nms)."),
            click.option("--classes", type=ClassesType(), help="Use only these classes (--heads nms)."),
            click.option(
                "--names", type=click.Path(), help="Class names (.names or .data file); also stored in the file."
            ),
            click.option("--no-fold", is_flag=True, help="Keep batch norm as separate operators (ONNX)."),
            click.option("--in-place", is_flag=True, help="Refer to the .weights file instead of copying it (ONNX)."),
            click.option(
                "--image",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Image to verify with, in addition to random input.",
            ),
        )
    ):
        function = option(function)
    return function


def check_export(out: Path, options: ExportOptions) -> None:
    """Raise for options that the file format does not support."""
    ending = find_ending(out)
    if ending == ".tflite" and (obstacle := find_obstacle()):
        raise click.UsageError(obstacle)
    if options.classes and options.heads != "nms":
        raise click.UsageError("--classes requires --heads nms")
    unused = options.used_options() - EXPORTERS[ending][1]
    if unused:
        flags = ", ".join(f"--{option.replace('_', '-')}" for option in sorted(unused))
        raise click.UsageError(f"{flags} does not apply to {ending} files")


def export(loaded: LoadedArrays, out: Path, options: ExportOptions, *, verify: bool) -> str:
    """Write the file format that the extension of OUT selects; return the difference from the module as text."""
    ending, network = find_ending(out), loaded.network
    write, _ = EXPORTERS[ending]
    with stderr().status(f"Exporting {network.name} to {ending}{' and checking it' if verify else ''} …"):
        result = write(loaded, out, options, verify)
    return f"{out.stat().st_size:,} bytes, {result or 'not run'}"


def _write_onnx(loaded: LoadedArrays, out: Path, options: ExportOptions, verify: bool) -> CheckResult | None:
    names = _find_names(loaded.network, options)
    return darkparse.to_onnx(
        loaded.network,
        out,
        weights=loaded,
        heads=options.heads,
        dynamic_batch=not options.fixed_batch,
        dynamic_size=options.dynamic_size,
        opset=options.opset or OPSETS[0],
        half=options.half,
        fold=not options.no_fold,
        in_place=options.in_place,
        threshold=options.threshold,
        nms=options.nms,
        classes=None if options.classes is None else find_class_ids(names, options.classes),
        names=names or None,
        verify=verify,
        image=_read_image(loaded.network, options.image),
    )


def _find_names(network: Network, options: ExportOptions) -> tuple[str, ...]:
    """Return the class names; empty if the heads have different classes, or the network has none."""
    last = network.nodes[network.outputs[-1]]
    counts = {getattr(network.nodes[i].layer, "classes", 0) for i in network.heads} or {last.out_shape.size}
    if len(counts) > 1 or (not network.heads and last.out_shape.area != 1):
        return ()
    return find_names(network, class_count(network, use_class_map=False), options.names)


def _write_module(loaded: LoadedArrays, out: Path, options: ExportOptions, verify: bool) -> CheckResult | None:
    from darkparse.export.torch_formats import FORMATS, write_module
    from darkparse.model import load

    return write_module(
        FORMATS[find_ending(out)],
        load(loaded.network, loaded),
        out,
        options.heads,
        DynamicAxes(not options.fixed_batch, options.dynamic_size),
        half=options.half,
        verify=verify,
        image=_read_image(loaded.network, options.image),
    )


def _read_image(network: Network, path: Path | None) -> Tensor | None:
    """Return an image as the network's input (1, C, H, W); None without a path."""
    if path is None:
        return None
    import torch

    net = network.net
    image = open_image(path, net.channels, apply_exif=network.dialect.applies_exif)
    values, _ = fit_image(image.pixels, (net.height, net.width), network.dialect.resize)
    return torch.from_numpy(values)[None]


Exporter = Callable[[LoadedArrays, Path, ExportOptions, bool], "CheckResult | None"]
"""Writes a file; if the last argument is True, compares its outputs with the module's."""

_COMMON_OPTIONS = {"heads", "half", "image"}
_ONNX_OPTIONS = {"dynamic_size", "fixed_batch", "opset", "threshold", "nms", "classes", "names", "no_fold", "in_place"}
EXPORTERS: dict[str, tuple[Exporter, set[str]]] = {
    ".onnx": (_write_onnx, _COMMON_OPTIONS | _ONNX_OPTIONS),
    ".aoti.pt2": (_write_module, _COMMON_OPTIONS | {"fixed_batch"}),
    ".pt2": (_write_module, _COMMON_OPTIONS | {"dynamic_size", "fixed_batch"}),
    ".ts": (_write_module, _COMMON_OPTIONS),
    ".tflite": (_write_module, {"heads", "image"}),
}
"""File extension → writer and the options that it supports."""


def find_ending(out: Path) -> str:
    """Return the longest extension of `EXPORTERS` that a file name has; empty if it has none."""
    return next((ending for ending in EXPORTERS if out.name.lower().endswith(ending)), "")
