"""What is laid over the graph is true: memory as torch's profiler sees it, time as the clock, fields as NaN spreads."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

import darkparse
from darkparse.cli import main
from darkparse.model.optimize.profiling import layer_seconds
from darkparse.network import Network
from darkparse.network.analysis.memory import compute_memory
from darkparse.network.analysis.receptive import get_receptive_fields
from darkparse.views.overlay import Overlay, time_overlay
from tests.views.networks import compile_once


def _input(network: Network) -> torch.Tensor:
    return torch.rand(1, *network.input_shape)


def _profiled_peak(network: Network) -> int:
    """The most bytes that torch has at once for what it makes in a forward pass."""
    model, x = darkparse.build(network, initialize=True).eval(), _input(network)
    with torch.inference_mode():
        model(x)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            model(x)
    events = seen.profiler.kineto_results.events()
    now = peak = 0
    for event in events:
        now += event.nbytes() if event.name() == "[memory]" else 0
        peak = max(peak, now)
    return peak


@pytest.mark.slow
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs torch with oneDNN, as its x86 builds are")
@pytest.mark.parametrize("name", ["yolov1", "yolov2", "yolov3", "yolov3-tiny", "yolov4", "yolov4-tiny", "darknet53"])
def test_memory_peak_equals_torch_profiler(name: str) -> None:
    network = compile_once(name)
    memory = compute_memory(network)
    assert memory.live_bytes[memory.peak] == pytest.approx(_profiled_peak(network), rel=0.05)


def test_memory_frees_outputs_after_last_read() -> None:
    """L1 ends with its reader L2, L0 with L3 that adds it; the branch L4 makes nothing, and holds L3."""
    conv = "[conv]\nfilters=4\nsize=1\nactivation=linear\n"
    text = f"[net]\nwidth=8\nheight=8\nchannels=4\n{conv * 3}[shortcut]\nfrom=-3\n[route]\nlayers=-1\n{conv}"
    memory = compute_memory(darkparse.compile(text))
    assert memory.outputs == (1024, 1024, 1024, 1024, 0, 1024)
    assert memory.released == ((), (), (1,), (0, 2), (), (3,))
    # A convolution has its output, and copies of its input and of its 16 weights.
    assert memory.live_bytes == (2112, 3136, 4160, 3072, 1024, 3136)


@pytest.mark.slow
def test_layer_times_sum_to_forward_time() -> None:
    network = darkparse.compile("yolov3-tiny", size=320)
    model, x = darkparse.load(network).eval(), _input(network)
    starts: list[float] = []
    wholes: list[float] = []
    model.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter()))
    model.register_forward_hook(lambda *_: wholes.append(time.perf_counter() - starts[-1]))
    parts = layer_seconds(model, x)
    assert len(parts) == len(network.nodes)
    assert sum(parts) == pytest.approx(min(wholes[1:]), rel=0.1)


def test_time_overlay_of_copies_shows_mean_and_count() -> None:
    overlay = time_overlay([0.001, 0.002, 0.004, 0.001])
    assert overlay.fact == "Time: 8 ms on this machine's CPU, 50% of it in L2"
    assert (overlay.text((1, 2)), overlay.share((1, 2))) == ("2 × 3 ms", 0.75)


@pytest.mark.parametrize("name", ["memory", "receptive"])
def test_overlay_has_value_for_every_row(name: str) -> None:
    network = compile_once("yolov3")
    diagram = darkparse.draw(network, overlay=name)  # type: ignore[arg-type]
    picture = diagram.models[0]
    expected: Sequence[object] = compute_memory(network).outputs if name == "memory" else get_receptive_fields(network)
    rows = {row.index: row for card in picture.cards for row in card.rows}
    for index, row in rows.items():
        assert bool(row.overlay) == bool(expected[index]), row
        assert 0 <= row.overlay_share <= 1
    assert isinstance(picture.overlay, Overlay)
    assert picture.overlay.fact in picture.facts
    svg = diagram.svg()
    assert f">{picture.overlay.name}: share of {picture.overlay.share_of}<" in svg
    assert f'"overlay":"{picture.overlay.name}"' in diagram.data("html").decode()
    first = {"memory": "47.3 MB", "receptive": "3×3"}[name]
    assert rows[0].overlay == first
    assert f">{first}</FONT></TD>" in diagram.dot
    assert f' weights {picture.overlay.name} {first}"]' in diagram.data("mmd").decode()


def test_draw_with_unknown_overlay_raises() -> None:
    with pytest.raises(darkparse.DarkparseError, match="unknown overlay 'heat'"):
        darkparse.draw("yolov1", overlay="heat")  # type: ignore[arg-type]


def test_show_columns_adds_memory_and_receptive_field(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "yolov3-tiny", "--columns", "memory, receptive", "--format", "csv"])
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.endswith(",memory,receptive")
    assert first.endswith(",11.1 MB,3×3")
    with pytest.raises(SystemExit):
        main(["show", "yolov3-tiny", "--columns", "heat"])
    assert "expected one of memory, receptive" in capsys.readouterr().err
