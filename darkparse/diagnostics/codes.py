"""Diagnostic codes for cfgs and data sets, each with a description for the documentation."""

from __future__ import annotations

CODES: dict[str, str] = {
    # The text is not a cfg. No further checks run.
    "not-a-cfg": "The file is something else: a web page, a list of names, weights, … Give the cfg itself.",
    "empty": "The file holds no section. A cfg starts with `[net]`.",
    "no-net": "The first section is not `[net]` or `[network]`, from which Darknet takes the input's size.",
    "no-layers": "Nothing follows `[net]`.",
    "outside-section": "A line stands before the first section; Darknet crashes on it. Remove it.",
    "header": "A section's line lacks its bracket, or goes on behind it; Darknet takes the whole line for the name.",
    "line-ends": "Lines end in CR alone, as on old Macs; Darknet reads the file as one line. Save it with LF.",
    "unreadable": "The file cannot be read, or its bytes are no text.",
    # Single options and sections.
    "encoding": "The file is UTF-16, which Darknet cannot read. Save it as UTF-8.",
    "unknown-kind": "No Darknet has this section. The nearest name, or what does the same there, is given.",
    "second-net": "A cfg has one `[net]`; a second one often comes from two cfgs in one file.",
    "value": "The text is no value of the kind that the option needs.",
    "missing": "An option is missing without which the layer means nothing, such as `layers=` of a route.",
    "unknown-option": "Darknet ignores an option that it does not know. The nearest name is given.",
    "foreign-option": "Only another fork knows the option; it is ignored, as this one ignores it.",
    "foreign-kind": "Only another fork knows the section; it runs here as it runs there.",
    "duplicate": "Of two options of one name Darknet takes the first.",
    "empty-value": "Darknet skips a line `key=` with nothing behind it.",
    "no-value": "A line without `=` counts as the option without a value: Darknet uses the default. hank-ai's passes "
    "over it, and over a key with spaces.",
    "refused": "The reader of this Darknet (hank-ai's) ends the program here, where others go on.",
    "odd-value": "Darknet reads the value in a way that surprises.",
    "unknown-activation": "Darknet goes on with ReLU where it does not know an activation.",
    "inline-comment": "A `#` later in a line is part of the value: a number drops it, a name becomes another name. "
    "hank-ai's Darknet cuts it off.",
    "joined-digits": "Darknet deletes spaces inside a value, so `layers=-1 8` is layer -18. Often a comma is missing.",
    "no-file": "A `tree=` or `map=` file is in none of the places where it may be, or below them: the working "
    "directory (not the home or `/`), beside the cfg, the folder above it; `darkparse.read(cfg, folders=[…])` names "
    "others.",
    "limit": "The network would be larger than ten times the largest that is known; `--no-limits`, or "
    "`darkparse.CompileOptions(limits=None)`, takes it.",
    # Relations between layers.
    "input-size": "`[net]` gives no usable input size.",
    "no-layer": "A reference to a layer that is not before this one.",
    "shape": "What comes in does not fit; both places are shown, and the input sizes that fit, if another size does.",
    "sizes": "Maps of two sizes meet in a route, a shortcut or a gate. All are shown, and the input sizes that fit.",
    "head": "The layer before a head has other channels than the head needs: `filters=`, `classes=`, `mask=` or "
    "`anchors=` is wrong.",
    "anchors": "The anchors are missing, odd in number, fewer or more than the head uses, or of another kind of head.",
    "mask": "`mask=` names an anchor beyond `num=`.",
    "new-coords": "`new_coords=1` takes the layer before as logistic, an ordinary head takes it as linear.",
    "classes": "The heads of one network have different numbers of classes.",
    "training": "An option that does not do in training what it says (`check --training` alone), or something that "
    "`darkparse.training.losses` and `darkparse.training` do not train.",
    "unused-anchors": "No mask names an anchor, so objects of its shape train no predictor (`check --training`, "
    "`edit --anchors`). Trained weights need the mask that they were trained with.",
    "mask-order": "The coarse grid has the small anchors, or a mask names its anchors backwards (`check --training`).",
    "frozen": "Which layers `stopbackward` takes out of training, and what still changes them (`check --training`).",
    "schedule": "Batch, `max_batches=` or `burn_in=` do not train this data set (`check DATA CFG`, `edit`, `train`); "
    "`darkparse edit CFG --data DATA -o NEW` sets them.",
    "batch": "`batch=` is less than `subdivisions=`: Darknet's mini-batches are empty (`check --training`).",
    "inexact": "A transformation (`lower`, `classes`) cannot change this section exactly, or does not know it.",
    "remark": "Legal, but one of the forks computes something else than the cfg says.",
}
"""Descriptions of cfg diagnostics by code."""

DATA_CODES: dict[str, str] = {
    "data-file": "A line of the `.data` file is missing or no number, or it names a file that is not there.",
    "class-names": "The names, `classes=` of the `.data` file and the cfg disagree; correct what is wrong, the cfg by "
    "`darkparse edit --classes`.",
    "no-picture": "There is no such file; correct the path, which starts where Darknet does, or take the line out.",
    "bad-picture": "This is no picture, or none that can be read; save it anew, or take the line out.",
    "no-label": "A picture without a label: pjreddie's Darknet ends there, AlexeyAB's takes it for one without "
    "objects, which an empty file says on purpose.",
    "label-elsewhere": "The label lies where this Darknet does not look; move it, or train with the other one "
    "(`--dialect`).",
    "label-line": "A label's line is a class and four numbers; Darknet reads no further.",
    "label-class": "There is no such class: they count from 0. pjreddie's Darknet writes into other memory, AlexeyAB's "
    "leaves the object out.",
    "box-outside": "The box reaches beyond its picture. It is its center, width and height as fractions of the "
    "picture, neither pixels nor a corner.",
    "box-size": "A box without width or height is left out.",
    "box-tiny": "The box is less than a pixel of the network's input, and left out; a larger input, or parts of the "
    "pictures, show it.",
    "no-object": "The labels of the list name no object at all; nothing but background is learned.",
    "overlap": "The picture is in train and in valid; what is measured in it was learned by heart.",
    "path-label": "A classifier's picture has the label of its class, and of no other, in its path.",
}
"""Descriptions of data set diagnostics by code, with suggested fixes. `Diagnostic` rejects any other code."""
