"""Notebook output of networks, layers and modules; the code that renders it is imported on first use."""

from __future__ import annotations

from importlib import import_module


class NotebookRepr:
    """Mixin for objects that notebooks display with `darkparse.views.notebook`."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        bundle: dict[str, str] = import_module("darkparse.views.notebook").mime_bundle(self)
        return bundle
