"""Section kinds, options and activations of other programs, with their equivalents in Darknet."""

from __future__ import annotations

LOWER = "`darkparse lower CFG STATE -o OUT.cfg OUT.weights` rewrites the cfg with its state dict"
YOLOR = "only YOLOR's PyTorch code supports it"
YOLOV5 = "YOLOv5 module, available in PyTorch only"
IMPLICIT = f"{YOLOR}; [implicit] provides its learned constant"
LOWERED_IMPLICIT = f"{IMPLICIT}; {LOWER}"
PART = "[route] with groups= and group_id= selects one of several equal parts"
QUANTIZED = (
    "quantized convolution of a PyTorch loader; use [convolutional], which computes it without rounding and loads "
    "the same weights"
)
DEFORMABLE = (
    "no Darknet fork supports deformable convolutions; [convolutional] computes them without the offsets, but requires "
    "other weights"
)

FOREIGN_KINDS: dict[str, str] = {
    "depthwise": f"use [convolutional] with groups= and filters= set to the number of input channels; {LOWER}",
    "pointwise": "use [convolutional] with size=1",
    "quantizedconvolutional": QUANTIZED,
    "deformableconvolutional": DEFORMABLE,
    "transposedconvolutional": "use [deconvolutional] of pjreddie/darknet",
    "dilatedconvolutional": "use [convolutional] with dilation= of AlexeyAB/darknet",
    "groupconvolutional": "use [convolutional] with groups=",
    "binaryconvolutional": "use [convolutional] with binary=1",
    "xnorconvolutional": "use [convolutional] with xnor=1",
    "ghost": "use two [convolutional], the second with groups=, and a [route] that joins them",
    "reorgold": "use [reorg]; the fork of AlexeyAB/darknet with this section (2018) computes [reorg3d] for [reorg]",
    "routelhalf": f"use [route] with groups=2 and group_id=0 for the first half of the channels; {LOWER}",
    "routerhalf": "use [route] with groups=2 and group_id=1 for the second half of the channels",
    "route2": "use [route]; only training differs, where YOLOR stops some gradients",
    "route3": "use [route]; only training differs, where YOLOR stops some gradients",
    "concat": "use [route] with layers= set to the joined layers",
    "add": "use [shortcut] with from=",
    "residual": "use [shortcut] with from=",
    "multiply": "use [sam] with from= set to the other map, or [scale_channels] if the other map is 1×1",
    "select": f"selects some of the channels; {PART} of them",
    "extract": f"selects part of a map; {PART} of the channels, [crop] the center of the map",
    "slice": f"selects part of a map; {PART} of the channels",
    "split": f"selects part of a map; {PART} of the channels",
    "shuffle": "no Darknet fork shuffles channels; [reorg] and [reorg3d] move positions to channels",
    "se": "for squeeze and excitation use [avgpool], two 1×1 [convolutional], and [scale_channels] with from= set "
    f"to the map; weights of PyTorch loaders without biases do not fit directly; {LOWER}",
    "eca": "for a channel gate use [avgpool], [convolutional] and [scale_channels] with from= set to the map",
    "cbam": "for its channel gate use [avgpool], two [convolutional] and [scale_channels]; for its spatial gate use "
    "[sam]",
    "implicitadd": LOWERED_IMPLICIT,
    "implicitmul": LOWERED_IMPLICIT,
    "implicitcat": IMPLICIT,
    "shiftchannels": f"{YOLOR}; it adds the constant of an [implicit_add] to every position, which can be folded "
    f"into the bias of a 1×1 convolution after it; {LOWER}",
    "controlchannels": f"{YOLOR}; it multiplies by an [implicit_mul]: use [scale_channels] with from= set to the map; "
    f"{LOWER}",
    "alternatechannels": f"{YOLOR}; it joins the constant of an [implicit_cat], repeated over the map, with the "
    "map, but [route] only joins maps of the same size",
    "selectchannels": f"{YOLOR}; it multiplies a map by the logistic of a learned constant, but "
    "[implicit] and [scale_channels] multiply by the constant itself",
    "dwt": f"{YOLOR}; it is a wavelet transform of 2×2 blocks: [reorg3d] with stride=2 moves the same positions to "
    "channels without mixing them",
    "jde": f"{YOLOR}; its head predicts boxes and embeddings: use [yolo] for the boxes",
    "focus": f"{YOLOV5}; [reorg3d] with stride=2 moves the same values to channels, in another order",
    "depthtospace": "the most similar section is [reorg3d] with reverse=1",
    "pixelshuffle": "the most similar section is [reorg3d] with reverse=1",
    "spacetodepth": "use [reorg3d]",
    "pixelunshuffle": "use [reorg3d]",
    "globalavgpool": "use [avgpool]",
    "gap": "use [avgpool]",
    "averagepool": "use [avgpool] over the whole map, [local_avgpool] over windows",
    "bilinear": "no Darknet fork interpolates; [upsample] repeats each value",
    "bilinearupsample": "no Darknet fork interpolates; [upsample] repeats each value",
    "upsamplebilinear": "no Darknet fork interpolates; [upsample] repeats each value",
    "interpolate": "use [upsample] for nearest-neighbor interpolation",
    "resize": "use [upsample] for nearest-neighbor interpolation",
    "flatten": "not required: [connected] reads a map as a vector",
    "linear": "use [connected]",
    "dense": "use [connected]",
    "fc": "use [connected]",
    "dcn": DEFORMABLE,
    "silu": "use [activation] with activation=swish",
    "sigmoid": "use [activation] with activation=logistic",
    "leakyrelu": "use [activation] with activation=leaky",
    "prelu": "no Darknet fork supports a leaky ReLU whose slope is learned; [activation] with activation=leaky has the "
    "fixed slope 0.1",
    "bn": "use [batchnorm]",
    "batchnorm": "use [batchnorm]",
    "conv": "use [convolutional]",
    "asff": "weighted sum of three maps; the most similar section is [shortcut] with weights_type=per_channel",
    "attention": "no Darknet fork supports attention; the most similar gates are [scale_channels] and [sam]",
    "transformer": "no Darknet fork supports transformers",
    "identity": "use [silence] of AlexeyAB/darknet, which returns its input",
} | dict.fromkeys(
    ("c3", "c2f", "c3k2", "bottleneck", "bottleneckcsp", "csp", "spp", "sppf", "sppcspc", "detect", "bifpn"), YOLOV5
)
"""Equivalents of other programs' sections in Darknet, by the section's name as `normalize_kind` returns it."""

FOREIGN_OPTIONS: dict[tuple[str, str], str] = {
    ("connected", "transpose"): "MICL-AI's fork stores this matrix transposed, inputs × outputs, also in its "
    "weights files: transpose it before loading them",
    ("yolo", "from"): "YOLOR's PyTorch code uses it to fuse heads",
}
"""Meanings of options that only other programs support, by kind and key."""

FOREIGN_ACTIVATIONS: dict[str, str] = {
    "silu": f"Darknet's name for it is swish; {LOWER} if it comes from YOLOR or PyTorch_YOLOv4",
    "sigmoid": "Darknet's name for it is logistic",
    "none": "Darknet's name for it is linear",
    "identity": "Darknet's name for it is linear",
    "leakyrelu": "Darknet's name for it is leaky",
    "lrelu": "Darknet's name for it is leaky",
    "prelu": "Darknet does not support a learned slope; leaky has slope 0.1",
    "hswish": f"Darknet does not support it; {LOWER}",
    "hardswish": "Darknet does not support it; hard_mish is a different function",
    "hardsigmoid": "Darknet does not support it; logistic is the smooth version",
    "softplus": "Darknet does not support it",
    "softmax": "use a [softmax] layer",
}
"""Equivalents of other programs' activations in Darknet, by name in lower case without underscores."""


def normalize_kind(name: str) -> str:
    """Return a section's name as `FOREIGN_KINDS` spells it, with one spelling for each kind of convolution."""
    normalized = name.lower().replace("_", "").replace("-", "").removesuffix("2d")
    if normalized.startswith(("depthwise", "dwconv")):
        return "depthwise"
    for prefix, key in CONVOLUTION_PREFIXES.items():
        if normalized.startswith(prefix) and "conv" in normalized:
            return f"{key}convolutional"
    return "ghost" if normalized.startswith("ghost") else normalized


CONVOLUTION_PREFIXES = {
    "quan": "quantized",
    "deform": "deformable",
    "dcn": "deformable",
    "transpose": "transposed",
    "convtranspose": "transposed",
    "dilate": "dilated",
    "atrous": "dilated",
    "group": "group",
    "binary": "binary",
    "xnor": "xnor",
}
"""Prefixes of the names that loaders give to kinds of convolutions, with the kind as `FOREIGN_KINDS` spells it."""
