"""Weights of a cfg that differs in classes, batch norm or input channels: the error names the change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from darkparse.weights.containers import write_container
from darkparse.weights.origin import Origin
from tests.weights.weight_files import PJREDDIE, SMALL, floats, network, weights

DATA = Path(__file__).parents[1] / "data" / "weights"
STEM = "[net]\nwidth=16\nheight=16\nchannels=3\n"
NORMED = (
    STEM
    + "".join(
        f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=3\npad=1\nactivation=leaky\n"
        for filters in (8, 16, 16, 12)
    )
    + "[convolutional]\nfilters=18\nsize=1\n[yolo]\nmask=0,1,2\nanchors=6,7, 12,15, 30,28\nclasses=1\nnum=3\n"
)
PLAIN = NORMED.replace("batch_normalize=1\n", "")
FIRST_TWO = NORMED.replace("batch_normalize=1\n", "", 2)


def get_causes(cfg: str | Path, source: Path | bytes) -> tuple[darkparse.errors.Cause, ...]:
    with pytest.raises(darkparse.WeightsError) as caught:
        darkparse.load(cfg, source)
    assert all(cause.message in str(caught.value) for cause in caught.value.causes)
    return caught.value.causes


def make_third_party_state(text: str) -> dict[str, torch.Tensor]:
    """A network's tensors as eriklindernoren/PyTorch-YOLOv3 names them, with the counters of batch norms."""
    module = darkparse.load(text, weights(network(text)))
    state: dict[str, torch.Tensor] = {}
    for key, tensor in module.state_dict().items():
        _, index, part, role = key.split(".")
        name = {"conv": "conv", "norm": "batch_norm"}[part]
        state[f"module_list.{index}.{name}_{index}.{role}"] = tensor
        if role == "running_var":
            state[f"module_list.{index}.{name}_{index}.num_batches_tracked"] = torch.tensor(9)
    return state


def save(state: Mapping[str, torch.Tensor], path: Path) -> Path:
    if path.suffix == ".pt":
        torch.save({"epoch": 3, "model": dict(state)}, path)
    elif path.suffix == ".npz":
        arrays: dict[str, Any] = {key: tensor.numpy() for key, tensor in state.items()}
        np.savez(path, **arrays)
    else:
        pytest.importorskip("safetensors").torch.save_file(dict(state), path)
    return path


@pytest.fixture(params=[".pt", ".npz", ".safetensors"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == ".safetensors":
        pytest.importorskip("safetensors.torch")
    return tmp_path / f"theirs{request.param}"


def test_diagnose_batch_norm_missing_from_cfg_precedes_channels() -> None:
    first, second = get_causes(DATA / "plain.cfg", DATA / "normed.weights")
    assert first.message == (
        "the file fits exactly with batch_normalize=1 in lines 6 and 13, and all variances are in range"
    )
    assert first.remedy.startswith("set batch_normalize=1 there")
    assert second.message == "the file fits exactly with channels=4 in line 4"


def test_diagnose_batch_norm_missing_from_file_is_only_cause() -> None:
    (cause,) = get_causes(DATA / "normed.cfg", DATA / "plain.weights")
    assert cause.message == (
        "the file fits exactly without batch_normalize= in lines 7 and 15: it was trained without batch norm, "
        "or batch norm was folded"
    )
    assert cause.remedy.startswith("set batch_normalize=0 there")


@pytest.mark.parametrize(
    ("cfg", "written", "code", "facts"),
    [
        (PLAIN, NORMED, "batch-norm", {"added": 4, "removed": 0}),
        (NORMED, PLAIN, "batch-norm", {"added": 0, "removed": 4}),
        (FIRST_TWO, NORMED, "batch-norm", {"added": 2, "removed": 0}),
        (NORMED, FIRST_TWO, "batch-norm", {"added": 0, "removed": 2}),
        (PLAIN.replace("[conv", "[conv", 1), PLAIN.replace("channels=3", "channels=5"), "channels", {"channels": 5}),
    ],
)
def test_diagnose_other_batch_norm_names_layers(cfg: str, written: str, code: str, facts: dict[str, int]) -> None:
    cause = get_causes(cfg, weights(network(written)))[0]
    assert cause.code == code
    assert facts.items() <= cause.facts.items()


def test_diagnose_batch_norm_with_implausible_variances_is_not_a_cause() -> None:
    count = network(NORMED).stored_floats
    noise = np.random.default_rng(1).standard_normal(count).astype(np.float32)
    causes = get_causes(PLAIN, PJREDDIE.pack() + noise.tobytes())
    assert "batch-norm" not in {cause.code for cause in causes}


def test_diagnose_channels_with_implausible_values_fit_by_size_only() -> None:
    deep = network(NORMED.replace("channels=3", "channels=5"))
    values = -floats(deep)
    (cause,) = get_causes(NORMED, PJREDDIE.pack() + values.tobytes())
    assert cause.message.endswith("only the size fits, the variances would be invalid")


def test_diagnose_checkpoint_of_other_classes_names_command() -> None:
    (cause,) = get_causes(DATA / "one-class.cfg", DATA / "two-classes.pth")
    assert cause.message == "the file fits exactly with classes=2: filters=21 in line 44, classes=2 in line 50"
    assert f"`darkparse edit {DATA / 'one-class.cfg'} --classes 2 -o NEW.cfg`" in cause.remedy


@pytest.mark.parametrize(
    "path",
    [".pt", *(pytest.param(ending, marks=pytest.mark.slow) for ending in (".npz", ".safetensors"))],
    indirect=True,
)
@pytest.mark.parametrize(
    ("cfg", "written", "message"),
    [
        (SMALL, SMALL.replace("filters=21", "filters=255").replace("classes=2", "classes=80"), "classes=80"),
        (SMALL, SMALL.replace("channels=3", "channels=1"), "channels=1 in line 4"),
        (PLAIN, NORMED, "with batch_normalize=1 in lines 5, 10, 15 and 20"),
        (NORMED, FIRST_TWO, "without batch_normalize= in lines 6 and 12"),
        (FIRST_TWO, NORMED.replace("batch_normalize=1\nfilters=12", "filters=12"), "in lines 5 and 10 and without it"),
        (
            NORMED,
            NORMED.replace("filters=18", "filters=12").replace("mask=0,1,2", "mask=0,1"),
            "2 anchors per head: filters=12",
        ),
    ],
)
def test_diagnose_third_party_arrays_of_other_cfg_name_change(path: Path, cfg: str, written: str, message: str) -> None:
    save(make_third_party_state(written), path)
    causes = get_causes(cfg, path)
    assert len(causes) == 1
    assert message in causes[0].message
    darkparse.load(written, path)


def test_diagnose_container_of_other_cfg_names_change(tmp_path: Path) -> None:
    for cfg, written in ((PLAIN, NORMED), (NORMED, FIRST_TWO), (PLAIN, FIRST_TWO)):
        loaded = darkparse.weights.read(written, weights(network(written)))
        assert loaded is not None
        for name in ("a.safetensors", "a.npz"):
            write_container(tmp_path / name, loaded.arrays, Origin.from_network(loaded.network, None))
            (cause,) = get_causes(cfg, tmp_path / name)
            assert cause.code == "batch-norm"


def test_diagnose_arrays_of_unrelated_network_has_no_cause(path: Path) -> None:
    save({"a.weight": torch.zeros(7, 5, 3, 3), "b.weight": torch.zeros(7)}, path)
    assert get_causes(SMALL, path) == ()


def test_load_arrays_sorted_as_text_are_ordered_by_number(path: Path, tmp_path: Path) -> None:
    text = STEM + "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\n" * 12
    save(make_third_party_state(text.replace("channels=3", "channels=4")), path)
    loaded = darkparse.load(text.replace("channels=3", "channels=4"), path)
    darkparse.save_weights(loaded, tmp_path / "again.weights")
    expected = weights(network(text.replace("channels=3", "channels=4")))
    assert (tmp_path / "again.weights").read_bytes()[20:] == expected[20:]


def test_load_checkpoint_with_wrong_filters_before_head_names_line(path: Path) -> None:
    save(make_third_party_state(SMALL), path)
    with pytest.raises(darkparse.CfgError, match=r"set filters=21 here: .* then fits exactly"):
        darkparse.load(SMALL.replace("filters=21", "filters=24"), path)


def test_load_checkpoint_with_thop_counters_warns(path: Path, tmp_path: Path) -> None:
    with pytest.warns(darkparse.DarkparseWarning, match="ignored 28 counters of the package thop"):
        model = darkparse.load(DATA / "two.cfg", DATA / "thop.pt")
    darkparse.save_weights(model, tmp_path / "x.weights")
    assert (tmp_path / "x.weights").read_bytes() == (DATA / "two.weights").read_bytes()
    state = make_third_party_state(SMALL)
    owners = {re.sub(r"\.\w+$", "", key) for key in state} | {"module_list.0"}
    counters = {f"{owner}.{name}": torch.zeros(1) for owner in owners for name in ("total_ops", "total_params")}
    save(counters | state | {"total_ops": torch.zeros(1, dtype=torch.float64)}, path)
    with pytest.warns(darkparse.DarkparseWarning, match="counters of the package thop"):
        darkparse.load(SMALL, path)
