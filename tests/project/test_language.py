"""Texts for users and developers avoid the phrases that a newcomer would have to decode."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import click
import pytest

from darkparse.cli.main import COMMANDS, darkparse
from tests.project.source_files import FILES, get_relative_path, parse

PHRASES = r"""
said of|what there is|so many|as it stands|(?<!instead )of its own|the one\b|in one word|goes? on\b
an? (row|line|card|column|file|record|core) an? \w+|there (is|are) no [\w ]+['{\[]
(?<!there )is no (?!longer|more)\w+|(?<!there )is none|nothing is left
on a bad day|a stranger's|and says? so|all that it would|as many as there are
what counts|how it runs|what it tells|least (score|overlap)|largest overlap|EXIF note|of any size
dots an inch|of all chance|reference leads|by evidence|remembers? what|what came before|is of a training
out of its wrappers|what it is to|comes from beyond|anything of its size|choose of|broken run
"""
FORBIDDEN = re.compile(rf"\b({'|'.join(PHRASES.strip().splitlines())})")


def iterate_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every string literal, docstrings included; `{}` stands for values."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
            for part in node.values:
                yield from iterate_texts(part)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        else:
            yield from iterate_texts(node)


def find_phrases(text: str) -> list[str]:
    """Return the phrases in a text, also at the start of a sentence, across line ends."""
    text = re.sub(r"(^|[.:;] |\n\s*)([A-Z])(?=[a-z ])", lambda match: match[1] + match[2].lower(), text)
    return [match[0] for match in FORBIDDEN.finditer(" ".join(text.split()))]


@pytest.mark.slow
def test_docstrings_and_messages_contain_no_forbidden_phrase() -> None:
    phrases = [
        f"{get_relative_path(path)}:{line}: {phrase}"
        for path in FILES
        for line, text in iterate_texts(parse(path))
        for phrase in find_phrases(text)
    ]
    assert not phrases, "\n".join(phrases)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_contains_no_forbidden_phrase(name: str) -> None:
    with click.Context(darkparse) as ctx:
        command = darkparse.get_command(ctx, name)
    assert command is not None
    with command.make_context(name, [], resilient_parsing=True) as ctx:
        assert not find_phrases(command.get_help(ctx))


@pytest.mark.parametrize(
    "text",
    [
        "Print a network as a table, a row a layer.",
        "there is no dialect 'x'",
        "'416x' is no size",
        "Which Darknet the cfg is written for; auto decides by evidence.",
        "Turn pictures as their EXIF\n    note says",
    ],
)
def test_find_phrases_reports_idioms(text: str) -> None:
    assert find_phrases(text)


def test_find_phrases_accepts_plain_text() -> None:
    assert not find_phrases("The option is no longer supported; a layer at a time is printed.")
