"""`darkparse convert`: weights from one container to another."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from darkparse.cli.common import CfgType, network_options, print_warnings, reorg_option, report_written, stdout
from darkparse.cli.export import EXPORTERS, ExportOptions, check_export, export, export_options, find_ending
from darkparse.errors import DarkparseError
from darkparse.network import compile
from darkparse.network.compile_options import CompileOptions
from darkparse.weights import LoadedArrays, ReadOptions, compute_layout, open_source, read
from darkparse.weights.arrays import read_for
from darkparse.weights.containers import get_container_kind

if TYPE_CHECKING:
    from darkparse.syntax import Config


@dataclass(frozen=True, slots=True)
class Options:
    """What a target may want to know besides the module."""

    upto: int | None
    seen: int | None
    file_version: str | None
    widen: bool
    verify: bool
    export: ExportOptions


Target = Callable[[LoadedArrays, Path, Options], str]
"""Writes a network's arrays to a file and returns a sentence that says what was written."""


def write_weights(loaded: LoadedArrays, out: Path, options: Options) -> str:
    """A `.weights` file."""
    size = loaded.save(out, upto=options.upto, seen=options.seen, version=options.file_version, widen=options.widen)
    return f"{size:,} bytes{verify_file(loaded, out, options)}"


def write_container(loaded: LoadedArrays, out: Path, options: Options) -> str:
    """A `.safetensors`, `.pt` or `.npz` file, which knows its cfg."""
    if options.seen is not None or options.file_version is not None:
        raise click.UsageError("--seen and --file-version belong to .weights files")
    if get_container_kind(out) == "pt":
        from darkparse.model import load, save

        # A module's state_dict has its own order, by which other programs may match its tensors.
        complete = replace(loaded, stored=loaded.arrays)
        size = save(load(loaded.network, complete), out, upto=options.upto)
    else:
        size = loaded.save(out, upto=options.upto)
    return f"{size:,} bytes{verify_file(loaded, out, options)}"


def write_export(loaded: LoadedArrays, out: Path, options: Options) -> str:
    """A file that runs elsewhere: `.onnx`, `.pt2`, `.ts`, `.aoti.pt2`."""
    return export(loaded, out, options.export, verify=options.verify)


def verify_file(loaded: LoadedArrays, out: Path, options: Options) -> str:
    """Read the new file and compare every tensor that it should hold."""
    if not options.verify:
        return ""
    entries = compute_layout(loaded.network, options.upto)
    floats = out.stat().st_size - 4 * sum(entry.size for entry in entries)
    loaded.file.release_pages()  # so that never two whole files are in memory
    again = read_for(
        loaded.network, out, ReadOptions(upto=options.upto, header_size=floats if floats in (16, 20) else None)
    )
    for entry in entries:
        a, b = (source.arrays[entry.name].read()[: entry.tensor.rows] for source in (loaded, again))
        if not np.array_equal(a.view(np.uint32), b.view(np.uint32)):
            raise DarkparseError(f"{out} was written, and reads back otherwise at {entry.name}: is the disk sound?")
        for source in (loaded, again):
            source.file.release_pages()
    return ", read back and the same"


# One line a kind of file: the ending of OUT, and what writes it. A target that needs a heavy library imports it inside.
TARGETS: dict[str, Target] = {
    ".weights": write_weights,
    ".safetensors": write_container,
    ".pt": write_container,
    ".pth": write_container,
    ".npz": write_container,
    **dict.fromkeys(EXPORTERS, write_export),
}

EXTERNAL_TOOLS = {
    ".engine": "write .onnx, of which TensorRT makes .engine files: trtexec --onnx=X.onnx --saveEngine=X.engine",
    ".tflite": "write .onnx, of which onnx2tf makes .tflite: onnx2tf -i X.onnx",
    ".mlpackage": "write .pt2, of which Core ML makes packages: coremltools.convert(torch.export.load('X.pt2'))",
    ".xml": "write .onnx, of which OpenVINO makes .xml files: ovc X.onnx",
}
"""What makes the files of runtimes that have a tool of their own."""


@click.command(name="convert")
@click.argument("source", nargs=-1, required=True, type=CfgType(), metavar="CFG WEIGHTS | FILE")
@click.option(
    "-o",
    "--out",
    "--output",
    "out",
    required=True,
    type=click.Path(path_type=Path),
    help="Where to write; its ending chooses what.",
)
@network_options
@click.option("--upto", type=int, metavar="N", help="Write only the layers before layer N: a backbone.")
@click.option("--partial", is_flag=True, help="Accept a file that ends exactly after a layer; the rest is initialized.")
@click.option(
    "--header-size",
    type=click.Choice(["16", "20"]),
    help="Read a .weights header of this many bytes, whatever its version says.",
)
@reorg_option
@click.option("--seen", type=click.IntRange(min=0), help="Number of images seen, to be written in the header.")
@click.option("--file-version", metavar="0.2.5", help="Version to be written in the header.")
@click.option("--widen", is_flag=True, help="Convert half precision to float32 where the target needs that.")
@export_options
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Read or run the new file and compare; by default all but ONNX, whose structure is checked.",
)
def command(
    source: tuple[str | Config, ...],
    out: Path,
    size: int | tuple[int, int] | None,
    dialect: str,
    strict: bool,
    upto: int | None,
    partial: bool,
    header_size: str | None,
    reorg: str | None,
    seen: int | None,
    file_version: str | None,
    widen: bool,
    verify: bool | None,
    **export_params: Any,
) -> None:
    """Convert the weights of a cfg to another kind of file, which the ending of OUT chooses.

    .weights, .safetensors, .pt and .npz are read and written. State dicts of pytorch-YOLOv4, ultralytics/yolov3 and
    PyTorch-YOLOv3 are read too, by position and shape. The files that darkparse writes know their cfg:

    \b
    darkparse convert yolov3 yolov3.weights -o yolov3.safetensors
    darkparse convert yolov3.safetensors -o yolov3.weights
    darkparse convert yolov3 last.pt -o last.weights
    darkparse convert yolov3 yolov3.weights --upto 74 -o darknet53.conv.74

    .onnx, .pt2 (torch.export), .ts (TorchScript) and .aoti.pt2 (AOTInductor) run elsewhere; ONNX is written without
    torch:

    \b
    darkparse convert yolov3 yolov3.weights -o yolov3.onnx --heads nms --dynamic-size
    """
    target = find_target(out)
    inputs = [Path(argument) for argument in source if isinstance(argument, str)]
    if out.exists() and any(path.exists() and out.samefile(path) for path in inputs):
        raise click.UsageError(f"{out} is to be read: choose another name to write")
    export_settings = ExportOptions(**export_params)
    if target is not write_export and export_settings.used_options():
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(export_settings.used_options()))
        raise click.UsageError(f"{flags} does not apply to {out.suffix} files")
    if target is write_export:
        check_export(out, export_settings)
    if target is write_export and upto is not None:
        raise click.UsageError(
            f"--upto writes a backbone's weights; for the network itself: darkparse edit CFG --upto {upto} -o NEW.cfg"
        )
    if len(source) > 2:
        raise click.UsageError("give a cfg and its weights, or one file that knows its cfg")
    start = time.perf_counter()
    cfg, weights = source[0], source[1] if len(source) == 2 else None
    if not isinstance(weights, str | None):
        raise click.UsageError("only the cfg is read from standard input: name a file of weights")
    compile_options = CompileOptions(size=size, dialect=dialect, reorg=reorg)
    read_options = ReadOptions(upto=upto, allow_partial=partial, header_size=int(header_size) if header_size else None)
    loaded = read(cfg, weights, read_options, compile_options)
    if loaded is None:
        raise _missing_weights_error(cfg, out)
    is_onnx = find_ending(out) == ".onnx"
    runs_by_default = not is_onnx or export_settings.image is not None
    options = Options(upto, seen, file_version, widen, runs_by_default if verify is None else verify, export_settings)
    network = loaded.network
    if strict and network.diagnostics:
        compile(network.config, CompileOptions(dialect=network.dialect.name, strict=True))
    print_warnings(network)
    summary = target(loaded, out, options)
    console = stdout()
    if partial or upto is not None:
        console.print(str(loaded.loaded), soft_wrap=True)
    seconds = time.perf_counter() - start
    report_written(out, f"{network.name}, {summary}, in {seconds:.1f} s")


def find_target(out: Path) -> Target:
    """What writes a file of this name; `darknet53.conv.74` is a `.weights` file too."""
    if re.fullmatch(r"\.\d+", out.suffix):
        return TARGETS[".weights"]
    ending = find_ending(out) or out.suffix.lower()
    if ending in EXTERNAL_TOOLS:
        raise click.UsageError(f"{out}: {EXTERNAL_TOOLS[ending]}")
    if ending not in TARGETS:
        raise click.UsageError(
            f"{out}: {ending or 'a name without an ending'} is no target; choose one of {', '.join(TARGETS)}"
        )
    return TARGETS[ending]


def _missing_weights_error(cfg: str | Config, out: Path) -> DarkparseError:
    """Return the error for a lone argument that holds no weights, or whose cfg is not known."""
    name = cfg if isinstance(cfg, str) else "-"
    if isinstance(cfg, str) and Path(cfg).is_file() and not cfg.endswith(".cfg"):
        file_type = open_source(cfg).file_type
        if file_type is None:
            return DarkparseError(f"{name} does not know its cfg: darkparse convert CFG {name} -o {out}")
        if file_type.code != "cfg":
            compile(cfg)  # says what is wrong with it
    return DarkparseError(
        f"{name} is a cfg: which weights are to be converted? darkparse convert {name} WEIGHTS -o {out}"
    )
