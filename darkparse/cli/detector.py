"""The detector that a command runs: its arguments and options, and loading it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkparse.cli.common import CfgType, SizeType, dialect_option, print_warnings, reorg_option, setting_option
from darkparse.datasets.data_file import DataFile
from darkparse.detect.engines.engine import ENGINES, choose_engine, has_gpu
from darkparse.network.compile_options import CompileOptions
from darkparse.network.detection_settings import CHANNEL_ORDERS, EXIF_MODES

if TYPE_CHECKING:
    from darkparse.detect.detector import Detector

NETWORK = ("names", "dialect", "resize", "size", "reorg", "use_class_map")
RUNNING = ("device", "half", "batch", "workers", "engine")
"""Names of options, for the headings of a help text."""


class EngineType(click.Choice):  # type: ignore[type-arg]
    """What runs a network."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("ray", "local"):
            self.fail("--engine says what runs the network now; --ray is for a Ray cluster", param, ctx)
        return super().convert(value, param, ctx)


def detector_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """CFG, WEIGHTS and the options that make a detector."""
    options = (
        click.argument("cfg", type=CfgType()),
        click.argument("weights", type=click.Path(dir_okay=False)),
        click.option(
            "--names",
            type=click.Path(),
            help="A .names or .data file; else the .names beside the cfg, or COCO's or VOC's.",
        ),
        dialect_option,
        click.option(
            "--resize",
            type=click.Choice(["letterbox", "stretch", "crop"]),
            help="By default what the dialect's Darknet does.",
        ),
        click.option("--size", type=SizeType(), help="Input size instead of the cfg's, height first."),
        reorg_option,
        click.option(
            "--map",
            "use_class_map",
            is_flag=True,
            help="Score the classes of the head's map= instead of its word tree.",
        ),
        click.option("--device", help="cpu, cuda, cuda:1, …; by default the GPU if there is one."),
        click.option("--half", is_flag=True, help="Run in half precision."),
        click.option(
            "--engine",
            type=EngineType([*ENGINES, "auto"]),
            default="torch",
            show_default=True,
            help="What runs the network; onnxruntime and openvino load without torch, auto takes the fastest.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def image_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How pictures are read."""
    turn = "Turn pictures as their EXIF note says; auto: where the dialect's Darknet does."
    function = setting_option("--channels", type=click.Choice(CHANNEL_ORDERS), help="Order of colours in .npy files.")(
        function
    )
    return setting_option("--exif", type=click.Choice(EXIF_MODES), help=turn)(function)


def detector_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Take what `detector_options` made out of a command's arguments: the arguments of `Detector.load`."""
    names = ("cfg", "weights", "names", "resize", "use_class_map", "device", "engine")
    detector_kwargs = {name: options.pop(name) for name in names}
    detector_kwargs["compile_options"] = CompileOptions(
        size=options.pop("size"), dialect=options.pop("dialect"), reorg=options.pop("reorg")
    )
    if options.pop("half"):
        choose_engine(detector_kwargs["engine"], wants_torch=True)
        import torch

        detector_kwargs["dtype"] = torch.float16
    return detector_kwargs


def find_names_file(inputs: Iterable[str]) -> str | None:
    """The `.data` file among some inputs that says names, if there is one."""
    data = (Path(text) for text in inputs if text.lower().endswith(".data") and Path(text).is_file())
    return next((str(path) for path in data if {"names", "labels"} & set(DataFile.read(path).options)), None)


def load_detector(detector_kwargs: dict[str, Any]) -> Detector:
    """The detector that a command's arguments ask for. Warnings about the cfg go to standard error."""
    from darkparse.detect import Detector
    from darkparse.detect.task import check_detector
    from darkparse.weights import read

    detector_kwargs, device = dict(detector_kwargs), detector_kwargs["device"]
    if detector_kwargs["engine"] == "auto" and device is None and find_spec("torch") and has_gpu():
        detector_kwargs["engine"] = "torch"
    wants_torch = device not in (None, "cpu") or detector_kwargs.get("dtype") is not None
    detector_kwargs["engine"] = choose_engine(detector_kwargs["engine"], wants_torch=wants_torch)
    if detector_kwargs["engine"] == "torch" and device is None:
        names, use_class_map = detector_kwargs["names"], detector_kwargs["use_class_map"]
        loaded = read(
            detector_kwargs["cfg"],
            detector_kwargs["weights"],
            compile_options=detector_kwargs["compile_options"],
        )
        if loaded is not None:
            names = check_detector(loaded.network, names, use_class_map=use_class_map)
            detector_kwargs |= {"cfg": loaded.network, "weights": loaded, "names": names}
        import torch

        detector_kwargs["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    detector = Detector.load(**detector_kwargs)
    print_warnings(detector.network)
    return detector
