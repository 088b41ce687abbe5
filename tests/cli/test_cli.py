"""The command line: what a person sees."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import darkparse
from darkparse.cli import main
from darkparse.views.text.table import table
from tests.commands import run_command
from tests.conftest import ROOT


def _out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(list(arguments))
    return capsys.readouterr().out


def test_show_table_matches_golden(capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]) -> None:
    for name in ("yolov3-tiny", "yolov4-tiny"):
        golden(f"{name}.table.txt", _out(capsys, "show", name))


@pytest.mark.parametrize("name", ["yolov3", "yolov4"])
@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (60, ["layer", "output", "reduces"]),
        (80, ["layer", "input", "output", "reduces"]),
        (100, ["layer", "input", "output", "parameters", "BFLOPs", "reduces"]),
    ],
)
def test_show_table_fits_terminal_width_without_cutting_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, width: int, columns: list[str]
) -> None:
    """The parameters go before the input, which every reduction starts from; long texts are wrapped, none is cut."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", _out(capsys, "show", name)).splitlines()[:-2]
    assert lines[0].split() == columns
    assert max(map(len, lines)) <= width
    assert lines == [line.rstrip() for line in lines]
    words = " ".join(lines).split()
    assert all(
        word in words for row in table(darkparse.compile(name)) for word in (*row.layer.split(), *row.reduction.split())
    )


@pytest.mark.parametrize("name", ["yolov1", "yolov3", "yolov4"])
def test_show_columns_sum_to_totals(capsys: pytest.CaptureFixture[str], name: str) -> None:
    header, _, *lines = _out(capsys, "show", name).splitlines()
    network = darkparse.compile(name)
    rows, total = lines[: len(network.nodes)], lines[len(network.nodes)]
    params, bflops = (_column(header, rows, title) for title in ("parameters", "BFLOPs"))
    assert f"{sum(params):,.0f} parameters" in total
    assert sum(bflops) == pytest.approx(network.bflops, abs=0.0005 * len(rows)), "each is rounded to three digits"
    assert f"{network.bflops:.3f} BFLOPs" in total


def _column(header: str, rows: list[str], title: str) -> list[float]:
    """The numbers of a right-aligned column."""
    end = header.index(title) + len(title)
    start = len(header[: header.index(title)].rstrip())
    return [float(text.replace(",", "")) for row in rows if (text := row[start:end].strip())]


def test_show_format_csv_json_and_yaml_match_network(capsys: pytest.CaptureFixture[str]) -> None:
    network = darkparse.compile("yolov3-tiny")
    layers = json.loads(_out(capsys, "show", "yolov3-tiny", "--format", "json"))["layers"]
    assert [layer["parameters"] for layer in layers] == [node.params for node in network.nodes]
    read = list(csv.DictReader(io.StringIO(_out(capsys, "show", "yolov3-tiny", "--format", "csv"))))
    assert [row["output"] for row in read] == [str(node.out_shape) for node in network.nodes]
    assert _out(capsys, "show", "yolov3-tiny", "--format", "yaml") == network.to_yaml()


def test_show_size_accepts_number_and_height_by_width(capsys: pytest.CaptureFixture[str]) -> None:
    assert "at 416×416" in _out(capsys, "show", "yolov3", "--size", "416")
    assert "at 320×608" in _out(capsys, "show", "yolov3", "--size", "320x608")


def test_show_prints_dialect_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert "dialect alexeyab: only AlexeyAB/darknet supports" in _out(capsys, "show", "yolov4-tiny")
    assert "dialect alexeyab: requested" in _out(capsys, "show", "yolov3-tiny", "--dialect", "alexeyab")


def test_show_with_many_warnings_prints_first_three_to_stderr(tmp_path: Path) -> None:
    path = tmp_path / "odd.cfg"
    path.write_text("[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\n" + "".join(f"option{n}={n}\n" for n in range(2, 9)))
    run = run_command("show", path)
    assert run.returncode == 0
    assert len(run.stderr.splitlines()) == 4
    assert run.stderr.splitlines()[-1] == f"… and 4 more: darkparse check {path}"
    check = run_command("check", path)
    assert (check.returncode, check.stdout.count("warning: ")) == (0, 7)
    assert check.stdout.splitlines()[-1].startswith(f"{path}: 0 errors, 7 warnings; compiles, 1 layer")
    assert run_command("check", path, "--strict").returncode == 1


def test_show_without_terminal_prints_no_color() -> None:
    assert "\x1b[" not in run_command("show", "yolov3-tiny").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nothing.cfg"], "nothing.cfg: no such file, and no cfg of that name ships"),
        (["show", "yolov33"], "no cfg of that name ships with darkparse"),
        (["show", "yolov3", "--size", "big"], "invalid size 'big'; expected N or HxW, e.g. 416 or 320x640"),
        (["show", "yolov3", "--size", "0"], "invalid size '0'"),
        (["shw"], "unknown command 'shw'; did you mean 'show'?"),
        (["show"], "Missing argument 'CFG'"),
        (["show", "yolov3", "--dialect", "darknet"], "'darknet' is not one of"),
    ],
)
def test_bad_input_exits_2_with_one_message(arguments: list[str], message: str) -> None:
    run = run_command(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_process_with_bad_input_exits_2_with_one_message() -> None:
    command = [sys.executable, "-m", "darkparse", "show", "yolov33"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert "no cfg of that name ships with darkparse" in run.stderr
    assert "Traceback" not in run.stderr


def test_show_into_closed_pipe_prints_no_error() -> None:
    command = f"{sys.executable} -m darkparse show yolov4 | head -n 1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert run.stderr == ""


def test_version_lists_installed_packages() -> None:
    lines = run_command("--version").stdout.splitlines()
    assert lines[0] == f"darkparse {darkparse.__version__}"
    assert any(line.startswith("torch ") for line in lines)


def test_shell_completion_of_cfg_offers_shipped_names() -> None:
    from darkparse.cli.common import CfgType

    items = CfgType().shell_complete(None, None, "yolov3")  # type: ignore[arg-type]
    assert [item.value for item in items[:-1]] == ["yolov3", "yolov3-spp", "yolov3-tiny", "yolov3-tiny-prn"]
    assert items[-1].type == "file"


def _error(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The message of a command that ends with status 2."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_show_size_that_does_not_fit_names_one_that_does(capsys: pytest.CaptureFixture[str]) -> None:
    error = _error(capsys, "show", "yolov3-tiny", "--size", "33")
    assert "an input of 33×33 does not fit; multiples of 32 do, such as 32×32" in error


def test_show_mistyped_name_suggests_shipped_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean yolov3?" in _error(capsys, "show", "YOLVO3")


def test_edit_keeps_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff[net]\r\nwidth=32\r\nheight=32\r\nchannels=3\r\n\r\n[convolutional]\r\nfilters=4\r\n"
    (tmp_path / "a.cfg").write_bytes(text.encode())
    main(["edit", str(tmp_path / "a.cfg"), "--size", "64", "-o", str(tmp_path / "b.cfg")])
    assert (tmp_path / "b.cfg").read_bytes() == text.replace("=32", "=64").encode()


def test_edit_anchors_that_do_not_fit_masks_exit_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for anchors, reason in (
        ("1,2", "for mask=(3, 4, 5)"),
        ("10,0", "above 0"),
        ("1,2,3", "must be pairs of width and height"),
    ):
        assert reason in _error(capsys, "edit", "yolov3-tiny", "--anchors", anchors, "-o", tmp_path / "x.cfg")
    assert not list(tmp_path.iterdir())


def test_draw_without_renderer_writes_no_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["draw", "yolov3-tiny", "-o", str(tmp_path / "x.pdf")])
    assert ended.value.code == 3
    assert not list(tmp_path.iterdir())
    assert "unknown extension" in _error(capsys, "draw", "yolov3-tiny", "-o", tmp_path / "noext")


STDIN_CFG = (
    "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=18\nsize=1\nactivation=linear\n"
    "[yolo]\nclasses=1\nnum=3\nanchors=1,2,3,4,5,6\n"
)


@pytest.fixture
def piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with weights, a picture and its labels; the cfg comes from standard input."""
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "scene.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "scene.jpg").write_bytes((ROOT / "cfgs" / "shapes" / "shapes1.jpg").read_bytes())
    (tmp_path / "x.names").write_text("thing\n")
    darkparse.save(darkparse.build(darkparse.compile(STDIN_CFG), initialize=True), tmp_path / "x.weights")
    np.savez(tmp_path / "layers.npz", **{"0": np.zeros((1, 18, 32, 32), np.float32)})  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(STDIN_CFG.encode())))
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "show -",
        "explain -",
        "draw - -o x.dot",
        "check -",
        "emit -",
        "edit - --classes 2",
        "weights -",
        "weights - x.weights",
        "convert - x.weights -o new.pt",
        "convert - x.weights -o there.pt",
        "diff x.weights x.weights --cfg -",
        "detect - x.weights scene.jpg --names x.names",
        "evaluate - x.weights --names x.names --images . --annotations boxes --rule darknet",
        "compare - x.weights scene.jpg --against layers.npz",
    ],
)
def test_command_with_dash_reads_cfg_from_stdin(line: str, piped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = line.split()[0]
    if command in ("detect", "evaluate", "compare"):
        pytest.importorskip("PIL")
    (piped / "there.pt").write_bytes(b"")
    status: object = None
    try:
        main(line.split())
    except SystemExit as ended:
        status = ended.code
    assert status in ((1,) if command == "compare" else (None, 0)), capsys.readouterr().err


def test_convert_with_weights_from_stdin_exits_2(piped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "darkparse convert - WEIGHTS -o out.pt" in _error(capsys, "convert", "-", "-o", "out.pt")
    sys.stdin = io.TextIOWrapper(io.BytesIO(STDIN_CFG.encode()))
    assert "pass the weights as a file" in _error(capsys, "convert", "yolov3", "-", "-o", "out.pt")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_show_in_ascii_or_cp1252_replaces_symbols(encoding: str) -> None:
    for command in ("show", "explain"):
        line = [sys.executable, "-m", "darkparse", command, "yolov3-tiny"]
        run = subprocess.run(line, capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": encoding})
        assert (run.returncode, run.stderr) == (0, b"")
        said = run.stdout.decode(encoding)
        assert ("conv 3×3" if encoding == "cp1252" else "conv 3x3") in said
        if command == "explain":
            assert ("v 416>208 (÷2)" if encoding == "cp1252" else "v 416>208 (/2)") in said


def test_command_that_writes_file_reports_it_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    darkparse.save(darkparse.build(darkparse.compile(STDIN_CFG), initialize=True), tmp_path / "x.weights")
    (tmp_path / "x.cfg").write_text(STDIN_CFG)
    for line in (
        ("draw", tmp_path / "x.cfg", "-o", tmp_path / "x.svg"),
        ("emit", tmp_path / "x.cfg", "-o", tmp_path / "x.py"),
        ("edit", tmp_path / "x.cfg", "--size", "64", "-o", tmp_path / "y.cfg"),
        ("convert", tmp_path / "x.cfg", tmp_path / "x.weights", "-o", tmp_path / "x.pt"),
    ):
        main([str(word) for word in line])
        said = capsys.readouterr()
        assert f"wrote {line[-1]}" in said.err
        assert "wrote" not in said.out


def test_draw_that_takes_long_prints_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from darkparse.cli import common
    from darkparse.views.diagram.diagram import Diagram

    target = tmp_path / "x.svg"
    monkeypatch.setattr(common, "NOTICE_DELAY", 0.01)
    monkeypatch.setattr(Diagram, "render", lambda self, path, form: time.sleep(0.2))
    main(["draw", "yolov3-tiny", "-o", str(target)])
    assert capsys.readouterr().err == f"drawing {target} …\nwrote {target}\n"


def test_command_with_closed_stdout_exits_1_silently() -> None:
    for command in ("show", "explain", "weights"):
        run = subprocess.Popen(
            [sys.executable, "-m", "darkparse", command, "yolov3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert run.stdout is not None
        run.stdout.close()
        assert run.stderr is not None
        with run.stderr:
            assert (run.stderr.read(), run.wait()) == (b"", 1), command


def test_repr_of_public_objects_is_one_line() -> None:
    network = darkparse.compile("yolov3", size=416)
    assert repr(network) == "Network(yolov3, 107 layers, input 416×416×3, pjreddie)"
    assert repr(network.nodes[79]) == "Node(L79 conv 1×1, 512: 13×13×1024 to 13×13×512)"
    assert repr(darkparse.explain(network)) == f"Explanation({network!r})"
    with pytest.raises(darkparse.DarkparseError, match="invalid size '416'"):
        darkparse.compile("yolov3", size="416")  # type: ignore[arg-type]
