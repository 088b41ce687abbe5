"""Whole texts of findings, with their numbers, notes and hints."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import darkparse
from darkparse.diagnostics.diagnostic import Diagnostic
from darkparse.errors import CfgError
from darkparse.network.training_lint import lint_training
from darkparse.network.training_schedule import TrainingLength

SIZE = "width=8\nheight=8\nchannels=3\nbatch=64\n"
CONV = "[convolutional]\nfilters={}\nactivation=linear\n"
YOLO = "[yolo]\nclasses=2\nanchors=1,2,3,4,5,6,7,8\nnum=4\nmask={}\n"
POOL = "[maxpool]\nsize=2\nstride=2\n"
TWO_HEADS = CONV.format(14) + YOLO + CONV.format(14) + YOLO
# Options of [net], layers, and the dialect that reads them.
CASES = {
    "empty output": (SIZE, CONV.format(4) + "size=9\n", "pjreddie"),
    "negative input": (SIZE.replace("8", "-8"), POOL, "pjreddie"),
    "no input": ("batch=1\n", POOL, "pjreddie"),
    "input without channels": ("width=8\nheight=8\n", POOL, "pjreddie"),
    "too wide input": (SIZE.replace("width=8", "width=70000"), POOL, "pjreddie"),
    "too high input": (SIZE.replace("height=8", "height=70000"), POOL, "pjreddie"),
    "second net": (SIZE, f"{POOL}[network]\n", "pjreddie"),
    "map and vector": (SIZE, f"{POOL}[connected]\noutput=5\n[route]\nlayers=0,1\n{CONV.format(1)}", "pjreddie"),
    "vector instead of map": ("inputs=4\n", POOL, "pjreddie"),
    "maps of two sizes": (SIZE, f"{CONV.format(2)}{POOL}[route]\nlayers=0,1\n{POOL}", "pjreddie"),
    "route to later layer": (SIZE, f"{POOL}[route]\nlayers=0,3\n{POOL}{POOL}", "pjreddie"),
    "head of wrong channels": (SIZE, CONV.format(20) + YOLO.format("0,1"), "pjreddie"),
    "head of mask without commas": (SIZE, CONV.format(14) + YOLO.format("0 1"), "pjreddie"),
    "shared with pool": (SIZE, POOL + CONV.format(2) + "share_index=0\n", "alexeyab"),
    "shared with other filters": (SIZE, CONV.format(3) + CONV.format(2) + "share_index=0\n", "alexeyab"),
    "heads of other classes": (
        *(SIZE, CONV.format(14) + YOLO.format("0,1") + CONV.format(16) + YOLO.format("2,3").replace("=2", "=3", 1)),
        "pjreddie",
    ),
    "unused anchors": (SIZE, TWO_HEADS.format("0,1", "1,2"), "pjreddie"),
    "anchors used by more than two": (SIZE, (CONV.format(14) + YOLO.format("1,2")) * 3, "alexeyab"),
    "too few masks": (SIZE, CONV.format(14) + YOLO.format("0,1"), "pjreddie"),
    "masks in reverse": (
        SIZE,
        CONV.format(2)
        + POOL
        + TWO_HEADS.format("0,1", "2,3")
        .replace("[conv", "[route]\nlayers=0\n[conv", 2)
        .replace("[route]\nlayers=0\n", "", 1),
        "pjreddie",
    ),
    "stop in three layers": (SIZE, CONV.format(2) * 3 + "stopbackward=1\n", "pjreddie"),
    "stop up to iteration": (SIZE, CONV.format(2) * 2 + "stopbackward=20\n", "alexeyab"),
    "stop of frozen layers": (SIZE, CONV.format(2) * 4 + "batch_normalize=1\nstopbackward=1\n", "alexeyab"),
    "steps without scales": (f"{SIZE}policy=steps\nsteps=1,2\nscales=.1\n", POOL, "pjreddie"),
    "subdivisions of a batch": (f"{SIZE}subdivisions=5\n", POOL, "pjreddie"),
    "batch of one image": (f"{SIZE}subdivisions=64\n", CONV.format(2) + "batch_normalize=1\n", "pjreddie"),
    "burn in": (f"{SIZE}burn_in=1000\nmax_batches=100\nlearning_rate=.1\n", POOL, "pjreddie"),
    "many batches": (f"{SIZE}max_batches=900000\n", POOL, "pjreddie"),
    "options for augmentation": (f"{SIZE}mosaic=1\ncutmix=1\nletter_box=1\n", POOL, "alexeyab"),
    "adam": (f"{SIZE}adam=1\n", f"{CONV.format(2)}[connected]\n", "alexeyab"),
    "options of a loss": (
        SIZE,
        CONV.format(14) + YOLO.format("0,1") + "iou_loss=odd\nmax_delta=2\nobjectness_smooth=1\n",
        "alexeyab",
    ),
    "strict parser": (
        "width=40\nheight=36\nchannels=3\nbatch=1\nsubdivisions=1\nodd\n",
        f"{CONV.format(14)}size=1x\nfilters=3\nsise=2\n[odd]\n{CONV.format(14)}{YOLO.format('0,1')}",
        "hank-ai",
    ),
}


def _describe(found: Diagnostic) -> Iterator[str]:
    yield found.headline
    yield from (f"    {note.message}" for note in found.notes)


def _list_messages(text: str, dialect: str) -> Iterator[str]:
    try:
        network = darkparse.compile(text, dialect=dialect)
    except CfgError as problem:
        for found in problem.diagnostics:
            yield from _describe(found)
        return
    length = TrainingLength(network, images=5000, classes=2)
    for found in (*network.diagnostics, *lint_training(network), *length.lint()):
        yield from _describe(found)
    yield str(length)


def test_messages_of_small_networks_match_golden(golden: Callable[[str, str], None]) -> None:
    texts = {name: (f"[net]\n{net}{layers}", dialect) for name, (net, layers, dialect) in CASES.items()}
    parts = ["\n".join((name, *_list_messages(*case), "")) for name, case in texts.items()]
    golden("messages.txt", "\n".join(parts).replace("<text>:", ""))
