"""How a network, a layer and a module show themselves in a notebook; what shows them is imported only there."""

from __future__ import annotations

from importlib import import_module


class NotebookRepr:
    """What a notebook shows by `darkparse.views.notebook`."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        bundle: dict[str, str] = import_module("darkparse.views.notebook").mime_bundle(self)
        return bundle
