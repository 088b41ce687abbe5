"""What a training reports of each head, its chart, and when the best weights are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

import darkparse
from darkparse.training.chart import MAX_POINTS, Chart
from darkparse.training.checkpoints import Checkpoints
from darkparse.training.head_summary import PATIENCE, HeadMonitor, summarize_heads
from darkparse.training.losses import Losses
from darkparse.training.step import Step
from tests.training.small_network import cfg

HEAD = """
[convolutional]
filters=14
size=1
activation=linear
[{kind}]
classes=2
num=2
{mask}
anchors={anchors}
"""


def make_step(batch: int, **values: Any) -> Step:
    defaults: dict[str, Any] = {"rate": 0.01, "loss": 5.0, "average": 10 / batch, "heads": {}, "images": 4}
    return Step(batch=batch, **(defaults | {"size": (32, 32), "seconds": 1.0, "data_time": 0.0} | values))


@pytest.mark.parametrize(("kind", "mask", "anchors"), [("yolo", "mask=0,1", "8,8, 16,16"), ("region", "", "1,1, 2,2")])
@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_loss_reports_the_overlap_of_each_object_with_its_predictor(
    kind: str, mask: str, anchors: str, dialect: str
) -> None:
    """With an output of 0 each box has its anchor's shape in the middle of its cell."""
    net = "[net]\nwidth=32\nheight=32\nchannels=3\nbatch=2\n[maxpool]\nsize=8\nstride=8\n"
    network = darkparse.compile(net + HEAD.format(kind=kind, mask=mask, anchors=anchors), dialect=dialect)
    model = darkparse.build(network, initialize=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    truth = [torch.tensor([[0.375, 0.375, 0.5, 0.5, 1.0]]), torch.tensor([[0.125, 0.125, 0.25, 0.125, 0.0]])]
    loss = Losses(model)(model.layer_outputs(torch.rand(2, 3, 32, 32)), truth, seen=10**6)
    (overlaps,) = loss.overlaps.values()
    torch.testing.assert_close(overlaps.sort().values, torch.tensor([0.5, 1.0]))
    (objectness,) = loss.objectness.values()
    assert float(objectness) == 0.5


def test_head_summary_averages_overlaps_over_objects() -> None:
    sums = {(3, "cost"): 8.0, (3, "iou"): 1.5, (3, "objects"): 3.0, (3, "confidence"): 1.0}
    assert summarize_heads(sums, 4, 2) == {3: {"cost": 2.0, "iou": 0.5, "objects": 3, "confidence": 0.5}}
    assert summarize_heads({(3, "iou"): 0.0, (3, "objects"): 0.0}, 4, 2)[3]["iou"] is None


@pytest.mark.parametrize(("values", "is_burnt_in", "message"), [
    ({"objects": 0, "confidence": 0.9}, False, "L7 was assigned no object in 100 batches"),
    ({"objects": 5, "confidence": 0.001}, True, "L7 predicted nothing in 100 batches"),
    ({"objects": 5, "confidence": 0.001}, False, None),
    ({"objects": 5, "confidence": 0.1}, True, None),
    ({"objects": 5, "confidence": 0.005}, True, None),
    ({"objects": 5, "confidence": None}, True, "L7 predicted nothing in 100 batches"),
    ({"cost": 0.0}, True, None),
])  # fmt: skip
def test_head_that_learns_nothing_is_reported_once(
    values: dict[str, float | None], is_burnt_in: bool, message: str | None
) -> None:
    monitor = HeadMonitor()
    messages = [monitor.update({7: values}, is_burnt_in=is_burnt_in) for _ in range(2 * PATIENCE)]
    reported = [(batch, text) for batch, texts in enumerate(messages, start=1) for text in texts]
    assert [batch for batch, _ in reported] == ([PATIENCE] if message else [])
    assert all(text.startswith(message or "") for _, text in reported)


def test_head_with_an_object_in_between_is_not_reported() -> None:
    monitor = HeadMonitor()
    for batch in range(1, 3 * PATIENCE):
        objects = float(batch % (PATIENCE - 1) == 0)
        assert monitor.update({7: {"objects": objects, "confidence": 1.0}}, is_burnt_in=True) == ()


def test_resumed_chart_equals_that_of_one_run(tmp_path: Path) -> None:
    whole, first = (Chart(tmp_path / f"{name}.svg", "a<b>&", 3000) for name in ("whole", "part"))
    steps = [make_step(n, mean_ap=n / 3000 if n % 500 == 0 else None) for n in range(1, 2 * MAX_POINTS + 500)]
    for step in steps:
        whole.add(step)
    for step in steps[:1700]:
        first.add(step)
    first.write()
    second = Chart(first.path, "a<b>&", 3000)
    second.restore(1200)
    for step in steps[1200:]:
        second.add(step)
    for chart in (whole, second):
        chart.write()
    assert whole.path.read_bytes() == second.path.read_bytes()
    assert len(whole.curves["loss"]) <= MAX_POINTS
    root = ElementTree.fromstring(whole.path.read_text())
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a<b>&: batch 2,496 of 3,000" in texts
    assert {"mAP@.50 0.6667", "rate 0.01"} <= set(texts)


@pytest.mark.parametrize("text", ["", "<svg", "<svg xmlns='http://www.w3.org/2000/svg'><metadata>[1]</metadata></svg>"])
def test_damaged_chart_is_started_anew(tmp_path: Path, text: str) -> None:
    chart = Chart(tmp_path / "chart.svg", "a", 10)
    chart.path.write_text(text)
    chart.restore(5)
    assert chart.curves == {}
    chart.add(make_step(6))
    chart.write()
    assert "batch 6 of 10" in chart.path.read_text()


CLASSIFIER = "[net]\nbatch=4\nheight=8\nwidth=8\nchannels=3\n[convolutional]\nfilters=2\nsize=1\n[avgpool]\n[softmax]\n"


@pytest.mark.parametrize(("dialect", "expected"), [
    ("pjreddie", [*(f"c_{n}.weights" for n in range(1, 39)), "c.weights"]),
    ("alexeyab", ["c_final.weights"]),
])  # fmt: skip
def test_classifier_weights_have_the_names_of_the_fork(tmp_path: Path, dialect: str, expected: list[str]) -> None:
    """As `classifier train` left them after 230 batches of 4 of 24 images."""
    (tmp_path / "c.cfg").write_text(CLASSIFIER)
    files = Checkpoints(darkparse.compile(tmp_path / "c.cfg", dialect=dialect), tmp_path, 230, epoch=24)
    due = [kind for batch in range(1, 231) for kind in files.list_due(batch)]
    assert [files.weights_path(kind).name for kind in due if kind != "last"] == expected
    last = [batch for batch in range(1, 2001) if "last" in files.list_due(batch)]
    assert last == (list(range(100, 2001, 100)) if dialect == "alexeyab" else [1000, 2000])
    at_end = list(files.complete(list(files.list_due(230))))
    assert at_end[-1] == ("state" if dialect == "pjreddie" else "last")


@pytest.mark.parametrize(("dialect", "due"), [
    ("alexeyab", {"last": [30, 60, 90], "final": [95], "numbered": [40, 80]}),
    ("pjreddie", {"last": [], "final": [95], "numbered": []}),  # these options are AlexeyAB's
])  # fmt: skip
def test_intervals_of_the_data_file_replace_those_of_alexeyab(
    dialect: str, due: dict[str, list[int]], tmp_path: Path
) -> None:
    network = darkparse.compile(cfg(tmp_path, yolo="", name="d"), dialect=dialect)
    files = Checkpoints(network, tmp_path, 95, savelast=30, saveweights=40)
    found: dict[str, list[int]] = {"last": [], "final": [], "numbered": []}
    for batch in range(1, 96):
        for kind in files.list_due(batch):
            assert isinstance(kind, str) or kind == batch
            found[kind if isinstance(kind, str) else "numbered"].append(batch)
    assert found == due
    assert [list(files.complete(kinds)) for kinds in ([], ["final"], ["final", "last"])] == [
        *(["last"], ["final", "last"], ["final", "last"])
    ]


def test_detector_epochs_do_not_name_weights(tmp_path: Path) -> None:
    files = Checkpoints(darkparse.compile(cfg(tmp_path, yolo="", name="d")), tmp_path, 1130, epoch=24)
    names = [files.weights_path(kind).name for batch in range(1, 1131) for kind in files.list_due(batch)]
    assert [re.sub(r"d_|\.weights", "", name) for name in names if "last" not in name] == [
        *(str(n) for n in range(100, 1000, 100)),
        "final",
    ]
