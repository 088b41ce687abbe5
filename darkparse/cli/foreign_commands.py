"""Translation of command lines of Darknet and other tools to the equivalent darkparse command.

This is the table of docs/darknet.md as data. It is used only after a command line was rejected, for the error's hint.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from pathlib import PurePath

DARKNET_COMMANDS: dict[tuple[str, ...], tuple[str, str]] = {
    ("detector", "test"): ("DATA CFG WEIGHTS", "detect CFG WEIGHTS IMAGE --names DATA"),
    ("detector", "demo"): ("DATA CFG WEIGHTS", "detect CFG WEIGHTS IMAGE --names DATA"),
    ("detector", "train"): ("DATA CFG WEIGHTS", "train DATA CFG [WEIGHTS]"),
    ("detector", "map"): ("DATA CFG WEIGHTS", "evaluate CFG WEIGHTS --images DATA --rule darknet"),
    ("detector", "recall"): ("DATA CFG WEIGHTS", "evaluate CFG WEIGHTS --images DATA --rule darknet"),
    ("detector", "valid"): (
        "DATA CFG WEIGHTS",
        "detect CFG WEIGHTS DATA --threshold .005 --format coco > results.json",
    ),
    ("detector", "calc_anchors"): ("DATA", "anchors DATA"),
    ("classifier", "predict"): ("DATA CFG WEIGHTS", "detect CFG WEIGHTS IMAGE --names DATA"),
    ("classifier", "train"): ("DATA CFG WEIGHTS", "train DATA CFG [WEIGHTS]"),
    ("classifier", "valid"): ("DATA CFG WEIGHTS", "evaluate CFG WEIGHTS --images DATA"),
    ("yolo", "test"): ("CFG WEIGHTS", "detect CFG WEIGHTS IMAGE"),
    ("coco", "test"): ("CFG WEIGHTS", "detect CFG WEIGHTS IMAGE"),
    ("partial",): ("CFG WEIGHTS OUT LAYERS", "convert CFG WEIGHTS --upto LAYERS --seen 0 -o partial.weights"),
    ("reset",): ("CFG WEIGHTS OUT", "convert CFG WEIGHTS --seen 0 -o reset.weights"),
    ("ops",): ("CFG", "show CFG"),
    ("statistics",): ("CFG WEIGHTS", "weights CFG WEIGHTS"),
    ("visualize",): ("CFG", "draw CFG -o network.svg"),
}
"""First words of a Darknet command → the files that follow, in order, and the darkparse command."""

OTHER_COMMANDS: dict[str, str] = {
    **dict.fromkeys(("predict", "infer", "inference", "detector", "classify"), "detect CFG WEIGHTS IMAGE"),
    **dict.fromkeys(("val", "valid", "validate", "test", "eval"), "evaluate CFG WEIGHTS --images DATA"),
    "export": "convert CFG WEIGHTS -o network.onnx",
    **dict.fromkeys(("info", "summary"), "show CFG"),
    **dict.fromkeys(("plot", "graph", "visualise"), "draw CFG -o network.svg"),
    **dict.fromkeys(("fit", "finetune", "classifier"), "train DATA CFG [WEIGHTS]"),
    **dict.fromkeys(("kmeans", "autoanchor", "calc_anchors"), "anchors DATA"),
    **dict.fromkeys(("lint", "verify"), "check CFG"),
    "inspect": "weights CFG WEIGHTS",
    "compile": "emit CFG",
}
"""First word of another tool's command (ultralytics and others) → the darkparse command."""

OPTIONS: dict[str, str] = {
    **dict.fromkeys(("thresh", "conf", "conf-thres", "conf_thres"), "--threshold {}"),
    **dict.fromkeys(("nms", "iou", "iou-thres", "iou_thres"), "--nms {}"),
    "iou_thresh": "--iou {}",
    "hier": "--hierarchy {}",
    "t": "--top {}",
    "num_of_clusters": "--clusters {}",
    **dict.fromkeys(("out", "out_filename", "prefix", "project"), "--out {}"),
    **dict.fromkeys(("imgsz", "img", "img-size", "width"), "--size {}"),
    "height": "{:.0}",  # Darknet also sets the size by its height; it is nearly always square
    "batch-size": "--batch {}",
    "device": "--device {}",
    "i": "--device cuda:{}",
    "nogpu": "--device cpu",
    **dict.fromkeys(("map", "topk"), "--map"),
    "clear": "--clear",
    "letter_box": "--resize letterbox",
    **dict.fromkeys(("save_labels", "save-txt"), "--out results --save yolo"),
    **dict.fromkeys(("points", "mjpeg_port", "json_port", "epochs"), "{:.0}"),  # no counterpart; the value is dropped
    **dict.fromkeys(("dont_show", "ext_output", "benchmark", "show", "ext", "save"), ""),
}
"""Another tool's option, without dashes → darkparse's; `{}` stands for its value."""

RENAMED_OPTIONS = {"--map": "--use-class-map"}
"""An option that only some commands have → its counterpart in the others."""

FILE_OPTIONS = {"model": "", "weights": "", "cfg": "CFG", "source": "IMAGE", "c": "IMAGE", "data": "DATA"}
"""Another tool's option that names a file → role of the file, or "" to guess it from the extension."""


def translate(args: list[str], own_options: Collection[str] = ()) -> str | None:
    """Return the darkparse command line that is equivalent to another tool's; None if none is known.

    Args:
        args: The words after `darkparse`.
        own_options: The options of the darkparse command that `args` begin with, dashes included; empty if they begin
            with another word.
    """
    words = list(_split_assignments(args))
    if own_options:
        return _replace_options(words, own_options)
    if words and PurePath(words[0]).stem == "darknet":
        words.pop(0)
    for length in (2, 1):
        if command := DARKNET_COMMANDS.get(tuple(words[:length])):
            roles, template = command
            return _fill_in(template, words[length:], roles.split())
    if words and words[0] in OTHER_COMMANDS:
        return _fill_in(OTHER_COMMANDS[words[0]], words[1:], [])
    return None


def _split_assignments(words: list[str]) -> Iterator[str]:
    """Yield `conf=.5` and `--conf=.5` as `-conf .5`, and other words unchanged."""
    for word in words:
        name, equals, value = word.partition("=")
        yield from (f"-{name.lstrip('-')}", value) if equals and name.lstrip("-") in OPTIONS | FILE_OPTIONS else (word,)


def _fill_in(template: str, words: list[str], roles: list[str]) -> str:
    """Insert the files and options among `words` into a template, in which missing files remain words in capitals."""
    files: dict[str, list[str]] = {}
    plain, options, gpus = [], [], 1
    rest = iter(words)
    for word in rest:
        name = word.lstrip("-")
        if name == word:
            plain.append(word)
        elif name == "gpus":
            gpus = len(next(rest, "0").split(","))
        elif name in FILE_OPTIONS:
            file = next(rest, "0")
            camera = name == "c" and file.isdecimal()
            files.setdefault(FILE_OPTIONS[name] or _guess_role(file), []).append(
                f"/dev/video{file}" if camera else file
            )
        elif name in OPTIONS and (OPTIONS[name] != "--map" or template.startswith("train ")):  # -map is for training
            options += _translate_option(name, rest)
    for index, file in enumerate(plain):
        role = _guess_role(file) if not roles else (*roles, *["IMAGE"] * len(plain))[index]
        files.setdefault(role, []).append(file)
    filled: list[str] = []
    for word in template.split():
        role = word.strip("[]")
        if role in files:
            filled += map(shlex.quote, files[role])
        elif role == word:
            filled.append(word)
    return _with_processes([*filled, *options], gpus)


def _translate_option(name: str, rest: Iterator[str]) -> list[str]:
    """Return darkparse's words for an option; take its value from `rest` if it has one."""
    text = OPTIONS[name]
    return text.format(shlex.quote(next(rest, "…"))).split() if "{" in text else text.split()


def _replace_options(words: list[str], own_options: Collection[str]) -> str | None:
    """Return a darkparse command line with the options of other tools replaced; None if it has none."""
    replaced, gpus, changed = [], 1, False
    rest = iter(words)
    for word in rest:
        name = word.lstrip("-")
        if word == name or word in own_options:
            replaced.append(shlex.quote(word))
            continue
        changed = True
        if name == "gpus":
            gpus = len(next(rest, "0").split(","))
        elif name in OPTIONS:
            translated = [_find_own_name(new, own_options) for new in _translate_option(name, rest)]
            if any(new.startswith("--") and new not in own_options for new in translated):
                return None
            replaced += translated
        else:
            return None
    return _with_processes(replaced, gpus) if changed else None


def _find_own_name(word: str, own_options: Collection[str]) -> str:
    """Return an option under the command's own name for it, and other words unchanged."""
    return word if word in own_options else RENAMED_OPTIONS.get(word, word)


def _with_processes(words: list[str], gpus: int) -> str:
    """Return the command line of some words, run by torchrun for more than one GPU."""
    program = f"torchrun --nproc-per-node {gpus} -m darkparse" if gpus > 1 else "darkparse"
    return " ".join([program, *words])


def _guess_role(file: str) -> str:
    """Guess the role of a file from its name: CFG, WEIGHTS, DATA or IMAGE."""
    name = PurePath(file).name.lower()
    if name.endswith((".data", ".yaml", ".yml")):
        return "DATA"
    if name.endswith((".weights", ".backup", ".pt", ".pth", ".safetensors", ".npz")) or ".conv." in name:
        return "WEIGHTS"
    return "CFG" if name.endswith(".cfg") or "." not in name else "IMAGE"
