"""darkparse weights, convert and diff."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import darkparse
from darkparse.cli import main
from tests.weights.weight_files import ALEXEYAB, SMALL, network, weights

NET = network()


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit status, output and messages of a command."""
    status = 0
    try:
        main(list(args))
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.cfg").write_text(SMALL)
    Path("small.weights").write_bytes(weights(NET, ALEXEYAB))
    Path("backbone").write_bytes(weights(NET, ALEXEYAB, upto=2))
    return tmp_path


def test_weights_command_prints_layout(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "weights", "small.cfg")
    assert status == 0
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("L")]
    assert rows[5] == ["L1", "convolutional", "14", "norm.bias", "16", "16", "1,012"]
    assert sum(int(row[5].replace(",", "")) for row in rows) == NET.stored_floats
    assert f"small requires {len(weights(NET)):,} bytes" in out


def test_weights_command_of_fitting_file_reports_fit(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "weights", "small.cfg", "small.weights")
    assert status == 0
    assert "header: version 0.2.5, 32,013,312 images seen, 20 bytes" in out
    assert "small.weights fits small" in out
    assert "deviation" in out


def test_weights_command_of_other_file_exits_2_with_cause(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "weights", "small.cfg", "backbone")
    assert status == 2
    assert out.count("missing") == 2 * 9
    assert err.startswith("darkparse: error: backbone does not fit small: ")
    assert "hint: load it with upto=2" in err
    assert run(capsys, "weights", "small.cfg", "backbone", "--upto", "2")[0] == 0
    Path("page").write_text("<html><title>Not found</title>")
    status, out, err = run(capsys, "weights", "small.cfg", "page")
    assert (status, out) == (2, "")
    assert "an HTML page titled “Not found”" in err


def test_weights_command_json_has_causes(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "weights", "small.cfg", "backbone", "--format", "json")
    data = json.loads(out)
    assert status == 2
    assert (data["causes"][0]["code"], data["causes"][0]["facts"]["upto"]) == ("backbone", 2)


def test_convert_through_every_container_restores_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("safetensors")
    before = Path("small.weights").read_bytes()
    chain = ["x.safetensors", "x.npz", "x.pt", "x.weights"]
    status, out, err = run(capsys, "convert", "small.cfg", "small.weights", "-o", chain[0])
    assert (status, out) == (0, "")
    assert f"x.safetensors: small, {Path(chain[0]).stat().st_size:,} bytes, verified" in err
    for source, target in pairwise(chain):
        assert run(capsys, "convert", source, "-o", target)[0] == 0
    assert Path("x.weights").read_bytes() == before


def test_convert_upto_writes_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "convert", "small.cfg", "small.weights", "--upto", "2", "-o", "small.conv.2")[0] == 0
    assert Path("small.conv.2").read_bytes() == Path("backbone").read_bytes()
    status, out, _ = run(capsys, "convert", "small.cfg", "backbone", "--partial", "-o", "new.weights", "--seen", "0")
    assert status == 0
    assert "backbone: loaded layers 0–1; unchanged: layers 2, 6–7" in out
    assert (
        run(
            capsys, "convert", "small.cfg", "small.weights", "-o", "old.weights", "--file-version", "0.1", "--seen", "9"
        )[0]
        == 0
    )
    header = darkparse.load("small.cfg", "old.weights").header
    assert header is not None
    assert (header.version, header.seen, header.size) == ((0, 1, 0), 9, 16)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["small.cfg", "small.weights", "-o", "x.gguf"],
            "x.gguf: unsupported output format, got extension .gguf; expected one of .weights, .safetensors",
        ),
        (["small.cfg", "small.weights", "-o", "x"], "x: unsupported output format, got a name without an extension"),
        (["small.cfg", "-o", "x.pt"], "small.cfg is a cfg, but the weights are missing"),
        (
            ["small.weights", "-o", "x.pt"],
            "small.weights does not contain its cfg hint: darkparse convert CFG small.weights -o x.pt",
        ),
        (["small.cfg", "backbone", "-o", "x.pt"], "a backbone with the first 2 layers"),
        (["small.cfg", "small.weights", "-o", "no/x.pt"], "no/x.pt: directory "),
        (["small.cfg", "small.weights", "-o", "x.pt", "--seen", "3"], "only apply to .weights files"),
    ],
)
def test_convert_with_wrong_arguments_exits_2_with_one_message(
    capsys: pytest.CaptureFixture[str], args: list[str], message: str, folder: Path
) -> None:
    before = sorted(folder.iterdir())
    status, out, err = run(capsys, "convert", *args)
    assert (status, out) == (2, "")
    assert message in " ".join(err.split())
    assert sorted(folder.iterdir()) == before


def test_diff_command_lists_differing_arrays_and_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "diff", "small.weights", "small.weights", "--cfg", "small.cfg")[:2] == (
        0,
        "all 19 tensors are equal\n",
    )
    Path("other.weights").write_bytes(weights(NET)[:-4] + b"\0\0\0\0")
    status, out, _ = run(capsys, "diff", "small.weights", "other.weights", "--cfg", "small.cfg")
    assert status == 1
    assert "L7" in out
    assert "1 of 168" in out
    assert "headers differ: 0.2.5" in out
    assert "1 of 19 tensors differ, in 1 layer; largest in conv.weight of layer 7" in out
    status, out, _ = run(capsys, "diff", "small.weights", "other.weights", "--cfg", "small.cfg", "--format", "json")
    assert (status, json.loads(out)["tensors"][0]["differing"]) == (1, 1)
    assert run(capsys, "diff", "small.weights", "backbone", "--cfg", "small.cfg")[0] == 2


def test_convert_reorg_option_keeps_order_of_2018(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights, out = tmp_path / "r.cfg", tmp_path / "r.weights", tmp_path / "r.safetensors"
    cfg.write_text("[net]\nheight=4\nwidth=4\nchannels=4\n[reorg]\nstride=2\n[connected]\noutput=3\n", "utf-8")
    darkparse.save_weights(darkparse.load(cfg), weights)
    main(["convert", str(cfg), str(weights), "-o", str(out), "--reorg", "reorg3d"])
    assert "verified" in capsys.readouterr().err
    assert darkparse.load(out).network.nodes[0].kind == "reorg3d"


def test_weights_command_prints_reason_before_table() -> None:
    folder = Path(__file__).parents[1] / "data" / "weights"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "darkparse",
        "weights",
        folder / "plain.cfg",
        folder / "normed.weights",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout
    assert 0 <= done.stdout.index("does not fit plain") < done.stdout.index("batch_normalize=1 in lines 6 and 13")
    assert done.stdout.index("batch_normalize=1 in lines 6 and 13") < done.stdout.index("L0   convolutional")
    assert done.stdout.count("does not fit plain") == 1
