"""Cfgs changed at random, each read, compiled, written and run:
`python -m tests.reliability.fuzz.mutation cfgs --count 300`.

A mutant ends in its network or in a DarkparseError. A network is the same after every round trip, and runs on the meta
device with the shapes that it said.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import torch

import darkparse
from darkparse.layers import Layer
from darkparse.layers.net import Net
from darkparse.syntax import Config, parse
from darkparse.syntax.formatter import format_cfg
from darkparse.syntax.reader import make_source

NUMBERS = (
    *("0", "-1", "1", "2", "3", "-0", "7", "1000", "65536", "2147483647", "2147483648", "-2147483649", "1" + "0" * 30),
    *("1e999", "-1e-999", "nan", "inf", "0x10", "1_000", "١٢", "½", ".5", "5.", "1e3", "1,2", ",", "1,,2", "-1,-2,-3"),
    *(" 8 ", "8 8", "+8", "--8"),
)
CHARACTERS = (
    *"\0\t\x0b\x0c\r\x1b\x1f\x7f\x85\x9b\xa0\xad\u200b\u2028\u202e\ufeff\ud7ff\U0001f600é×",
    *"\udc80\udcff#;[]=,-.\"'\\<&%{}\n",
)
"""Surrogates stand for bytes that are no UTF-8."""


def mutants(texts: Iterable[str], numbers: Iterable[int], seed: int) -> Iterator[bytes]:
    """Mutants of some cfgs, by their numbers: the same for a seed."""
    known = [text.splitlines(keepends=True) for text in texts]
    for number in numbers:
        rng = random.Random(f"{seed} {number}")
        lines = _cut(rng.choice(known), rng)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
            lines = rng.choice((_truncate, _splice, _flip, _double, _number, _character))(lines, rng, known)
        yield "".join(lines).encode("utf-8", "surrogateescape")


def _cut(lines: list[str], rng: random.Random) -> list[str]:
    """A cfg up to one of its sections, mostly an early one: most of what can happen does so within a few layers."""
    heads = [i for i, line in enumerate(lines) if line.startswith("[")]
    place = 1 + int(len(heads) * rng.random() ** 3)
    return lines[: heads[place]] if place < len(heads) else lines


def _place(lines: list[str], rng: random.Random) -> int:
    return rng.randrange(len(lines)) if lines else 0


def _truncate(lines: list[str], rng: random.Random, _: object) -> list[str]:
    place = _place(lines, rng)
    return [*lines[:place], *(line[: rng.randrange(len(line) + 1)] for line in lines[place : place + 1])]


def _splice(lines: list[str], rng: random.Random, known: list[list[str]]) -> list[str]:
    """A stretch of another cfg in the middle of one."""
    other = rng.choice(known)
    start, place = rng.randrange(len(other)), _place(lines, rng)
    return [*lines[:place], *other[start : start + rng.randint(1, 30)], *lines[place + rng.randint(0, 5) :]]


def _flip(lines: list[str], rng: random.Random, _: object) -> list[str]:
    """One bit of a character, or two lines exchanged."""
    changed, (a, b) = [*lines], (_place(lines, rng), _place(lines, rng))
    if not lines:
        return changed
    if rng.random() < 0.5:
        changed[a], changed[b] = changed[b], changed[a]
        return changed
    at = rng.randrange(len(changed[a]) or 1)
    flipped = "".join(chr(ord(letter) ^ 1 << rng.randrange(7)) for letter in changed[a][at : at + 1])
    changed[a] = changed[a][:at] + flipped + changed[a][at + 1 :]
    return changed


def _double(lines: list[str], rng: random.Random, _: object) -> list[str]:
    place, length = _place(lines, rng), rng.choice((1, 1, 5, 30))
    return [*lines[: place + length], *lines[place:]]


def _number(lines: list[str], rng: random.Random, _: object) -> list[str]:
    """An odd number for a value."""
    places = [i for i, line in enumerate(lines) if "=" in line]
    if not places:
        return lines
    changed, place = [*lines], rng.choice(places)
    changed[place] = f"{changed[place].partition('=')[0]}={rng.choice(NUMBERS)}\n"
    return changed


def _character(lines: list[str], rng: random.Random, _: object) -> list[str]:
    changed, place = [*lines], _place(lines, rng)
    if not lines:
        return changed
    at = rng.randrange(len(changed[place]) + 1)
    changed[place] = changed[place][:at] + rng.choice(CHARACTERS) * rng.choice((1, 1, 3)) + changed[place][at:]
    return changed


def check(data: bytes) -> bool:
    """Everything that holds of any bytes taken as a cfg; whether they are one that compiles."""
    try:
        config = parse(make_source(data, "mutant.cfg", Path("mutant.cfg")))
        trees_agree(config)
        network = darkparse.compile(config)
    except darkparse.DarkparseError:
        return False
    networks_agree(network)
    runs_as_said(network)
    return True


def trees_agree(config: Config) -> None:
    """text → tree → text: the tokens are the text; a tidy text says the same and is tidy."""
    assert "".join(config.tokens) == config.source.text
    text = format_cfg(config)
    again = parse(make_source(text.encode("utf-8", "surrogateescape"), "tidy.cfg"))
    assert _said(config) == _said(again)
    assert format_cfg(again) == text


def _said(config: Config) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return [(one.kind, [(o.key, o.text) for o in one.options]) for one in (config.net, *config.sections)]


def networks_agree(network: darkparse.Network) -> None:
    """cfg → network → cfg → network and network → YAML → network."""
    layers = _layers(network)
    text = darkparse.to_cfg(network).encode("utf-8", "surrogateescape")
    written = darkparse.compile(parse(make_source(text, "again.cfg")), dialect=network.dialect.name)
    assert _layers(written) == layers, "cfg"
    assert darkparse.to_cfg(written).encode("utf-8", "surrogateescape") == text, "cfg text"
    printed = network.to_yaml()
    again = darkparse.from_yaml(printed)
    assert _layers(again) == layers, "YAML"
    assert again.to_yaml() == printed, "YAML text"


def _layers(network: darkparse.Network) -> list[tuple[Net | Layer, object]]:
    return [(network.net, network.input_shape), *((node.layer, node.out_shape) for node in network.nodes)]


def runs_as_said(network: darkparse.Network) -> None:
    """A forward pass on the meta device, which takes no memory."""
    model, shape = darkparse.build(network), network.input_shape
    x = torch.empty((1, shape.c, shape.h, shape.w) if shape.is_map else (1, shape.size), device="meta")
    with torch.no_grad():
        outputs = model.layer_outputs(x)
    for node, out in zip(network.nodes, outputs, strict=True):
        assert tuple(out.shape[1:]) == node.out_shape.tensor, node


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--count", default=300, show_default=True, help="How many mutants.")
@click.option("--first", default=0, help="The number of the first, to share the work.")
@click.option("--seed", default=1, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="A folder for the mutants that find something.")
def main(folder: Path, count: int, first: int, seed: int, keep: Path | None) -> None:
    """Try mutants of all cfgs in a folder; exit status 1 if one finds something."""
    texts = [path.read_text("utf-8", "surrogateescape") for path in sorted(folder.rglob("*.cfg"))]
    compiled = found = 0
    begin = time.process_time()
    numbers = range(first, first + count)
    for number, data in zip(numbers, mutants(texts, numbers, seed), strict=True):
        try:
            compiled += check(data)
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is a finding
            found += 1
            place = traceback.extract_tb(problem.__traceback__)[-1]
            told = str(problem).partition("\n")[0][:200]
            click.echo(f"{number}: {type(problem).__name__} at {place.filename}:{place.lineno}: {told!r}")
            if keep is not None:
                (keep / f"{seed}-{number}.cfg").write_bytes(data)
    seconds = time.process_time() - begin
    click.echo(f"{count} mutants, {compiled} of them compile, {found} found something; {seconds:.0f} s")
    raise SystemExit(found > 0)


if __name__ == "__main__":
    main()
