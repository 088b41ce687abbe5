"""`darkparse lsp`: serve an editor over standard input and output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkparse._version import __version__
from darkparse.cli.help import HelpCommand
from darkparse.diagnostics import Diagnostic, Note, Source, Span
from darkparse.errors import CfgError, DarkparseError
from darkparse.layers import REGISTRY, Layer
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.base import get_bound_fields, to_absolute_index
from darkparse.layers.net import Net
from darkparse.layers.reference import find_option, list_options
from darkparse.network.analysis.receptive import get_receptive_fields
from darkparse.syntax import Config, Section
from darkparse.syntax.config import NET_NAMES
from darkparse.views.formatting.numbers import flops_text, number_text
from darkparse.views.text.table import table, totals

if TYPE_CHECKING:
    from lsprotocol import types
    from pygls.lsp.server import LanguageServer

    from darkparse.network import Network


@click.command(name="lsp", cls=HelpCommand)
def command() -> None:
    """Start the language server for cfgs.

    Provides diagnostics, hover, go-to-definition and completion over standard input and output. Editor settings are in
    docs/howto/editors.md. Requires darkparse[lsp].
    """
    create_server().start_io()


def create_server() -> LanguageServer:
    """Return the language server.

    Raises:
        DarkparseError: pygls is not installed.
    """
    try:
        from lsprotocol import types
        from pygls.lsp.server import LanguageServer
    except ModuleNotFoundError:
        raise DarkparseError("the language server requires pygls\nhint: pip install 'darkparse[lsp]'") from None

    language_server = LanguageServer("darkparse", __version__)
    documents: dict[str, Document] = {}

    @language_server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    @language_server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidOpenTextDocumentParams | types.DidChangeTextDocumentParams) -> None:
        uri = params.text_document.uri
        text = language_server.workspace.get_text_document(uri).source
        documents[uri] = Document.from_text(_to_path(uri), text, documents.get(uri))
        diagnostics = [_to_diagnostic(uri, diagnostic) for diagnostic in documents[uri].diagnostics]
        language_server.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri=uri, diagnostics=diagnostics)
        )

    @language_server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        documents.pop(params.text_document.uri, None)

    @language_server.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(params: types.HoverParams) -> types.Hover | None:
        markdown = documents[params.text_document.uri].describe_line(params.position.line + 1)
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, markdown)) if markdown else None

    @language_server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def definition(params: types.DefinitionParams) -> types.Location | None:
        position = params.position
        section = documents[params.text_document.uri].find_reference(position.line + 1, position.character)
        return types.Location(params.text_document.uri, _to_range(section.span)) if section else None

    @language_server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["[", "="]))
    def completion(params: types.CompletionParams) -> list[types.CompletionItem]:
        lines = language_server.workspace.get_text_document(params.text_document.uri).source.split("\n")
        config = documents[params.text_document.uri].config
        if config is not None and not config.source.is_cfg:
            return []
        before = [*lines[: params.position.line], lines[params.position.line][: params.position.character]]
        return [types.CompletionItem(label=name, detail=detail) for name, detail in completions(before)]

    return language_server


@dataclass(frozen=True)
class Document:
    """Cfg that is being edited: its findings, and the last config and network that could be parsed and compiled."""

    diagnostics: tuple[Diagnostic, ...]
    config: Config | None
    network: Network | None

    @classmethod
    def from_text(cls, path: Path, text: str, before: Document | None) -> Document:
        """Compile a text; if it fails, use the config and network of the document before."""
        from darkparse.network import compile
        from darkparse.syntax import parse

        config, network = (before.config, before.network) if before else (None, None)
        try:
            config = parse(Source(path.name, text.replace("\r\n", "\n"), path))
            network = compile(config)
        except CfgError as problem:
            return cls(problem.diagnostics, config, network)
        except DarkparseError as problem:
            return cls((Diagnostic("error", "unreadable", str(problem)),), config, network)
        return cls(network.diagnostics, config, network)

    def _find_section(self, line: int) -> tuple[int, Section] | None:
        """Return the section that contains a line, and the index of its layer (-1 for [net])."""
        if self.config is None:
            return None
        sections = enumerate((self.config.net, *self.config.sections), start=-1)
        return max(((i, s) for i, s in sections if s.span.line <= line), key=lambda pair: pair[0], default=None)

    def describe_line(self, line: int) -> str:
        """Return Markdown about the option in a line, and about the layer that it belongs to."""
        return "\n\n".join(filter(None, (self._describe_option(line), self._describe_layer(line))))

    def _describe_option(self, line: int) -> str:
        place = self._find_section(line)
        option = next((o for o in place[1].options if o.span.line == line), None) if place else None
        cls = find_class(place[1].kind) if place else None
        entry = find_option(cls, option.key) if cls and option else None
        return f"**{option.key}** {entry}" if entry and option else ""

    def _describe_layer(self, line: int) -> str:
        """Return Markdown about the layer whose section contains a line, as far as the cfg compiles."""
        place, network = self._find_section(line), self.network
        if place is None or network is None or place[0] >= len(network.nodes):
            return ""
        index = place[0]
        if index < 0:
            return totals(network)
        node, row = network.nodes[index], table(network)[index]
        field = get_receptive_fields(network)[node.index]
        sees = f"{field[0]}×{field[1]} pixels of the input" if field else "all of the input"
        facts = [
            f"**L{node.index} {row.layer}**",
            f"{row.input} → {row.output}",
            f"reduction: {row.reduction or 'none'}",
        ]
        cost = f"{number_text(node.params)} parameters, {flops_text(node.macs)}"
        return "  \n".join([*facts, cost, f"a value sees {sees}"])

    def find_reference(self, line: int, character: int) -> Section | None:
        """Return the section of the layer that a number in `layers=`, `from=` or `share_index=` refers to."""
        place = self._find_section(line)
        if place is None or self.config is None:
            return None
        index, section = place
        option = next((o for o in section.options if o.span.line == line and o.key in REFERENCES), None)
        if option is None:
            return None
        for number in re.finditer(r"-?\d+", option.value_span.text.partition("#")[0]):
            start = option.value_span.column - 1 + number.start()
            target = to_absolute_index(int(number[0]), index)
            if start <= character <= start + len(number[0]) and 0 <= target < len(self.config.sections):
                return self.config.sections[target]
        return None


def find_class(kind: str) -> type[Layer] | type[Net] | None:
    """Return the class of a section; None for an unknown one."""
    return Net if kind in NET_NAMES else REGISTRY.get(kind)


REFERENCES = ("layers", "from", "share_index")


def completions(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield names that can follow a text, each with a description: kinds, options of the section, values."""
    line = lines[-1].strip()
    if line.startswith("["):
        yield "net", "the network's input and training"
        yield from ((name, (cls.__doc__ or "").split("\n")[0]) for name, cls in REGISTRY.items())
        return
    headers = (re.match(r"\s*\[\s*(\w+)\s*\]", text) for text in reversed(lines))
    kind = next((match[1] for match in headers if match), None)
    cls = find_class(kind or "")
    if cls is None:
        return
    key, equals, _ = line.partition("=")
    if not equals:
        yield from ((name, str(entry)) for entry in list_options(cls) for name in entry.keys)
        return
    item = next((item for item in get_bound_fields(cls) if key.strip() in item.keys), None)
    if item is not None:
        words = ACTIVATIONS if item.name.endswith("activation") else getattr(item.read, "words", ())
        yield from ((word, f"value of {key.strip()}") for word in words)


def _to_path(uri: str) -> Path:
    from pygls import uris

    return Path(uris.to_fs_path(uri) or uri)


def _to_diagnostic(uri: str, diagnostic: Diagnostic) -> types.Diagnostic:
    from lsprotocol import types

    severity = types.DiagnosticSeverity.Error if diagnostic.severity == "error" else types.DiagnosticSeverity.Warning
    related = [
        types.DiagnosticRelatedInformation(types.Location(uri, _to_range(note.span)), note.message)
        for note in (*diagnostic.notes, *(Note("here too", span) for span in diagnostic.more))
        if note.span is not None
    ]
    message = "\n".join([diagnostic.message, *(note.message for note in diagnostic.notes if note.span is None)])
    return types.Diagnostic(
        _to_range(diagnostic.span), message, severity, diagnostic.code, source="darkparse", related_information=related
    )


def _to_range(span: Span | None) -> types.Range:
    """Convert a span to a range of the protocol, which counts lines and UTF-16 units from 0."""
    from lsprotocol import types

    if span is None:
        return types.Range(types.Position(0, 0), types.Position(0, 0))
    line, column = span.source.get_position(span.start)
    before = span.source.get_line(span.start)[: column - 1]
    start = len(before.encode("utf-16-le", "surrogatepass")) // 2
    width = len(span.text.partition("\n")[0].encode("utf-16-le", "surrogatepass")) // 2
    return types.Range(types.Position(line - 1, start), types.Position(line - 1, start + width))
