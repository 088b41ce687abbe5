"""Diagnostic codes for cfgs and data sets, each with a description for the documentation."""

from __future__ import annotations

CODES: dict[str, str] = {
    # The text is not a cfg. No further checks run.
    "not-a-cfg": "The file is of another type, e.g. a web page, a list of names or weights. Pass the cfg itself.",
    "empty": "The file has no section. A cfg starts with `[net]`.",
    "no-net": "The first section is not `[net]` or `[network]`, which defines the input size.",
    "no-layers": "The cfg has no layers after `[net]`.",
    "outside-section": "A line precedes the first section; Darknet crashes on it. Remove it.",
    "header": "A section header has no closing bracket, or text follows it; Darknet reads the whole line as the "
    "section name.",
    "line-ends": "Lines end in CR, as on old Macs, so Darknet reads the file as one line. Save it with LF line ends.",
    "yaml": "The YAML of a network is malformed, has an unknown key or a value of the wrong type.",
    "unreadable": "The file cannot be read or is not text.",
    # Single options and sections.
    "encoding": "The file is UTF-16, which Darknet cannot read. Save it as UTF-8.",
    "unknown-kind": "No Darknet fork supports this section. The message suggests the nearest name or an equivalent.",
    "second-net": "A cfg has one `[net]`; a second one often comes from two cfgs in one file.",
    "value": "The value is not valid for the option, e.g. text instead of an integer.",
    "missing": "A required option is missing, such as `layers=` of a route.",
    "unknown-option": "Darknet ignores unknown options. The message suggests the nearest name.",
    "foreign-option": "Only another fork supports the option. It is ignored, as this fork ignores it.",
    "foreign-kind": "Only another fork supports the section. It is compiled as in that fork.",
    "duplicate": "If an option occurs twice, Darknet uses the first.",
    "empty-value": "Darknet skips a line `key=` without a value.",
    "no-value": "For a line without `=`, Darknet uses the option's default. hank-ai/darknet skips such a line, and "
    "a key with spaces.",
    "refused": "hank-ai/darknet rejects the cfg here and exits; other forks continue.",
    "odd-value": "Darknet parses the value differently from what it looks like.",
    "unknown-activation": "Darknet uses ReLU instead of an unknown activation.",
    "inline-comment": "A `#` after a value is part of it: Darknet ignores it after a number, but it changes a name. "
    "hank-ai/darknet removes the comment.",
    "joined-digits": "Darknet deletes spaces inside a value, so `layers=-1 8` means layer -18. Often a comma is "
    "missing.",
    "no-file": "A `tree=` or `map=` file was not found. darkparse searches the working directory (unless it is the "
    "home directory or `/`), the directory of the cfg and its parent, at any depth; `darkparse.read(cfg, "
    "folders=[…])` replaces these directories.",
    "limit": "The network exceeds a size limit, which is ten times the largest known network. `--no-limits` or "
    "`darkparse.CompileOptions(limits=None)` disables the limits.",
    # Relations between layers.
    "input-size": "`[net]` does not define a valid input size.",
    "no-layer": "An option refers to a layer that does not precede this one.",
    "shape": "The input of a layer has the wrong shape. Both places are shown, and the input sizes that fit, if any.",
    "sizes": "A route, a shortcut or a gate joins maps of different sizes. All are shown, and the input sizes that "
    "fit.",
    "head": "The layer before a head does not have the channels that the head needs: `filters=`, `classes=`, "
    "`mask=` or `anchors=` is wrong.",
    "anchors": "The anchors are missing, odd in number, too few or too many for the head, or meant for another kind "
    "of head.",
    "mask": "`mask=` refers to an anchor beyond `num=`.",
    "new-coords": "A head with `new_coords=1` needs a logistic layer before it, any other `[yolo]` head a linear one.",
    "classes": "The heads of one network have different numbers of classes.",
    "training": "An option has an unexpected effect in training, or none (`check --training`), or darkparse cannot "
    "train a layer of this kind.",
    "unused-anchors": "No mask selects an anchor, so objects of its shape train no predictor (`check --training`, "
    "`edit --anchors`). Trained weights need the mask that they were trained with.",
    "mask-order": "The coarse grid has the small anchors, or a mask lists its anchors in reverse (`check --training`).",
    "frozen": "Lists the layers that `stopbackward` freezes, and what still changes them (`check --training`).",
    "schedule": "`batch=`, `max_batches=` or `burn_in=` do not suit this data set (`check DATA CFG`, `edit`, `train`). "
    "`darkparse edit CFG --data DATA -o NEW` sets them.",
    "batch": "`batch=` is less than `subdivisions=`, so Darknet's mini-batches are empty (`check --training`).",
    "inexact": "A transformation (`lower`, `classes`, `prune`) cannot change this section exactly, or does not support "
    "it.",
    "remark": "The cfg is valid, but one of the forks computes something different.",
}
"""Descriptions of cfg diagnostics by code."""

DATA_CODES: dict[str, str] = {
    "data-file": "A line of the `.data` file is missing, is not a number or names a missing file.",
    "class-names": "The names, `classes=` of the `.data` file and the cfg disagree. Correct the wrong one; for the "
    "cfg, use `darkparse edit --classes`.",
    "no-image": "The image does not exist. Correct the path, which is relative to Darknet's working directory, or "
    "remove the line.",
    "bad-image": "The file is not an image or cannot be read. Save the image again or remove the line.",
    "no-label": "The image has no label file. pjreddie/darknet exits; AlexeyAB/darknet assumes that there are no "
    "objects. Write an empty file for an image without objects.",
    "label-elsewhere": "The label file is in a place where this Darknet fork does not look. Move it, or train with "
    "another fork (`--dialect`).",
    "label-line": "A line of a label file must have a class and four numbers. Darknet stops reading at this line.",
    "label-class": "The class does not exist; classes count from 0. pjreddie/darknet writes to invalid memory, "
    "AlexeyAB/darknet skips the object.",
    "box-outside": "The box extends beyond the image. Write its center, width and height as fractions of the image, "
    "not as pixels or a corner.",
    "box-size": "The width or height of the box is 0, so the box is skipped.",
    "box-tiny": "The box is smaller than a pixel of the network's input, so it is skipped. Use a larger input or crop "
    "the images.",
    "no-object": "The labels of the list contain no objects, so the network only learns background.",
    "overlap": "The image is in both train and valid, so the validation result is too optimistic.",
    "path-label": "The path of a classifier's image must contain the label of its class and no other label.",
}
"""Descriptions of data set diagnostics by code, with suggested fixes. `Diagnostic` rejects any other code."""
