"""Networks that are cheap to build, and a choice of small cfgs for checks that need not see every one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.conftest import ROOT


def narrow(name: str, divisor: int = 4, size: int = 64) -> str:
    """Return the text of a shipped cfg with fewer filters before its heads and a smaller square input."""

    def divide(filters: re.Match[str]) -> str:
        return filters[0] if filters[1] == "255" else f"filters={int(filters[1]) // divisor}"

    text = (ROOT / "cfgs" / f"{name}.cfg").read_text("utf-8")
    text = re.sub(r"^(width|height)=\d+", rf"\1={size}", text, flags=re.MULTILINE)
    return re.sub(r"^filters=(\d+)", divide, text, flags=re.MULTILINE)


def mark_repeated(paths: Iterable[Path], *, by_option: bool) -> list[ParameterSet]:
    """Return cfgs as test parameters; those are slow whose kinds and activations all occur in earlier ones.

    Args:
        paths: Cfgs.
        by_option: Distinguish cfgs by each option and each value that is a word too, not only by activations.
    """
    params, seen = [], set[tuple[str, ...]]()
    for path in paths:
        traits = set(_list_traits(path.read_text("utf-8", "replace"), by_option=by_option))
        marks = pytest.mark.slow if traits <= seen else ()
        params.append(pytest.param(path, id=path.stem, marks=marks))
        seen |= traits
    return params


def _list_traits(text: str, *, by_option: bool) -> Iterable[tuple[str, ...]]:
    kind = ""
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition("#")[0].partition("="))
        if key.startswith("["):
            kind = key
            yield (kind,)
        elif key and (by_option or key == "activation"):
            yield kind, key, "" if re.match(r"[-\d.]", value) else value
