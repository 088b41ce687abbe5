"""Work grows no faster than n log n: four times the text takes about four times the time, never sixteen times."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

import darkparse
from darkparse.cli.check import CfgResult, _print_results
from darkparse.export import to_source
from darkparse.network.training_lint import lint_training
from darkparse.views.text.table import table

pytestmark = pytest.mark.slow

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
CONV = "[convolutional]\nfilters=8\nsize=1\nactivation=linear\n"
MOST = 8
"""Of the time at 4n over that at n: n log n gives 5, a power of 1.5 gives 8, a square 16."""


def unlike(count: int) -> str:
    """Layers of many kinds and sizes, with routes between them."""
    rng = random.Random(1)
    text = [NET + CONV]
    for index in range(1, count):
        filters, size, activation = rng.randint(1, 3000), rng.choice((1, 3, 5)), rng.choice(("leaky", "relu", "mish"))
        made = f"[convolutional]\nfilters={filters}\nsize={size}\npad=1\nactivation={activation}\n"
        others = (
            f"[dropout]\nprobability=.{rng.randint(1, 9)}\n",
            f"[maxpool]\nsize={rng.choice((3, 5, 7))}\nstride=1\n",
            f"[route]\nlayers=-{rng.randint(1, min(index, 20))}\n",
        )
        text.append(made if rng.random() < 0.6 else rng.choice(others))
    return "".join(text)


def alike(count: int) -> str:
    return NET + CONV * count


def options(count: int) -> str:
    return NET + CONV + "".join(f"option{i}=1\n" for i in range(count))


def twice(count: int) -> str:
    return NET + CONV + "size=3\n" * count


def findings(count: int) -> str:
    return NET + "".join(f"[convolutional]\nfilters=8\nactivation=linear{i}\nother{i}=2\n" for i in range(count))


def faults(count: int) -> str:
    return NET + "[convolutional]\nfilters=8\nsize=x\n" * count


def inputs(count: int) -> str:
    return f"{NET}{CONV * 50}[route]\nlayers={','.join(str(i % 50) for i in range(count))}\n{CONV}"


def anchors(count: int) -> str:
    pairs, mask = ",".join(f"{i},{i + 1}" for i in range(1, count + 1)), ",".join(map(str, range(count)))
    head = f"[yolo]\nclasses=1\nnum={count}\nanchors={pairs}\nmask={mask}\n"
    return f"{NET}[convolutional]\nfilters={6 * count}\nsize=1\nactivation=linear\n{head}"


def compile(text: str) -> darkparse.Network:
    return darkparse.compile(text)


def checked(text: str) -> None:
    """As `check --training` does it, with everything printed."""
    try:
        network = darkparse.compile(text)
        found = (*network.diagnostics, *lint_training(network))
    except darkparse.CfgError as problem:
        network, found = None, problem.diagnostics
    _print_results([CfgResult("x", found, network)])


def drawn(text: str) -> None:
    darkparse.draw(text).data("svg")


def emitted(text: str) -> None:
    to_source(darkparse.compile(text))


def shown(text: str) -> None:
    network = darkparse.compile(text)
    table(network)
    network.to_yaml()
    darkparse.build(network)


CASES = (
    (unlike, emitted, 500),
    (alike, emitted, 500),
    (unlike, compile, 500),
    (unlike, shown, 250),
    (unlike, drawn, 100),
    (options, checked, 2000),
    (twice, checked, 2000),
    (findings, checked, 500),
    (faults, checked, 1000),
    (inputs, shown, 240),
    (anchors, shown, 240),
)


def _seconds(run: Callable[[str], object], text: str) -> float:
    begin = time.process_time()
    run(text)
    return time.process_time() - begin


@pytest.mark.parametrize(("make", "run", "count"), CASES, ids=[f"{m.__name__}-{r.__name__}" for m, r, _ in CASES])
def test_time_of_four_times_the_input_grows_linearly(
    make: Callable[[int], str], run: Callable[[str], object], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = make(count), make(4 * count)
    run(make(10))  # imports
    once = min(_seconds(run, small) for _ in range(3))
    assert min(_seconds(run, large) for _ in range(3)) < MOST * once + 0.02


@pytest.mark.slow
def test_to_source_of_4000_layers_takes_under_5_seconds() -> None:
    network = darkparse.compile(unlike(4000))
    assert _seconds(lambda _: to_source(network), "") < 5
