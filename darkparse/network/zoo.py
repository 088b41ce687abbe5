"""Networks that ship with darkparse: facts from the comment at the top of each cfg and from the compiled network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from darkparse.network.compiler import compile
from darkparse.network.network import Network
from darkparse.syntax import find_shipped_cfgs, read

FIELD = re.compile(r"(?P<name>Paper|Weights|Size|Input): ")
PAPER = re.compile(r'(?P<authors>.+?), "(?P<title>.+)", (?P<year>\d{4}), (?P<where>.+)')
DOWNSAMPLING = {"stride": "strided", "pool": "pooled"}
"""Summary by mechanism, for a network whose maps shrink by this mechanism alone."""
HEADER_BYTES = 20
"""Size of the header that Darknet writes before the floats of a `.weights` file."""


@dataclass(frozen=True, slots=True)
class Paper:
    """Publication of an architecture."""

    authors: str
    title: str
    year: int
    where: str
    """arXiv number, journal or conference."""


@dataclass(frozen=True, slots=True)
class ShippedNetwork:
    """A network that ships with darkparse.

    Attributes:
        description: Sentence at the top of the cfg.
        paper: Publication; None if the network is only published with darkparse.
        weights: Published weights file that fits, and its origin.
        network: Compiled network.
    """

    description: str
    paper: Paper | None
    weights: str
    network: Network

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def reductions(self) -> str:
        """One word for how the maps shrink: `strided`, `pooled`, `mixed`, or `none` for a network of vectors."""
        found = {
            reductions.spatial.mechanism
            for reductions, node in zip(self.network.reductions, self.network.nodes, strict=True)
            if reductions.spatial and reductions.spatial.direction == "reduced" and node.out_shape.is_map
        } & DOWNSAMPLING.keys()
        if len(found) > 1:
            return "mixed"
        return DOWNSAMPLING[found.pop()] if found else "none"

    @property
    def weights_bytes(self) -> int:
        """Size of the `.weights` file that fits, with a header of 20 bytes."""
        return HEADER_BYTES + 4 * self.network.stored_floats


def load_shipped_networks() -> list[ShippedNetwork]:
    """Compile the networks that ship with darkparse, in the order of their papers."""
    entries = [load_shipped_network(path) for path in find_shipped_cfgs().values()]
    return sorted(entries, key=lambda entry: (entry.paper.year if entry.paper else 9999, entry.name))


def load_shipped_network(path: Path) -> ShippedNetwork:
    """Compile a cfg and read the comment at its top.

    Raises:
        ValueError: The paper is not written as `authors, "title", year, where`.
    """
    config = read(path)
    fields = read_title(config.source.text)
    return ShippedNetwork(fields[""], _parse_paper(fields.get("Paper")), fields.get("Weights", ""), compile(config))


def read_title(text: str) -> dict[str, str]:
    """Return the paragraphs of the comment at the top of a cfg by name; the first has no name."""
    fields, name = {"": ""}, ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.removeprefix("#").strip()
        if match := FIELD.match(words):
            name, words = match["name"], words[match.end() :]
        fields[name] = f"{fields.get(name, '')} {words}".strip()
    return {name: text.removesuffix(".") for name, text in fields.items()}


def _parse_paper(text: str | None) -> Paper | None:
    if text is None:
        return None
    match = PAPER.fullmatch(text)
    if match is None:
        raise ValueError(f'invalid paper {text!r}; expected authors, "title", year, where')
    return Paper(match["authors"], match["title"], int(match["year"]), match["where"])
