"""`darkparse edit --data` writes a cfg that trains a data set, and the commands say where one does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

import darkparse
from darkparse.cli import main
from darkparse.datasets import DataFile
from darkparse.network.analysis.memory import compute_training_memory
from darkparse.network.training import bind_net_training
from darkparse.training import preparation
from darkparse.training.preparation import prepare

image = pytest.importorskip("PIL.Image")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a data set of four images with boxes of six sizes, in three classes."""
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        image.new("RGB", (64, 48), (number * 60, 0, 0)).save(f"{number}.png")
        boxes = [(k, 0.1 + 0.1 * k, 0.05 + 0.15 * k) for k in range(6)]
        Path(f"{number}.txt").write_text("".join(f"{k % 3} .5 .5 {w:.3f} {h:.3f}\n" for k, w, h in boxes))
    Path("train.txt").write_text("".join(f"{number}.png\n" for number in range(4)))
    Path("a.names").write_text("cat\ndog\ncow\n")
    Path("a.data").write_text("train = train.txt\nvalid = train.txt\nnames = a.names\nclasses = 3\nbackup = backup\n")
    return "a.data"


def run(arguments: Sequence[str]) -> int:
    try:
        main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_edit_with_data_writes_a_cfg_that_trains_it(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edit", "yolov4-tiny", "--data", data, "-o", "my.cfg"]) == 0
    err = capsys.readouterr().err
    network = darkparse.compile("my.cfg")
    net = bind_net_training(network)
    assert network.nodes[network.heads[0]].layer.classes == 3  # type: ignore[attr-defined]
    assert network.net.batch == 64
    assert 64 % network.net.subdivisions == 0
    assert (net.max_batches, net.steps, net.burn_in, net.policy) == (6000, (4800, 5400), 600, "steps")
    assert "warning" not in err
    assert "max_batches=6000 burn_in=600 policy=steps steps=4800,5400 scales=0.1,0.1\n" in err
    assert "6,000 batches of 64 images are 96,000 epochs of 4 images" in err
    assert run(["check", data, "my.cfg"]) == 0
    assert "my.cfg: 6,000 batches of 64 images are" in capsys.readouterr().out


def test_edit_options_replace_what_the_data_set_suggests(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--batches", "300", "--set", "batch=16", "--set", "subdivisions=4", "--set", "learning_rate=.002"]
    assert run(["edit", "yolov4-tiny", "--data", data, *options, "-o", "my.cfg"]) == 0
    network = darkparse.compile("my.cfg")
    net = bind_net_training(network)
    assert (network.net.batch, network.net.subdivisions, net.learning_rate) == (16, 4, 0.002)
    assert (net.max_batches, net.steps, net.burn_in) == (300, (240, 270), 30)


@pytest.mark.parametrize(("cfg", "unit", "count"), [("yolov4-tiny", 416, 6), ("yolov2-tiny", 13, 5)])
def test_fitted_anchors_have_the_unit_of_the_heads_and_all_are_used(
    data: str, cfg: str, unit: int, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["edit", cfg, "--data", data, "--fit-anchors", "-o", "my.cfg"]) == 0
    err = capsys.readouterr().err
    assert "used by no head" not in err
    assert re.search(r"anchors = .*: mean IoU [789]\d\.\d\d% with 24 objects", err)
    network = darkparse.compile("my.cfg")
    heads = [network.nodes[index].layer for index in network.heads]
    anchors = {box for head in heads for box in head.boxes}  # type: ignore[attr-defined]
    used = [index for head in heads for index in head.indices]  # type: ignore[attr-defined]
    assert sorted(used) == list(range(count))
    assert len(anchors) > 3
    assert unit / 4 < max(side for box in anchors for side in box) < unit


@pytest.mark.parametrize(("options", "message"), [
    (["--batches", "5"], "--batches requires --data"),
    (["--fit-anchors"], "--fit-anchors requires --data"),
    (["--data", "a.data", "--fit-anchors", "--anchors", "1,2"], "exclude each other"),
    (["--set", "batch"], "expected KEY=VALUE, e.g. batch=64, got 'batch'"),
    (["--set", "bach=3"], "unknown [net] option 'bach'; did you mean batch?"),
    (["--data", "b.data"], "b.data:4:11: classes contradicts names, got 4; expected 3"),
    (["--data", "c.data"], "c.data: number of classes unknown; expected 'names = FILE' or 'classes = N'"),
    (["--data", "d.data"], "the list contains no images"),
])  # fmt: skip
def test_edit_that_cannot_prepare_writes_nothing(
    data: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(data).read_text()
    Path("b.data").write_text(text.replace("classes = 3", "classes = 4"))
    Path("c.data").write_text("train = train.txt\n")
    Path("empty.txt").write_text("\n")
    Path("d.data").write_text(text.replace("train = train.txt", "train = empty.txt"))
    assert run(["edit", "yolov4-tiny", *options, "-o", "my.cfg"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("my.cfg").exists()


@pytest.mark.parametrize(("memory", "subdivisions"), [(2**40, 1), (2**31, 8), (0, 64)])
def test_subdivisions_follow_from_the_memory(data: str, memory: int, subdivisions: int) -> None:
    plan = prepare(darkparse.compile("yolov4-tiny"), DataFile.read(data), memory=memory)
    assert int(plan.options["subdivisions"]) == subdivisions


@pytest.mark.parametrize(("batch", "subdivisions"), [("1", 1), ("0", 1), ("-3", 1), ("2", 2), ("16", 16), ("x", 64)])
def test_subdivisions_divide_the_batch_that_is_set(data: str, batch: str, subdivisions: int) -> None:
    """Without any memory a mini-batch has one image; an invalid batch is reported at its line of the cfg."""
    plan = prepare(darkparse.compile("yolov4-tiny"), DataFile.read(data), memory=0, options={"batch": batch})
    assert plan.options["batch"] == batch
    assert int(plan.options["subdivisions"]) == subdivisions


@pytest.mark.parametrize(("adam", "moments"), [("0", 1), ("1", 2)])
def test_subdivisions_leave_room_for_the_state_of_the_optimizer(data: str, adam: str, moments: int) -> None:
    network = darkparse.compile("yolov4-tiny")
    usage = compute_training_memory(network, moments=moments)
    memory = 2 * (usage.estimate(0) + 64 * usage.saved)  # half of the free memory is enough for all images
    for free, subdivisions in ((memory + 2, 1), (memory - 2, 2)):
        plan = prepare(network, DataFile.read(data), memory=free, options={"adam": adam})
        assert int(plan.options["subdivisions"]) == subdivisions


@pytest.mark.parametrize(("has_gpu", "is_available", "free"), [(True, True, 123), (True, False, 77), (False, True, 77)])
def test_free_memory_is_that_of_the_gpu_if_there_is_one(
    has_gpu: bool, is_available: bool, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "has_gpu", lambda: has_gpu)
    monkeypatch.setattr(preparation, "free_memory", lambda: 77)
    monkeypatch.setattr("torch.cuda.is_available", lambda: is_available)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (123, 999))
    assert preparation.measure_free_memory() == free


def test_plan_has_the_classes_and_batches_that_are_asked_for(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "measure_free_memory", lambda: 2**31)
    network, files = darkparse.compile("yolov4-tiny"), DataFile.read(data)
    plan = prepare(network, files)
    assert (plan.classes, plan.images, plan.options["max_batches"], plan.options["subdivisions"]) == (3, 4, "6000", "8")
    plan = prepare(network, files, classes=5, batches=300, options={"power": "2"})
    assert (plan.classes, plan.options["max_batches"], plan.options["power"]) == (5, "300", "2")


REMEDY = re.compile(r"`darkparse edit CFG --data DATA( --batches \d+)? -o NEW` sets")


def test_both_commands_of_a_training_that_learns_nothing_name_the_remedy(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shipped cfgs have a batch of 1 and a burn-in that is longer than this training."""
    assert run(["edit", "yolov4-tiny", "--classes", "3", "--size", "64", "-o", "t.cfg"]) == 0
    assert REMEDY.search(capsys.readouterr().err)
    assert run(["train", data, "t.cfg", "--batches", "2", "--workers", "0"]) == 0
    findings = [line for line in capsys.readouterr().err.splitlines() if REMEDY.search(line)]
    assert [re.sub(r"^t.cfg:\d+:\d+: warning: (\S+).*", r"\1", line) for line in findings] == [
        "batch=1",
        "max_batches=2000200",
        "--batches",
    ]


def test_batch_norm_over_a_single_value_is_refused(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edit", "yolov4-tiny", "--classes", "3", "--size", "32", "-o", "t.cfg"]) == 0
    assert run(["train", data, "t.cfg", "--batches", "2", "--workers", "0"]) == 2
    error = next(line for line in capsys.readouterr().err.splitlines() if "darkparse: error" in line)
    assert re.match(
        r"darkparse: error: layer 26 \[convolutional\] \(t.cfg:\d+:1\): batch norm has one value per channel, got a "
        r"mini-batch of 1 image and a map of 1×1; expected at least 2 values",
        error,
    ), error
