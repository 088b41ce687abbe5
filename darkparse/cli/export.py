"""The targets of `darkparse convert` that run elsewhere: ONNX, torch.export, TorchScript, AOTInductor."""

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
from darkparse.network import Network
from darkparse.network.detection_settings import DetectionSettings
from darkparse.weights import LoadedArrays

if TYPE_CHECKING:
    from torch import Tensor

    from darkparse.model import CheckResult

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a network is exported; the fields are the options' names."""

    heads: str = "raw"
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

    def used_options(self) -> set[str]:
        """Names of the options that were used."""
        plain = ExportOptions()
        return {name for name in self.__slots__ if getattr(self, name) != getattr(plain, name)}


def export_options(function: F) -> F:
    """The options of the targets that run elsewhere; they come as `**exporting`."""
    for option in reversed(
        (
            click.option(
                "--heads",
                type=click.Choice(["raw", "decoded", "nms"]),
                default="raw",
                show_default=True,
                help="What an exported file gives: the heads' outputs, boxes and scores, or (ONNX) detections.",
            ),
            click.option(
                "--dynamic-size", is_flag=True, help="Leave height and width free, in steps of the network's stride."
            ),
            click.option("--fixed-batch", is_flag=True, help="One picture a run, instead of any number."),
            click.option("--opset", type=click.IntRange(min=18), help="Version of ONNX's operators; 18 by default."),
            click.option(
                "--half", is_flag=True, help="Weights and arithmetic in float16; inputs and outputs stay float32."
            ),
            setting_option("--threshold", help="Score that a detection must exceed (--heads nms)."),
            setting_option("--nms", help="Overlap above which the lesser box goes (--heads nms)."),
            click.option("--classes", type=ClassesType(), help="Only these classes, by name or number (--heads nms)."),
            click.option("--names", type=click.Path(), help="A .names or .data file for --classes."),
            click.option("--no-fold", is_flag=True, help="Keep batch norm as an operator of its own (ONNX)."),
            click.option(
                "--image",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="A picture to compare on too, besides a random one.",
            ),
        )
    ):
        function = option(function)
    return function


def check_export(out: Path, options: ExportOptions) -> None:
    """Refuse options that the kind of file does not take."""
    ending = find_ending(out)
    if (options.classes or options.names) and options.heads != "nms":
        raise click.UsageError("--classes and --names need --heads nms")
    unused = options.used_options() - EXPORTERS[ending][1]
    if unused:
        flags = ", ".join(f"--{option.replace('_', '-')}" for option in sorted(unused))
        raise click.UsageError(f"{flags} does not apply to {ending} files")


def export(loaded: LoadedArrays, out: Path, options: ExportOptions, *, verify: bool) -> str:
    """Write the kind of file that the ending of OUT names, and say how much it differs from the module."""
    ending = find_ending(out)
    name, takes = EXPORTERS[ending]
    network = loaded.network
    export_kwargs: dict[str, Any] = {"heads": options.heads, "half": options.half, "verify": verify}
    if "dynamic_size" in takes:
        export_kwargs["dynamic_size"] = options.dynamic_size
    if "fixed_batch" in takes:
        export_kwargs["dynamic_batch"] = not options.fixed_batch
    export_kwargs |= {name: getattr(options, name) for name in ("threshold", "nms") if name in takes}
    if options.classes is not None:
        count = class_count(network, use_class_map=False)
        export_kwargs["classes"] = find_class_ids(find_names(network, count, options.names), options.classes)
    if options.opset is not None:
        export_kwargs["opset"] = options.opset
    if "no_fold" in takes:
        export_kwargs["fold"] = not options.no_fold
    model: Any = network
    if name == "to_onnx":
        export_kwargs["weights"] = loaded
    else:
        from darkparse.model import load

        model = load(network, loaded)
    if options.image is not None:
        export_kwargs["image"] = _image(network, options.image)
    with stderr().status(f"Exporting {network.name} to {ending}{' and checking it' if verify else ''} …"):
        checked: CheckResult | None = getattr(darkparse, name)(model, out, **export_kwargs)
    size = f"{out.stat().st_size:,} bytes"
    if checked is not None:
        return f"{size}, {checked}"
    return f"{size}, not run"


def _image(network: Network, path: Path) -> Tensor:
    """A picture as the network takes it (1, C, H, W)."""
    import torch

    net = network.net
    image = open_image(path, net.channels, apply_exif=network.dialect.applies_exif)
    values, _ = fit_image(image.pixels, (net.height, net.width), network.dialect.resize)
    return torch.from_numpy(values)[None]


_COMMON_OPTIONS = {"heads", "half", "image"}
EXPORTERS: dict[str, tuple[str, set[str]]] = {
    ".onnx": (
        "to_onnx",
        {*_COMMON_OPTIONS, "dynamic_size", "fixed_batch", "opset", "threshold", "nms", "classes", "names", "no_fold"},
    ),
    ".aoti.pt2": ("to_compiled", {*_COMMON_OPTIONS, "fixed_batch"}),
    ".pt2": ("to_program", {*_COMMON_OPTIONS, "dynamic_size", "fixed_batch"}),
    ".ts": ("to_torchscript", _COMMON_OPTIONS),
}
"""The function of `darkparse` for each ending, and the options that it takes."""


def find_ending(out: Path) -> str:
    """The longest of the endings that a file's name has; empty where it has none of them."""
    return next((ending for ending in EXPORTERS if out.name.lower().endswith(ending)), "")
