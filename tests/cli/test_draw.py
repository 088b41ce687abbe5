"""`darkparse draw`: details, widths, and drawing again whenever the cfg is saved."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click
import pytest

from darkparse.cli import main
from tests.conftest import ROOT


def _error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_draw_of_stages_writes_an_overview(tmp_path: Path) -> None:
    target = tmp_path / "x.svg"
    main(["draw", "yolov3", "--detail", "stages", "-o", str(target)])
    assert "Residual × 8" in target.read_text("utf-8")


def test_draw_with_a_width_writes_a_page_of_that_width(tmp_path: Path) -> None:
    target = tmp_path / "x.svg"
    main(["draw", "yolov3", "--width", "8.5cm", "--no-title", "-o", str(target)])
    text = target.read_text("utf-8")
    assert re.search(r'<svg [^>]* width="240\.9\d*pt"', text)
    assert ">yolov3<" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--width", "3cm"), r"width is too small for 6-point type, got 85\.04pt; expected at least \d+pt"),
        (("--width", "241pt", "--detail", "layers"), r"expected at least \d+pt\nhint: an overview is narrower"),
        (("--width", "wide"), "invalid width, got 'wide'; expected a length such as 241pt"),
        (("--detail", "stages", "--overlay", "memory"), "an overlay requires detail 'layers', got 'stages'"),
        (("--width", "17cm", "--layout", "graphviz"), "a width requires layout 'darkparse', got 'graphviz'"),
    ],
)
def test_draw_with_options_that_do_not_fit_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    target = tmp_path / "x.svg"
    assert re.search(message, _error(capsys, "draw", "yolov3", *arguments, "-o", str(target)))
    assert not target.exists()


def test_watch_draws_again_after_each_save_and_survives_an_invalid_cfg(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, target = tmp_path / "my.cfg", tmp_path / "my.svg"
    shutil.copy(ROOT / "cfgs" / "yolov3-tiny.cfg", cfg)
    text = cfg.read_text()
    edits = iter(
        (text + "[nonsense]\n", None, text.replace("width=416", "width=608").replace("height=416", "height=608"))
    )
    drawn: list[str] = []

    def save(seconds: float) -> None:
        drawn.append(target.read_text("utf-8"))
        edit = next(edits, "end")
        if edit == "end":
            raise KeyboardInterrupt
        if edit is None:
            cfg.unlink()
        else:
            cfg.write_text(edit)

    monkeypatch.setattr("darkparse.cli.watch.time.sleep", save)
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    with pytest.raises(KeyboardInterrupt):
        main(["draw", str(cfg), "--watch", "--open", "-o", str(target)])
    messages = capsys.readouterr().err
    assert "nonsense" in messages
    assert messages.count("wrote ") == 2
    assert ["608" in text for text in drawn] == [False, False, False, True]
    assert opened == [str(target)]


def test_watch_of_standard_input_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (ROOT / "cfgs" / "yolov3-tiny.cfg").open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert "--watch requires files, got standard input" in _error(capsys, "draw", "-", "--watch", "-o", "x.svg")


def test_open_launches_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    main(["draw", "yolov3-tiny", "--open", "-o", str(tmp_path / "x.svg")])
    assert opened == [str(tmp_path / "x.svg")]
