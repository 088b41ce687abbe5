"""Section kinds, options and activations of other programs, with what they are in Darknet."""

from __future__ import annotations

LOWER = "`darkparse lower CFG STATE -o OUT.cfg OUT.weights` rewrites the cfg with its state dict"
YOLOR = "YOLOR's, which its PyTorch code runs and no Darknet"
YOLOV5 = "a module of YOLOv5, which is PyTorch and has no cfg"
IMPLICIT = f"{YOLOR}; its learned constant alone is [implicit]"
LOWERED_IMPLICIT = f"{IMPLICIT}; {LOWER}"
PART = "[route] with groups= and group_id= takes an equal part"
QUANTIZED = (
    "quantized convolution of a PyTorch loader; use [convolutional], which computes it without the rounding and loads "
    "the same weights"
)
DEFORMABLE = (
    "no Darknet fork supports deformable convolutions; [convolutional] computes them without the offsets, but requires "
    "other weights"
)

FOREIGN_KINDS: dict[str, str] = {
    "depthwise": f"[convolutional] with groups= and filters= the input's channels is that; {LOWER}",
    "pointwise": "[convolutional] with size=1 is that",
    "quantizedconvolutional": QUANTIZED,
    "deformableconvolutional": DEFORMABLE,
    "transposedconvolutional": "[deconvolutional] of pjreddie/darknet is that",
    "dilatedconvolutional": "[convolutional] with dilation= is that in AlexeyAB/darknet",
    "groupconvolutional": "[convolutional] with groups= is that",
    "binaryconvolutional": "[convolutional] with binary=1 is that",
    "xnorconvolutional": "[convolutional] with xnor=1 is that",
    "ghost": "a GhostNet module is two [convolutional], the second with groups=, and a [route] that joins them",
    "reorgold": "[reorg] is that; the fork of AlexeyAB's Darknet that has it (2018) reads [reorg] as [reorg3d]",
    "routelhalf": f"[route] with groups=2 group_id=0 takes the first half of the channels; {LOWER}",
    "routerhalf": "[route] with groups=2 group_id=1 takes the second half of the channels",
    "route2": "[route] is that; only training differs, where YOLOR stops some of its gradients",
    "route3": "[route] is that; only training differs, where YOLOR stops some of its gradients",
    "concat": "[route] with layers= all that is joined is that",
    "add": "[shortcut] with from= is that",
    "residual": "[shortcut] with from= is that",
    "multiply": "[sam] with from= the other map is that, [scale_channels] where the other has one position",
    "select": f"it picks some of the channels; {PART} of them",
    "extract": f"it takes part of a map; {PART} of the channels, and [crop] the middle of the positions",
    "slice": f"it takes part of a map; {PART} of the channels",
    "split": f"it takes part of a map; {PART} of the channels",
    "shuffle": "no Darknet shuffles channels; [reorg] and [reorg3d] move positions to channels",
    "se": "squeeze and excitation is [avgpool], two 1×1 [convolutional], and [scale_channels] with from= the map; "
    f"without biases in the PyTorch loaders, so their weights do not fit as they are; {LOWER}",
    "eca": "a gate of channels is [avgpool], [convolutional] and [scale_channels] with from= the map",
    "cbam": "its gate of channels is [avgpool], two [convolutional] and [scale_channels]; that of positions is [sam]",
    "implicitadd": LOWERED_IMPLICIT,
    "implicitmul": LOWERED_IMPLICIT,
    "implicitcat": IMPLICIT,
    "shiftchannels": f"{YOLOR}: it adds the constant of an [implicit_add] to every position; before a 1×1 convolution "
    f"the constant can be folded into the bias; {LOWER}",
    "controlchannels": f"{YOLOR}: it multiplies by an [implicit_mul]; [scale_channels] with from= the map is that; "
    f"{LOWER}",
    "alternatechannels": f"{YOLOR}: it joins the constant of an [implicit_cat], repeated over the map, with the map; "
    "[route] joins maps of one size only",
    "selectchannels": f"{YOLOR}: it multiplies a map by the logistic of a learned constant; "
    "[implicit] and [scale_channels] multiply by the constant itself",
    "dwt": f"{YOLOR}; it is a wavelet of 2×2 blocks: [reorg3d] with stride=2 moves the same positions to channels, "
    f"unmixed",
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
"""What a section of another program is in Darknet, by its name as `normalize_kind` returns it."""

FOREIGN_OPTIONS: dict[tuple[str, str], str] = {
    ("connected", "transpose"): "MICL-AI's fork stores this matrix transposed, inputs × outputs, also in its "
    "weights files: transpose it "
    "before loading them",
    ("yolo", "from"): "YOLOR's PyTorch code uses it to fuse heads",
}
"""What an option of a fork means, by kind and key."""

FOREIGN_ACTIVATIONS: dict[str, str] = {
    "silu": f"Darknet's name for it is swish; {LOWER} if it is of YOLOR or PyTorch_YOLOv4",
    "sigmoid": "Darknet's name for it is logistic",
    "none": "Darknet's name for it is linear",
    "identity": "Darknet's name for it is linear",
    "leakyrelu": "Darknet's name for it is leaky",
    "lrelu": "Darknet's name for it is leaky",
    "prelu": "Darknet has no learned slope; leaky has one of 0.1",
    "hswish": f"Darknet has none; {LOWER}",
    "hardswish": "Darknet has none; hard_mish is another function",
    "hardsigmoid": "Darknet has none; logistic is the smooth one",
    "softplus": "Darknet has none",
    "softmax": "Darknet has [softmax] as a layer of its own",
}
"""What an activation is called in Darknet, by its name in lower case without underscores."""


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
"""What follows `conv` or stands before it in the names that loaders give to a kind of convolution."""
