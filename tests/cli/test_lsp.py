"""An editor at the other end of standard input and output: findings, facts, references, completion."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from darkparse.cli.lsp import completions
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.cli.editor import Editor

pytest.importorskip("pygls")

NET = "[net]\nwidth=64\nheight=64\nchannels=3\n\n"
CONV = "[convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=leaky\n\n"
ROUTED = NET + CONV + "[convolutional]\nfilters=8\n\n[route]\nlayers = -1,0\n"


def _with_editor(session: Callable[[Editor], Awaitable[None]]) -> None:
    from tests.cli.editor import run_session

    run_session(session)


@pytest.mark.process
def test_lsp_session_answers_diagnostics_hover_and_definition() -> None:
    from lsprotocol import types

    async def session(editor: Editor) -> None:
        assert await editor.open(ROUTED) == []
        told = await editor.hover(7)
        for fact in ("**L0 conv 3×3 /2, 8**", "64×64×3 → 32×32×8", "H×W ÷2, C ×2.67", "parameters", "3×3 pixels"):
            assert fact in told
        assert "3 layers" in await editor.hover(2)
        assert "**size** Side of the kernel in pixels. (default 1)\n\n**L0 conv" in await editor.hover(8)
        assert [await editor.definition(17, column) for column in (10, 11, 13, 1)] == [13, 13, 6, None]
        (warning,) = await editor.change(ROUTED.replace("activation=leaky", "activation=é leeky"))
        assert (warning.code, warning.severity) == ("unknown-activation", types.DiagnosticSeverity.Warning)
        assert warning.range == types.Range(types.Position(10, 11), types.Position(10, 18))
        (error,) = await editor.change(ROUTED.replace("[route]", "[rout]"))
        assert "did you mean [route]?" in error.message
        assert "**L1" in await editor.hover(13)  # of the cfg as it was
        assert "route" in await editor.complete(16, 6)
        (error,) = await editor.change(ROUTED.replace("[route]", "[rou"))
        assert error.code == "header"
        assert {"activation", "filters"} <= set(await editor.complete(15, 1))

    _with_editor(session)


@pytest.mark.process
def test_lsp_hover_in_yolov4_answers_within_100_ms() -> None:
    async def session(editor: Editor) -> None:
        assert await editor.open((ROOT / "cfgs" / "yolov4.cfg").read_text("utf-8")) == []
        taken = []
        for line in (40, 400, 900):
            start = time.perf_counter()
            assert "receptive" in await editor.hover(line) or "sees" in await editor.hover(line)
            taken.append(time.perf_counter() - start)
        assert min(taken) < 0.1

    _with_editor(session)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[net]\n[conv", {"convolutional", "yolo", "net"}),
        ("[net]\nw", {"width", "learning_rate"}),
        ("[net]\n[conv]\nfilters=2\nact", {"activation", "batch_normalize"}),
        ("[net]\n[conv]\nactivation=", {"leaky", "mish"}),
        ("[net]\n[yolo]\nnms_kind=gr", {"greedynms", "default"}),
        ("[net]\n[shortcut]\nweights_type=", {"per_feature", "per_channel"}),
    ],
)
def test_completions_at_place_include_expected_names(text: str, names: set[str]) -> None:
    assert names <= {name for name, _ in completions(text.split("\n"))}


@pytest.mark.parametrize("text", ["x", "[net]\n[nothing]\nx", "[net]\n[conv]\nfilters="])
def test_completions_in_unknown_context_are_empty(text: str) -> None:
    assert not list(completions(text.split("\n")))


def test_lsp_module_has_at_most_250_lines() -> None:
    assert len((Path(ROOT) / "darkparse" / "cli" / "lsp.py").read_text("utf-8").splitlines()) <= 250
