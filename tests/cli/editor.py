"""An editor that talks to the language server, apart from the tests because its protocol takes long to import."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

URI = "file:///cfgs/a.cfg"


class Editor:
    """A client with one open file, and the findings that came for it last."""

    def __init__(self, client: LanguageClient) -> None:
        self.client = client
        self.found: asyncio.Queue[types.PublishDiagnosticsParams] = asyncio.Queue()
        self.version = 0

        @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)  # type: ignore[untyped-decorator]
        def published(params: types.PublishDiagnosticsParams) -> None:
            self.found.put_nowait(params)

    async def open(self, text: str) -> list[types.Diagnostic]:
        item = types.TextDocumentItem(URI, "darknet", 0, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return list((await self.found.get()).diagnostics)

    async def change(self, text: str) -> list[types.Diagnostic]:
        self.version += 1
        where = types.VersionedTextDocumentIdentifier(self.version, URI)
        whole = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(where, [whole]))
        return list((await self.found.get()).diagnostics)

    async def hover(self, line: int) -> str:
        at = types.HoverParams(types.TextDocumentIdentifier(URI), types.Position(line - 1, 0))
        hover: Any = await self.client.text_document_hover_async(at)
        return hover.contents.value if hover else ""

    async def definition(self, line: int, column: int) -> int | None:
        at = types.DefinitionParams(types.TextDocumentIdentifier(URI), types.Position(line - 1, column - 1))
        place: Any = await self.client.text_document_definition_async(at)
        return place.range.start.line + 1 if place else None

    async def complete(self, line: int, column: int) -> list[str]:
        at = types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(line - 1, column - 1))
        items: Any = await self.client.text_document_completion_async(at)
        return [item.label for item in items]


def run_session(session: Callable[[Editor], Awaitable[None]]) -> None:
    """Start the server, run a session in it and stop it."""

    async def run() -> None:
        client = LanguageClient("editor", "1")
        editor = Editor(client)
        await client.start_io(sys.executable, "-m", "darkparse", "lsp")
        await client.initialize_async(types.InitializeParams(types.ClientCapabilities()))
        client.initialized(types.InitializedParams())
        await session(editor)
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]

    asyncio.run(asyncio.wait_for(run(), 60))
