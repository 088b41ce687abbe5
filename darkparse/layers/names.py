"""Suggestions for misspelled names and for names from other frameworks."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from darkparse.diagnostics.source import MAX_QUOTE_LENGTH

MIN_SIMILARITY = 0.65
"""Minimum `difflib` ratio for a suggestion; one wrong letter out of three gives 0.67."""
YOLOR = "YOLOR's, which its PyTorch code runs and no Darknet"
YOLOV5 = "a module of YOLOv5, which is PyTorch and has no cfg"

FOREIGN_KINDS: dict[str, str] = {
    "depthwise": "[convolutional] with groups= and filters= the input's channels is that",
    "pointwise": "[convolutional] with size=1 is that",
    "routelhalf": "[route] with groups=2 group_id=0 takes the first half of the channels",
    "routerhalf": "[route] with groups=2 group_id=1 takes the second half of the channels",
    "route2": "[route] is that",
    "route3": "[route] is that",
    "concat": "[route] with layers= all that is joined is that",
    "add": "[shortcut] with from= is that",
    "select": "it picks some of the channels; [route] with groups= and group_id= takes an equal part of them",
    "se": "squeeze and excitation is [avgpool], two 1×1 [convolutional], and [scale_channels] with from= the map",
    "implicitadd": f"{YOLOR}; its learned constant alone is [implicit]",
    "implicitmul": f"{YOLOR}; its learned constant alone is [implicit]",
    "implicitcat": f"{YOLOR}; its learned constant alone is [implicit]",
    "shiftchannels": f"{YOLOR}: it adds the constant of an [implicit_add]",
    "controlchannels": f"{YOLOR}: it multiplies by an [implicit_mul]; [scale_channels] with from= the map is that",
    "alternatechannels": f"{YOLOR}: it takes channels of two maps in turn; [route] only joins them",
    "selectchannels": f"{YOLOR}: it picks channels; [route] with groups= and group_id= takes an equal part",
    "focus": f"{YOLOV5}; [reorg3d] with stride=2 moves the same values to channels, in another order",
    "depthtospace": "[reorg3d] with reverse=1 comes near",
    "spacetodepth": "[reorg3d] is that",
    "globalavgpool": "[avgpool] is that",
    "linear": "[connected] is that",
    "dense": "[connected] is that",
    "fc": "[connected] is that",
    "relu": "[activation] with activation=relu is that",
    "bn": "[batchnorm] is that",
    "conv": "[convolutional] is that",
} | dict.fromkeys(("c3", "c2f", "bottleneck", "bottleneckcsp", "csp", "spp", "sppf", "detect", "bifpn"), YOLOV5)
"""Darknet's equivalents of sections of other programs, by lowercase name without underscores."""

FOREIGN_ACTIVATIONS: dict[str, str] = {
    "silu": "Darknet's name for it is swish",
    "sigmoid": "Darknet's name for it is logistic",
    "none": "Darknet's name for it is linear",
    "identity": "Darknet's name for it is linear",
    "leakyrelu": "Darknet's name for it is leaky",
    "lrelu": "Darknet's name for it is leaky",
    "prelu": "Darknet has no learned slope; leaky has one of 0.1",
    "hardswish": "Darknet has none; hard_mish is another function",
    "hardsigmoid": "Darknet has none; logistic is the smooth one",
    "softplus": "Darknet has none",
    "softmax": "Darknet has [softmax] as a layer of its own",
}


def describe_unknown_kind(name: str, known_names: Iterable[str]) -> str:
    """Return the end of a message about an unknown section: its equivalent in Darknet or the most similar name."""
    normalized = name.lower().replace("_", "").removesuffix("2d")
    normalized = "depthwise" if normalized.startswith(("depthwise", "dwconv")) else normalized
    if normalized in FOREIGN_KINDS:
        return f": {FOREIGN_KINDS[normalized]}"
    suggestion = find_nearest_name(name, known_names)
    return f"; did you mean [{suggestion}]?" if suggestion else ""


def describe_unknown_activation(name: str, known_names: Iterable[str]) -> str:
    """Return the end of a message about an unknown activation: its equivalent in Darknet or the most similar name."""
    stripped = name.partition("#")[0].partition(";")[0]
    explanation = FOREIGN_ACTIVATIONS.get(stripped.lower().replace("_", ""))
    return f"; {explanation}" if explanation else format_suggestion(name, known_names)


def format_suggestion(name: str, known_names: Iterable[str]) -> str:
    """Return the end of a message about an unknown name; empty if no known name is similar."""
    suggestion = find_nearest_name(name, known_names)
    return f"; did you mean {suggestion}?" if suggestion else ""


def find_nearest_name(word: str, known_names: Iterable[str]) -> str | None:
    """Return the known name most similar to a word; None if none is similar enough.

    Case, surrounding punctuation and comments are ignored (`linear;`, `leaky # x`).
    """
    if len(word) > MAX_QUOTE_LENGTH:
        return None
    typed = word.lower().partition("#")[0].strip(";:,.'\"()<> ")
    by_lowercase = {name.lower(): name for name in known_names}
    matches = get_close_matches(typed, by_lowercase, n=1, cutoff=MIN_SIMILARITY)
    return by_lowercase[matches[0]] if matches else None
