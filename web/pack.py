"""Packing of the page's Python files, run by compile.mjs in Pyodide: /bundle.zip and /stdlib.zip to /out_….zip."""

from __future__ import annotations

import importlib.util
import json
import marshal
import sys
import zipfile
from types import CodeType

NEVER_USED = (
    *("_pyrepl", "antigravity", "cProfile", "doctest", "ensurepip", "ftplib", "http", "imaplib", "mailbox"),
    *("modulefinder", "multiprocessing", "pdb", "pickletools", "poplib", "profile", "pstats", "pydoc", "smtplib"),
    *("sqlite3", "ssl", "this", "trace", "unittest", "webbrowser", "wsgiref", "xmlrpc", "zipapp", "zoneinfo"),
)
"""Modules and packages of the standard library that are left out: tools, servers and clients."""


def warm_up() -> None:
    """Import what the first views of a network import."""
    sys.path.insert(0, "/bundle")
    import bridge

    text = json.loads(bridge.call("shipped", '{"name": "yolov3-tiny"}'))["result"]
    for view in ("check", "overview", "layers", "explain", "show"):
        assert "result" in json.loads(bridge.call(view, json.dumps(text))), view


def strip(code: CodeType) -> CodeType:
    """Remove line numbers, a third of the size; a user of the page sees no traceback."""
    constants = tuple(strip(value) if isinstance(value, CodeType) else value for value in code.co_consts)
    return code.replace(co_linetable=b"", co_consts=constants)


def pack(source: str, target: str, root: str) -> None:
    """Write an archive again, with compiled files in place of those that were imported from it."""
    imported = {getattr(module, "__file__", None) for module in sys.modules.values()}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in sorted(old.namelist()):
            data = old.read(name)
            if name.partition("/")[0].removesuffix(".py") in NEVER_USED or name.endswith("/"):
                continue
            if f"{root}/{name}" in imported:
                code = strip(compile(data, name, "exec", dont_inherit=True, optimize=2))
                name, data = f"{name}c", importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)
            # A fixed date, so that the same files give the same bytes.
            new.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)


with zipfile.ZipFile("/bundle.zip") as archive:
    archive.extractall("/bundle")
warm_up()
pack("/bundle.zip", "/out_bundle.zip", "/bundle")
STDLIB = next(path for path in sys.path if path.endswith(".zip"))
pack("/stdlib.zip", "/out_stdlib.zip", STDLIB)
