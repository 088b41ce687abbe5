"""Good cfgs with one slip: the right name is told, and no slip silences what was said before."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

import darkparse
from darkparse.diagnostics import Diagnostic
from darkparse.errors import CfgError
from darkparse.layers import REGISTRY
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.base import get_known_keys
from darkparse.layers.net import Net
from darkparse.network.training_lint import lint_training
from tests.conftest import examples, shipped_cfgs

TRAINED = ("steps", "constant", "giou", "ciou", "mse")
WORDS = {*ACTIVATIONS, *TRAINED, "greedynms", "diounms", "per_channel", "per_feature", "softmax"}
LETTERS = "abcdefghijklmnopqrstuvwxyz_"


def _findings(text: str) -> tuple[Diagnostic, ...]:
    try:
        network = darkparse.compile(text, dialect="alexeyab")
    except CfgError as problem:
        return problem.diagnostics
    return (*network.diagnostics, *lint_training(network))


@cache
def _texts() -> tuple[str, ...]:
    """The shipped cfgs that take milliseconds, and one of words that they lack."""
    small = [path.read_text("utf-8") for path in shipped_cfgs()]
    words = "[net]\nwidth=8\nheight=8\nchannels=3\npolicy=steps\n[conv]\nfilters=7\nactivation=swish\n" + (
        "[shortcut]\nfrom=-1\nweights_type=per_feature\nweights_normalization=softmax\n[conv]\nfilters=7\n"
        "activation=linear\n[yolo]\nclasses=2\nanchors=1,2\nnms_kind=greedynms\niou_loss=ciou\n"
    )
    return (words, *(text for text in small if len(text) < 6000))


def _known_of(line: str, kind: str) -> set[str]:
    """All that the slip may have turned into and still be right."""
    cls = Net if kind == "net" else REGISTRY[kind]
    return {*REGISTRY} if line.startswith("[") else {*get_known_keys(cls), *WORDS}


def _slip(word: str, rng: random.Random) -> str:
    """One letter wrong, missing, too many, or exchanged with the next."""
    at = rng.randrange(len(word))
    letter = rng.choice(LETTERS)
    changed = (
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
    )
    return rng.choice(changed)


def _slips(count: int) -> list[tuple[str, str, str]]:
    """Cfgs with a slip in a kind, a key, or a value that is a word: the text, the word meant, the word written."""
    rng = random.Random(4)
    made: list[tuple[str, str, str]] = []
    while len(made) < count:
        lines = rng.choice(_texts()).splitlines()
        at = rng.randrange(len(lines))
        words = re.findall(r"[A-Za-z_]{2,}", lines[at].partition("#")[0])
        kind = next((line.strip("[] ") for line in reversed(lines[: at + 1]) if line.startswith("[")), "net")
        if not words or (lines[at].startswith("[") and at == 0):
            continue
        word = rng.choice(words)
        wrong = _slip(word, rng)
        is_word = lines[at].startswith("[") or word in WORDS or lines[at].split("=")[0].strip() == word
        if not is_word or wrong in _known_of(lines[at], kind) or not wrong or wrong == word:
            continue
        lines[at] = lines[at].replace(word, wrong, 1)
        made.append(("\n".join(lines), word, wrong))
    return made


@pytest.mark.slow
def test_slip_in_name_is_answered_with_right_name() -> None:
    slips = _slips(400)
    missed = []
    for text, word, wrong in slips:
        told = " ".join(d.message for d in _findings(text))
        if not re.search(rf"did you mean \[?{word}\b", told):
            missed.append(f"{wrong} for {word}")
    assert len(missed) <= len(slips) * 0.05, missed


def test_slip_in_activation_is_answered_with_right_name() -> None:
    rng = random.Random(4)
    slips = [(word, _slip(word, rng)) for word in ACTIVATIONS for _ in range(20)]
    slips = [(word, wrong) for word, wrong in slips if wrong not in ACTIVATIONS]
    net = "[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nactivation="
    missed = [f"{a} for {w}" for w, a in slips if not any(f"mean {w}?" in d.message for d in _findings(net + a))]
    assert len(missed) <= len(slips) * 0.05, missed


@examples(60)
@given(st.data())
def test_mutated_line_silences_no_earlier_warning(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(_texts())).splitlines()
    lines[1:1] = ["wdth=8"]
    at, other = (data.draw(st.integers(2, len(lines) - 1)) for _ in range(2))
    match data.draw(st.sampled_from(["drop", "double", "exchange", "slip"])):
        case "drop":
            del lines[at]
        case "double":
            lines.insert(at, lines[at])
        case "exchange":
            key, value, theirs = lines[at].partition("=")[0], *(lines[i].partition("=")[2] for i in (at, other))
            if value and theirs:
                lines[at], lines[other] = f"{key}={theirs}", f"{lines[other].partition('=')[0]}={value}"
        case "slip":
            lines[at] = _slip(lines[at], random.Random(at)) if lines[at] else ""
    text = "\n".join(lines)
    try:
        darkparse.read(text)
    except CfgError:
        return  # no cfg any more: nothing is bound
    assert any("did you mean width?" in d.message for d in _findings(text))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("Leaky", "leaky"), ("LEAKY", "leaky"), ("mishs", "mish"), ("linear;", "linear"), ("leaky # slope .1", "leaky")],
)
def test_suggestion_ignores_case_and_surrounding_characters(wrong: str, right: str) -> None:
    (found,) = _findings(f"[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nactivation={wrong}\n")
    assert f"did you mean {right}?" in found.message
