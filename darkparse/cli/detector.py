"""Arguments and options of the detector that a command runs, and its loading."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkparse.cli.common import (
    CfgType,
    dialect_option,
    print_warnings,
    reorg_option,
    setting_option,
    size_option,
    stderr,
)
from darkparse.datasets.formats import is_dataset, open_dataset
from darkparse.datasets.names import find_class_ids, find_shipped_origin
from darkparse.detect.engines.engine import DTYPES, ENGINES
from darkparse.errors import DarkparseError
from darkparse.network.compile_options import CompileOptions
from darkparse.network.detection_settings import CHANNEL_ORDERS, EXIF_MODES, DetectionSettings

if TYPE_CHECKING:
    from darkparse.datasets.names import Names
    from darkparse.detect.detector import Detector
    from darkparse.network.compile_options import CfgLike
    from darkparse.syntax import Config
    from darkparse.weights import LoadedArrays


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """The parameters that `model_options` and `detector_options` add to a command."""

    cfg: str | Config
    weights: str
    compile_options: CompileOptions
    resize: str | None
    names: str | None = None
    use_class_map: bool = False
    device: str | None = None
    dtype: str | None = None
    engine: str = "auto"


class EngineType(click.Choice):  # type: ignore[type-arg]
    """Name of an engine."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("ray", "local"):
            self.fail("--engine selects the runtime of the network; use --ray for a Ray cluster", param, ctx)
        return super().convert(value, param, ctx)


MODEL_OPTIONS = (
    click.argument("cfg", type=CfgType()),
    click.argument("weights", type=click.Path(dir_okay=False)),
    dialect_option,
    click.option(
        "--resize",
        type=click.Choice(["letterbox", "stretch", "crop"]),
        show_default="from the dialect",
        help="How to fit an image into the input.",
    ),
    size_option,
    reorg_option,
)
device_option = click.option(
    "--device", metavar="DEVICE", show_default="GPU if available", help="Device to run on, e.g. cuda:1."
)
batch_option = click.option(
    "--batch", type=click.IntRange(1), show_default="1 on CPU, 16 on GPU", help="Images per batch."
)
dtype_option = click.option(
    "--dtype", type=click.Choice(DTYPES), show_default="float32, or that of the weights", help="Dtype to compute in."
)
DETECTOR_OPTIONS = (
    click.option(
        "--names",
        type=click.Path(),
        show_default="beside the cfg, else COCO or VOC",
        help="Class names (.names or .data file).",
    ),
    click.option("--use-class-map", is_flag=True, help="Score the classes of map= instead of the WordTree."),
    device_option,
    dtype_option,
    click.option(
        "--engine",
        type=EngineType([*ENGINES, "auto"]),
        default="auto",
        help="Engine that runs the network (auto: torch on a GPU, else the fastest installed).",
    ),
)


def detector_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add CFG, WEIGHTS and the options that control how the network is read and run."""
    return model_options(_apply(DETECTOR_OPTIONS, function))


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add CFG, WEIGHTS and the options that control how the network is read."""
    return _apply(MODEL_OPTIONS, function)


def _apply(options: Iterable[Callable[..., Any]], function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(tuple(options)):
        function = option(function)
    return function


def image_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that control how images are read."""
    orders = click.Choice(CHANNEL_ORDERS)
    function = setting_option("--channels", type=orders, help="Channel order of .npy files.")(function)
    exif_help = "Apply EXIF orientation (auto: as the Darknet fork does)."
    return setting_option("--exif", type=click.Choice(EXIF_MODES), help=exif_help)(function)


class ClassesType(click.ParamType):  # type: ignore[type-arg]
    """Classes by name or number: `person,dog`."""

    name = "NAMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        classes = tuple(name for name in map(str.strip, value.split(",")) if name)
        if not classes:
            self.fail(f"expected class names or numbers, e.g. person,dog, got {value!r}", param, ctx)
        return classes


classes_option = click.option("--classes", type=ClassesType(), help="Use only these classes (comma-separated).")


def hide_classes(detector: Detector, settings: DetectionSettings) -> DetectionSettings:
    """Return settings without the classes that the dialect's Darknet hides by their names.

    Raises:
        DarkparseError: No class remains.
    """
    prefix = detector.network.dialect.hidden_class_prefix
    if prefix is None or not any(name.startswith(prefix) for name in detector.names):
        return settings
    selected = find_class_ids(detector.names, settings.classes or range(len(detector.names)))
    visible = tuple(i for i in selected if not detector.names[i].startswith(prefix))
    if not visible:
        raise DarkparseError(f"no class to detect: the names of all selected classes start with {prefix!r}")
    return replace(settings, classes=visible)


def find_names_file(inputs: Iterable[str]) -> str | None:
    """Return the data set among some inputs that has class names; None if there is none."""
    data = (path for text in inputs if (path := Path(text)).is_file() and is_dataset(path))
    return next((str(path) for path in data if {"names", "labels"} & set(open_dataset(path).keys)), None)


def load_detector(options: DetectorOptions, *, fold: bool = True) -> Detector:
    """Load the detector of a command; print an engine that was selected, and warnings about the cfg, to stderr."""
    from darkparse.detect import Detector

    cfg: CfgLike = options.cfg
    weights: str | LoadedArrays = options.weights
    names: Names | None = options.names
    detector = Detector.load(
        cfg,
        weights,
        names=names,
        resize=options.resize,
        device=options.device,
        dtype=options.dtype,
        compile_options=options.compile_options,
        use_class_map=options.use_class_map,
        fold=fold,
        engine=options.engine,
    )
    print_warnings(detector.network)
    if options.engine == "auto":
        stderr().print(f"note: using engine {detector.engine.name}; --engine selects another", style="dim")
    return detector


def load_named_detector(options: DetectorOptions) -> Detector:
    """Load the detector of a command that prints class names; report default names on standard error."""
    detector = load_detector(options)
    if options.names is None and (origin := find_shipped_origin(detector.network, len(detector.names))):
        stderr().print(
            f"note: using the class names of {origin}, which also has {len(detector.names)} classes; to use others: "
            "--names FILE",
            style="dim",
            soft_wrap=True,
        )
    return detector
