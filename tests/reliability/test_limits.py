"""Networks beyond the limits: an error with the place, the limit and the number, before anything is made."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import darkparse
from darkparse._utils import memory
from darkparse.cli import main
from darkparse.cli.main import COMMANDS, Commands
from darkparse.network.limits import LIMITS
from tests.conftest import ROOT, shipped_cfgs
from tests.timing import measure_cpu_seconds

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
CONV = "[convolutional]\nfilters=1\n"
BEYOND = {
    "[net]\nheight=100000000\nwidth=8\nchannels=3\n" + CONV: ("2:8", "pixels of height", "100,000,000", 65_536),
    "[net]\nheight=8\nwidth=100000000\nchannels=3\n" + CONV: ("3:7", "pixels of width", "100,000,000", 65_536),
    "[net]\nheight=8\nwidth=8\nchannels=99999999\n" + CONV: ("1:1", "values in the input", "6,399,999,936", 1 << 31),
    f"{NET}[convolutional]\nfilters=2147483647\n": ("5:1", "values in the output", "2,199,023,254,528", 1 << 31),
    f"{NET}[maxpool]\nsize=1\npadding=2147483646\n": ("5:1", "values in the output", "13,83", 1 << 31),
    f"{NET}[connected]\noutput=1000000\n": ("5:1", "parameters", "3,073,000,000", 1 << 31),
    NET + "[connected]\noutput=500000\n[connected]\noutput=3000\n" * 50: (
        *("187:1", "parameters up to this layer", "138,059,138,000"),
        1 << 37,
    ),
    f"{NET}{CONV}[route]\nlayers={','.join(['-1'] * 1001)}\n": ("7:1", "inputs", "1,001", 1_000),
    f"{NET}{CONV}[yolo]\nnum=200000000\n": ("8:5", "num", "200,000,000", 1_000),
    f"{NET}{CONV}[yolo]\nclasses=2000000\n": ("8:9", "classes", "2,000,000", 1_000_000),
    f"{NET}{CONV}[yolo]\nanchors={','.join(['9'] * 10_001)}\n": ("8:9", "numbers in anchors=", "10,001", 10_000),
    NET + CONV * 10_001: ("20005:1", "layers", "10,001", 10_000),
}


@pytest.mark.parametrize("text", BEYOND, ids=[label for _, label, _, _ in BEYOND.values()])
def test_limit_error_has_place_and_number(text: str) -> None:
    place, label, count, limit = BEYOND[text]
    with pytest.raises(darkparse.CfgError) as caught:
        darkparse.compile(text)
    first = next(d for d in caught.value.diagnostics if d.severity == "error")
    assert (first.code, str(first.span)) == ("limit", f"<text>:{place}")
    assert first.message.startswith(f"{label} must be at most {limit:,}, got {count}")


@pytest.mark.slow
@pytest.mark.parametrize("text", BEYOND, ids=[label for _, label, _, _ in BEYOND.values()])
def test_limit_error_takes_under_1_second(text: str) -> None:
    def compile_beyond() -> None:
        with pytest.raises(darkparse.CfgError):
            darkparse.compile(text)

    assert measure_cpu_seconds(compile_beyond, repeats=1) < 1


def test_no_limits_option_disables_limits_for_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.cfg"
    path.write_text(f"{NET}[convolutional]\nfilters=2147483647\n")
    for switch, status in ((), 2), (("--no-limits",), 0), ((), 2):
        with pytest.raises(SystemExit) as stop:
            main(["check", str(path), *switch])
        assert stop.value.code == status
    assert "1 error" in capsys.readouterr().out


def test_commands_that_compile_cfg_have_no_limits_option(capsys: pytest.CaptureFixture[str]) -> None:
    group = Commands()
    without = {"format", "anchors", "lsp", "demo", "list"}
    for name in COMMANDS:
        command = group.get_command(group.make_context("darkparse", [], resilient_parsing=True), name)
        assert command is not None
        switches = [one for one in command.params if one.name == "no_limits"]
        assert len(switches) == (name not in without), name


def test_limits_are_ten_times_the_shipped_networks() -> None:
    for path in shipped_cfgs():
        network = darkparse.compile(path)
        assert network.net.input_shape.size * 10 <= LIMITS.map
        assert max(network.net.height, network.net.width) * 10 <= LIMITS.side
        assert len(network.nodes) * 10 <= LIMITS.layers
        for node in network.nodes:
            assert node.out_shape.size * 10 <= LIMITS.map
            assert node.num_elements * 10 <= LIMITS.parameters
            assert len(node.inputs) * 10 <= LIMITS.inputs


def test_num_elements_equals_sum_of_tensor_sizes() -> None:
    for path in sorted((ROOT / "tests").rglob("*.cfg")):
        with contextlib.suppress(darkparse.DarkparseError):
            for node in darkparse.compile(path).nodes:
                assert node.num_elements == sum(tensor.size for tensor in node.tensors), (path, node)


def test_free_memory_subtracts_used_cgroup_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "meminfo": "MemTotal: 4000 kB\nMemAvailable:  3000 kB\n",
        "memory.max": "2000000\n",
        "memory.current": "1500000\n",
        "memory.stat": "anon 5\ninactive_file 100000\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUPS", ())
    assert memory.free_memory() == 3000 * 1024
    monkeypatch.setattr(memory, "CGROUPS", ((tmp_path / "memory.max", "memory.current", "inactive_file"),))
    assert memory.free_memory() == 600_000
    with pytest.raises(darkparse.DarkparseError, match="600,000 are free"):
        darkparse.build(f"{NET}[connected]\noutput=100\n", initialize=True)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "meminfo").write_text("nothing")
    assert memory.free_memory() > 600_000
