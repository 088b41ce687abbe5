"""`darkparse convert`: convert weights to another file format."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from darkparse.cli.common import CfgType, network_options, print_warnings, reorg_option, report_written, stdout
from darkparse.cli.export import EXPORTERS, ExportOptions, check_export, export, export_options, find_ending
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.other_formats import OTHER_FORMATS
from darkparse.errors import DarkparseError
from darkparse.network import compile
from darkparse.network.compile_options import CompileOptions
from darkparse.weights import LoadedArrays, ReadOptions, compute_layout, open_source, read
from darkparse.weights.arrays import read_for
from darkparse.weights.containers import get_container_kind

if TYPE_CHECKING:
    from darkparse.syntax import Config


@dataclass(frozen=True, slots=True)
class ConvertJob:
    """Parameters of `darkparse convert`."""

    source: tuple[str | Config, ...]
    out: Path
    compile_options: CompileOptions
    upto: int | None
    partial: bool
    header_size: str | None
    seen: int | None
    file_version: str | None
    widen: bool
    export: ExportOptions
    verify: bool | None


Target = Callable[[LoadedArrays, ConvertJob], str]
"""Writes the arrays of a network to `job.out` and returns a description of the file."""


def write_weights(loaded: LoadedArrays, job: ConvertJob) -> str:
    """Write a `.weights` file."""
    size = loaded.save(job.out, upto=job.upto, seen=job.seen, version=job.file_version, widen=job.widen)
    return f"{size:,} bytes{verify_file(loaded, job)}"


def write_container(loaded: LoadedArrays, job: ConvertJob) -> str:
    """Write a `.safetensors`, `.pt` or `.npz` file, which contains its cfg."""
    if job.seen is not None or job.file_version is not None:
        raise click.UsageError("--seen and --file-version only apply to .weights files")
    if get_container_kind(job.out) == "pt":
        from darkparse.model import load, save

        # Use the order of the module's state_dict, because other programs may match tensors by position.
        complete = replace(loaded, stored=loaded.arrays)
        size = save(load(loaded.network, complete), job.out, upto=job.upto)
    else:
        size = loaded.save(job.out, upto=job.upto)
    return f"{size:,} bytes{verify_file(loaded, job)}"


def write_export(loaded: LoadedArrays, job: ConvertJob) -> str:
    """Write a file for another runtime: `.onnx`, `.pt2`, `.ts`, `.aoti.pt2` or `.tflite`."""
    return export(loaded, job.out, job.export, verify=bool(job.verify))


def verify_file(loaded: LoadedArrays, job: ConvertJob) -> str:
    """Read the new file and compare every tensor that it should contain."""
    if not job.verify:
        return ""
    out, entries = job.out, compute_layout(loaded.network, job.upto)
    floats = out.stat().st_size - 4 * sum(entry.size for entry in entries)
    loaded.file.release_pages()  # so that two whole files are never in memory at once
    again = read_for(
        loaded.network, out, ReadOptions(upto=job.upto, header_size=floats if floats in (16, 20) else None)
    )
    for entry in entries:
        a, b = (source.arrays[entry.name].read()[: entry.tensor.rows] for source in (loaded, again))
        if not np.array_equal(a.view(np.uint32), b.view(np.uint32)):
            raise DarkparseError(f"{out} was written, but reading it back differs at {entry.name}; check the disk")
        for source in (loaded, again):
            source.file.release_pages()
    return ", verified"


# One line per file format: extension and writer. Writers that need a heavy library import it inside the function.
TARGETS: dict[str, Target] = {
    ".weights": write_weights,
    ".safetensors": write_container,
    ".pt": write_container,
    ".pth": write_container,
    ".npz": write_container,
    **dict.fromkeys(EXPORTERS, write_export),
}


@click.command(name="convert", cls=HelpCommand)
@click.argument("source", nargs=-1, required=True, type=CfgType(), metavar="[CFG] WEIGHTS")
@click.option(
    "-o",
    "--out",
    "--output",
    "out",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write; its extension selects the format.",
)
@network_options
@click.option("--upto", type=int, metavar="N", help="Write only the layers before layer N (a backbone).")
@click.option("--partial", is_flag=True, help="Accept a file that ends after any layer.")
@click.option(
    "--header-size",
    type=click.Choice(["16", "20"]),
    show_default="from its version",
    help="Size of the .weights header in bytes.",
)
@reorg_option
@click.option("--seen", type=click.IntRange(min=0), help="Image count to write in the .weights header.")
@click.option("--file-version", metavar="VERSION", help="Version to write in the .weights header, e.g. 0.2.5.")
@click.option("--widen", is_flag=True, help="Convert float16 values to float32 if needed.")
@export_options
@click.option(
    "--verify/--no-verify",
    default=None,
    show_default="verify, except ONNX",
    help="Read or run the written file and compare.",
)
@takes(ConvertJob)
def command(job: ConvertJob) -> None:
    """Convert weights to another format.

    The extension of --out selects the format: .weights, .safetensors, .pt and .npz contain weights; .onnx, .pt2
    (torch.export), .ts (TorchScript), .aoti.pt2 (AOTInductor) and .tflite (requires litert-torch) run without
    darkparse.

    Also reads Keras .h5 files and state dicts of pytorch-YOLOv4, ultralytics/yolov3 and PyTorch-YOLOv3. CFG can be
    omitted for .safetensors, .pt and .npz files written by darkparse, which contain it.

    \b
    Examples:
      darkparse convert yolov3 yolov3.weights -o yolov3.safetensors
      darkparse convert yolov3.safetensors -o yolov3.weights
      darkparse convert yolov3 last.pt -o last.weights
      darkparse convert yolov3 yolov3.weights --upto 74 -o darknet53.conv.74
      darkparse convert yolov3 yolov3.weights -o yolov3.onnx --heads nms
    """
    target = find_target(job.out)
    inputs = [Path(argument) for argument in job.source if isinstance(argument, str)]
    if job.out.exists() and any(path.exists() and job.out.samefile(path) for path in inputs):
        raise click.UsageError(f"{job.out} is also an input; choose another output")
    if target is not write_export and job.export.used_options():
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(job.export.used_options()))
        raise click.UsageError(f"{flags} does not apply to {job.out.suffix} files")
    if target is write_export:
        check_export(job.out, job.export)
    if target is write_export and job.upto is not None:
        raise click.UsageError(
            "--upto writes a backbone's weights; for the network itself: "
            f"darkparse edit CFG --upto {job.upto} -o NEW.cfg"
        )
    if len(job.source) > 2:
        raise click.UsageError("missing weights; expected a cfg and its weights, or a file that contains its cfg")
    start = time.perf_counter()
    cfg, weights = job.source[0], job.source[1] if len(job.source) == 2 else None
    if not isinstance(weights, str | None):
        raise click.UsageError("only a cfg can be read from standard input; pass the weights as a file")
    header_size = int(job.header_size) if job.header_size else None
    read_options = ReadOptions(upto=job.upto, allow_partial=job.partial, header_size=header_size)
    loaded = read(cfg, weights, read_options, replace(job.compile_options, strict=False))
    if loaded is None:
        raise _missing_weights_error(cfg, job.out)
    if job.verify is None:
        # ONNX files are not run by default, because that requires torch.
        job = replace(job, verify=find_ending(job.out) != ".onnx" or job.export.image is not None)
    network = loaded.network
    if job.compile_options.strict and network.diagnostics:
        compile(network.config, CompileOptions(dialect=network.dialect.name, strict=True))
    print_warnings(network)
    summary = target(loaded, job)
    console = stdout()
    if job.partial or job.upto is not None:
        console.print(str(loaded.loaded), soft_wrap=True)
    seconds = time.perf_counter() - start
    report_written(job.out, f"{network.name}, {summary}, in {seconds:.1f} s")


def find_target(out: Path) -> Target:
    """Return the writer for a file name; names such as `darknet53.conv.74` are `.weights` files too."""
    if re.fullmatch(r"\.\d+", out.suffix):
        return TARGETS[".weights"]
    ending = find_ending(out) or out.suffix.lower()
    if ending in OTHER_FORMATS:
        raise click.UsageError(f"{out}: darkparse does not write {ending} files\nhint: {OTHER_FORMATS[ending]}")
    if ending not in TARGETS:
        got = f"extension {ending}" if ending else "a name without an extension"
        raise click.UsageError(f"{out}: unsupported output format, got {got}; expected one of {', '.join(TARGETS)}")
    return TARGETS[ending]


def _missing_weights_error(cfg: str | Config, out: Path) -> DarkparseError:
    """Return the error for a single argument that has no weights, or whose cfg is unknown."""
    name = cfg if isinstance(cfg, str) else "-"
    if isinstance(cfg, str) and Path(cfg).is_file() and not cfg.endswith(".cfg"):
        file_type = open_source(cfg).file_type
        if file_type is None:
            return DarkparseError(f"{name} does not contain its cfg\nhint: darkparse convert CFG {name} -o {out}")
        if file_type.code != "cfg":
            compile(cfg)  # raises the error of the cfg
    return DarkparseError(
        f"{name} is a cfg, but the weights are missing\nhint: darkparse convert {name} WEIGHTS -o {out}"
    )
