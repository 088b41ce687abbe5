"""Parsing of the text of a cfg, or of a network in YAML, to a `Config`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from lark import Lark, Transformer, UnexpectedInput
from lark.lexer import Token

from darkparse.diagnostics.source import MAX_QUOTE_LENGTH, Source, Span, truncate
from darkparse.errors import DarkparseError, cfg_error
from darkparse.syntax.config import NET_NAMES, Config, Option, Section, strip_whitespace
from darkparse.syntax.files import MAX_CFG_BYTES, is_file, read_bytes
from darkparse.syntax.lookalikes import describe_lookalike
from darkparse.syntax.recognition import MAX_INSPECTED, describe_foreign_bytes, describe_foreign_text, detect_encoding
from darkparse.syntax.yaml_reader import is_yaml_network, parse_yaml


def read(cfg: str | os.PathLike[str] | Config, *, folders: Iterable[str | os.PathLike[str]] | None = None) -> Config:
    """Parse a cfg, or a network in the YAML that `to_yaml` writes.

    Args:
        cfg: Path, name of a cfg that ships with darkparse (`"yolov3"`), or the text itself. A string is text if it
            contains a line end or starts with `[`, unless a file or directory with that name exists.
        folders: Directories that may contain, at any depth, the files that the cfg references (`tree=`, `map=`).
            Default: the directory of the cfg, its parent and the working directory, unless they are the root of the
            file system or, for the working directory, the home directory.

    Returns:
        The syntax tree; `str()` of it equals the original text, character for character.

    Raises:
        CfgError: The text is not a cfg: an option precedes the first section, the first section is not `[net]`, or
            there are no layers.
        DarkparseError: The file cannot be read.

    >>> config = darkparse.read("yolov3-tiny")
    >>> config.net.find("width").text
    '416'
    """
    if isinstance(cfg, Config):
        return cfg if folders is None else parse(_replace_folders(cfg.source, folders))
    is_text = isinstance(cfg, str) and _looks_like_text(cfg) and not os.path.lexists(cfg)
    source = Source("<text>", str(cfg)) if is_text else load_source(locate_cfg(cfg))
    return parse(source if folders is None else _replace_folders(source, folders))


def _looks_like_text(cfg: str) -> bool:
    return "\n" in cfg or cfg.lstrip("\ufeff \t\r").startswith("[")


def _replace_folders(source: Source, folders: Iterable[str | os.PathLike[str]]) -> Source:
    return replace(source, folders=tuple(map(Path, folders)))


def locate_cfg(cfg: str | os.PathLike[str]) -> Path:
    """Resolve a CFG argument: a path, or else the name of a cfg that ships with darkparse.

    Raises:
        DarkparseError: No file and no cfg with this name exists.
    """
    path = Path(cfg)
    if is_file(path) or (path.suffix == ".cfg" and path.parent != Path()):
        return path
    shipped = find_shipped_cfgs()
    name = path.name.removesuffix(".cfg")
    if path.parent == Path() and name in shipped:
        return shipped[name]
    if path.suffix not in ("", ".cfg") or path.parent != Path():
        return path

    close_matches = get_close_matches(name.lower()[:MAX_QUOTE_LENGTH], shipped, n=1)
    hint = f"did you mean {close_matches[0]}?" if close_matches else f"available: {', '.join(shipped)}"
    raise DarkparseError(f"{truncate(str(path))}: no such file, and no cfg of that name ships with darkparse ({hint})")


@cache
def find_shipped_cfgs() -> dict[str, Path]:
    """Return the paths of the cfgs that ship with darkparse, by name."""
    package = Path(str(resources.files("darkparse")))
    folder = next((f for f in (package / "cfgs", package.parent / "cfgs") if f.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.cfg"), key=lambda path: path.stem)} if folder else {}


def load_source(path: Path) -> Source:
    """Read the text of a file, keeping line ends, the byte order mark and undecodable bytes.

    Raises:
        DarkparseError: The file cannot be read or does not contain text.
    """
    return make_source(read_bytes(path, MAX_CFG_BYTES), str(path), path)


def make_source(data: bytes, name: str, path: Path | None = None) -> Source:
    """Decode the bytes of a cfg.

    Raises:
        DarkparseError: The bytes are not text.
    """
    encoding = detect_encoding(data)
    if encoding != "utf-8":
        try:
            return Source(name, data.decode(encoding), path, encoding=encoding)
        except UnicodeDecodeError as problem:
            raise DarkparseError(f"{name}: damaged {encoding.upper()} text: {problem.reason}") from None
    if b"\0" in data[:MAX_INSPECTED]:
        raise DarkparseError(f"{name}: not a cfg, got {describe_foreign_bytes(data)}")
    return Source(name, data.decode("utf-8", errors="surrogateescape"), path)


def parse(source: Source) -> Config:
    """Parse a source that is already loaded.

    Raises:
        CfgError: The text is neither a cfg nor the YAML of a network.
    """
    if is_yaml_network(source):
        return parse_yaml(source)
    description = describe_foreign_text(source.text)
    if description is not None:
        start = len(source.text) - len(source.text.lstrip("\ufeff \t\r\n"))
        first = source.text[start:].partition("\n")[0].rstrip()
        raise cfg_error("not-a-cfg", f"not a cfg, got {description}", Span(source, start, start + len(first)))
    if source.text.count("\r") > 1 and "\n" not in source.text:
        message = "lines end in CR, so Darknet reads the file as one line; save it with LF line ends"
        raise cfg_error("line-ends", message, Span(source, 0, source.text.index("\r")))
    try:
        tokens, raw = cast("tuple[list[str], list[list[Token]]]", _load_parser().parse(source.text))
    except UnexpectedInput as problem:
        raise _make_syntax_error(source, problem) from None
    sections = [_parse_section(source, lines) for lines in raw]
    if not sections:
        raise cfg_error("empty", "file has no section; a cfg starts with [net]", Span(source, 0, 0))
    net, *layers = sections
    if net.kind not in NET_NAMES:
        raise cfg_error("no-net", f"first section must be [net] or [network], got [{truncate(net.kind)}]", net.span)
    if not layers:
        raise cfg_error("no-layers", "cfg has no layers; expected at least one section after [net]", net.span)
    return Config(source, tuple(tokens), net, tuple(layers))


class _Lines(Transformer[Token, Any]):
    """Transformer to lists of line tokens, one per section, and all tokens in order."""

    def section(self, lines: list[Token]) -> list[Token]:
        return lines

    def start(self, children: list[Token | list[Token]]) -> tuple[list[str], list[list[Token]]]:
        sections = [child for child in children if isinstance(child, list)]
        head = [child for child in children if not isinstance(child, list)]
        return [str(token) for line in (head, *sections) for token in line], sections


@cache
def _load_parser() -> Lark:
    grammar = resources.files("darkparse.syntax").joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=_Lines())


def _parse_section(source: Source, lines: list[Token]) -> Section:
    header, *body = lines
    start = header.start_pos or 0
    span = Span(source, start, start + len(header.rstrip()))
    header_text = strip_whitespace(header)
    name, bracket, trailing = header_text[1:].partition("]")
    if not bracket:
        message = "section header without a closing bracket; expected e.g. [convolutional]"
        raise cfg_error("header", f"{message}{describe_lookalike(header_text)}", span)
    if trailing:
        message = (
            f"text after the closing bracket, got {truncate(header_text)!r}, all of which Darknet reads as the section "
            "name; move the text to a separate line"
        )
        raise cfg_error("header", message, span)
    return Section(name, tuple(_parse_option(source, line) for line in body if line.type == "OPTION"), span)


def _parse_option(source: Source, line: Token) -> Option:
    start = line.start_pos or 0
    text = line.rstrip(" \t\r\n")
    key, equals, value = text.partition("=")
    return Option(
        strip_whitespace(key),
        strip_whitespace(value) if equals else None,
        source,
        start,
        start + len(key),
        start + len(text),
    )


def _make_syntax_error(source: Source, problem: UnexpectedInput) -> DarkparseError:
    start = max(problem.pos_in_stream or 0, 0)
    end = source.text.find("\n", start)
    line = Span(source, start, end if end >= 0 else len(source.text))
    return cfg_error(
        "outside-section",
        f"line before the first section; a cfg starts with [net]{describe_lookalike(line.text.partition('=')[0])}",
        Span(source, start, start + len(line.text.rstrip())),
    )
