"""A state file is refused before the first batch unless every field of it has the right type, range and shape."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import darkparse
from darkparse.training import Trainer
from darkparse.training.initialization import build_optimizer
from darkparse.training.optimizers import EMA_LAST_BATCHES
from darkparse.training.state import check_origin, check_state
from tests.training.small_network import cfg, draw, trainer

pytest.importorskip("PIL")

NETS = {"sgd": "", "adam": "adam=1", "ema": "ema_alpha=0.9", "adam and ema": "adam=1\nema_alpha=0.9"}
HALF = EMA_LAST_BATCHES + 10
"""Batches after which `ema_alpha` begins, in a training of twice as many."""
ODD: dict[type, tuple[Any, ...]] = {
    int: (None, "x", 1.5, True, [], {}, -1, 2**70, -(10**5000), torch.tensor(1)),
    float: (None, "x", 1, True, [], {}, math.nan, math.inf, -math.inf, torch.tensor(1.0)),
    str: (None, "", "x", 1, b"x", [], {}, torch.ones(2)),
    bool: (None, "True", 0, 1.0, [], torch.tensor(True)),
}
"""For each type of a field values that no training writes there."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("made"))


class Saved(NamedTuple):
    """A training that was stopped."""

    own: Path
    state_path: Path
    state: dict[str, Any]


def write_data_file(data: Path, folder: Path) -> Path:
    """Write a `.data` file whose folder for weights is in `folder`."""
    path = folder / "own.data"
    path.write_text(f"{data.read_text().partition('backup')[0]}backup = {folder / 'backup'}\n")
    return path


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """The `.data` file with a folder for weights that is the test's own."""
    return write_data_file(data, tmp_path)


@pytest.fixture(scope="module")
def sgd_files(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an SGD training of two batches."""
    folder = tmp_path_factory.mktemp("sgd")
    list(begin(write_data_file(data, folder), "sgd", batches=2))
    return folder


@pytest.fixture
def saved(data: Path, sgd_files: Path, tmp_path: Path) -> Saved:
    """An SGD training of two batches, as `own`, and its state."""
    shutil.copytree(sgd_files, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "backup" / "small_last.state"
    return Saved(write_data_file(data, tmp_path), path, torch.load(path, weights_only=True))


def begin(own: Path, net: str, **how: Any) -> Trainer:
    """A training in its middle, where averages begin."""
    folder = own.parent
    path = cfg(folder, net=NETS[net])
    path.write_text(path.read_text().replace("max_batches=8", f"max_batches={2 * HALF}"))
    weights = folder / "start.weights"
    if not weights.exists():
        darkparse.save_weights(darkparse.load(path), weights, seen=4 * HALF)
    return trainer(own, path, weights, **how)


def mutants(state: Any) -> Iterator[tuple[str, Any]]:
    """Every field with every odd value, every dict without each of its entries and with one more, and odd wholes."""
    for place in places(state):
        value = state
        for key in place:
            value = value[key]
        for odd in odd_values(value):
            yield f"{'.'.join(map(str, place))} = {describe(odd)}", changed(state, place, odd)
        if isinstance(value, dict):
            yield f"{place} has one more", changed(state, (*place, "more"), 1)
            yield f"{place} has one more by number", changed(state, (*place, 99), torch.ones(1))
            for key in value:
                yield f"{place} lacks {key}", changed(state, (*place, key), None, is_removed=True)
    wholes: tuple[Any, ...] = (None, 1, "x", [state], torch.ones(2), {})
    for whole in wholes:
        yield f"the whole is {type(whole).__name__}", whole


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from places(entry, (*place, key))


def odd_values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (None, 1, "x", [], torch.ones(2))
    elif isinstance(value, Tensor):
        yield from (None, 1.0, "x", value.tolist(), value.double(), value.half(), value.unsqueeze(0), value.to_sparse())
        yield from (torch.full_like(value, odd) for odd in (math.nan, math.inf))
        yield torch.empty_like(value, device="meta")
        if value.dim():
            yield from (value[:0], torch.cat([value, value]), value.sum())
    else:
        yield from ODD[type(value)]


def changed(state: Any, place: tuple[Any, ...], value: Any, *, is_removed: bool = False) -> Any:
    """Return a copy with another value at a place, or with none."""
    if not place:
        return value
    key, rest = place[0], place[1:]
    if is_removed and not rest:
        return {name: entry for name, entry in state.items() if name != key}
    return {**state, key: changed(state.get(key), rest, value, is_removed=is_removed)}


def describe(value: Any) -> str:
    return (
        f"{value.dtype} {tuple(value.shape)}"
        if isinstance(value, Tensor)
        else f"{value!r:.20}"
        if value != -(10**5000)
        else "-1e5000"
    )


@pytest.mark.parametrize(
    "net", [*(pytest.param(net, marks=pytest.mark.slow) for net in ("sgd", "adam", "ema")), "adam and ema"]
)
def test_state_mutants_are_refused(own: Path, net: str) -> None:
    run = begin(own, net, batches=2)
    list(run)
    state = torch.load(run.checkpoints.state, weights_only=True)
    assert bool(state["averages"]) == ("ema" in net)
    update, schedule = build_optimizer(run.model, state["seen"])

    def check(mutant: Any) -> None:
        check_origin(mutant, run.model.network)
        check_state(mutant, run.model, update, schedule)

    check(state)
    accepted, messages = [], []
    for what, mutant in mutants(state):
        try:
            check(mutant)
            accepted.append(what)
        except darkparse.DarkparseError as error:
            messages.append(str(error))
    assert not accepted
    assert len(messages) > 300
    assert max(map(len, messages)) < 300
    assert not [message for message in messages if "\n" in message.replace("\nhint: ", "")]


@pytest.mark.parametrize(("place", "value", "message"), [
    (("seed",), -1, "damaged: seed is -1; expected an integer from 0 to 9,223,372,036,854,775,807"),
    (("seen",), 4050, "damaged: seen is 4050; expected a multiple of 4 from 4 to 8,083"),
    (("seen",), 80_000, "damaged: seen is 80000; expected a multiple of 4"),
    (("header", "seen"), 4, "damaged: header.seen is 4; expected 4,048"),
    (("header", "seen_bytes"), 5, "damaged: header.seen_bytes is 5; expected 4 or 8 that can hold seen"),
    (("best",), 1.5, "damaged: best is 1.5; expected a number from 0 to 1"),
    (("model", "layers.0.norm.running_var"), -torch.ones(8), "with finite values of at least 0"),
    (("optimizer", 0, "momentum_buffer"), torch.ones(1), "optimizer.0.momentum_buffer is a torch.float32 tensor of"),
    (("cfg",), "0" * 64, "the state belongs to a different cfg, dialect or size"),
])  # fmt: skip
def test_state_error_names_field(saved: Saved, place: tuple[Any, ...], value: Any, message: str) -> None:
    torch.save(changed(saved.state, place, value), saved.state_path)
    with pytest.raises(darkparse.DarkparseError, match=re.escape(message)):
        begin(saved.own, "sgd", resume=True)


def test_adam_state_with_invalid_moments_is_refused(own: Path) -> None:
    run = begin(own, "adam", batches=2)
    list(run)
    state = torch.load(run.checkpoints.state, weights_only=True)
    like = state["optimizer"][0]["exp_avg_sq"]
    for key, value in {
        "step": (torch.tensor(0.5), torch.tensor(-1.0), torch.tensor(1e9)),
        "exp_avg_sq": (-torch.ones_like(like),),
    }.items():
        for odd in value:
            torch.save(changed(state, ("optimizer", 0, key), odd), run.checkpoints.state)
            with pytest.raises(darkparse.DarkparseError, match=rf"damaged: optimizer\.0\.{key} is"):
                begin(own, "adam", resume=True)


def test_state_without_digest_is_refused(saved: Saved) -> None:
    torch.save(changed(saved.state, ("cfg",), None, is_removed=True), saved.state_path)
    with pytest.raises(darkparse.DarkparseError, match="has no digest of its cfg"):
        begin(saved.own, "sgd", resume=True)


@pytest.mark.parametrize(("old", "new", "is_same"), [
    ("learning_rate=0.01", "learning_rate=0.02", False),
    ("activation=linear", "activation=logistic", False),
    ("anchors=10,10, 16,16", "anchors=10,11, 16,16", False),
    ("anchors=10,10, 16,16", "anchors = 10, 10,16,16", True),
    ("[net]", "# another comment\n[net]", True),
])  # fmt: skip
def test_state_of_other_cfg_with_equal_shapes_is_refused(saved: Saved, old: str, new: str, is_same: bool) -> None:
    path = saved.own.parent / "small.cfg"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    if is_same:
        assert trainer(saved.own, path, resume=True).schedule.batch == HALF + 3
    else:
        with pytest.raises(darkparse.DarkparseError, match="the state belongs to a different cfg"):
            trainer(saved.own, path, resume=True)


def test_state_with_overlapping_tensors_resumes_correctly(saved: Saved) -> None:
    """Momentum is updated in place: two that share their memory would be updated twice."""
    own, path, state = saved
    moments = state["optimizer"]
    for key in (0, 1):
        moments[key]["momentum_buffer"] = torch.zeros(8)
    torch.save(state, path)
    apart = begin(own, "sgd", resume=True, batches=2)
    list(apart)
    zeros = torch.zeros(1).expand(8)
    moments[0]["momentum_buffer"] = moments[1]["momentum_buffer"] = zeros
    torch.save(state, path)
    together = begin(own, "sgd", resume=True, batches=2)
    list(together)
    for one, other in zip(apart.model.parameters(), together.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_state_in_another_memory_format_resumes_in_channels_last(saved: Saved) -> None:
    """States were written with contiguous values before; values and steps are those of a state in channels last."""
    own, path, state = saved
    losses = [step.loss for step in begin(own, "sgd", resume=True, batches=2)]
    for values in (state["model"], *state["optimizer"].values()):
        values.update({key: value.contiguous() for key, value in values.items()})
    torch.save(state, path)
    resumed = begin(own, "sgd", resume=True, batches=2)
    assert [step.loss for step in resumed] == losses
    maps = [parameter for parameter in resumed.model.parameters() if parameter.dim() == 4]
    assert all(is_channels_last(parameter) for parameter in maps)
    assert all(is_channels_last(resumed.optimizer.state[parameter]["momentum_buffer"]) for parameter in maps)
    assert not all(value.is_contiguous() for value in maps)


def is_channels_last(x: torch.Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("net", [pytest.param("sgd", marks=pytest.mark.slow), "adam", "ema"])
def test_resumed_run_equals_uninterrupted_run(own: Path, net: str) -> None:
    whole = begin(own, net, batches=5)
    list(whole)
    list(begin(own, net, batches=2))
    again = begin(own, net, resume=True, batches=3)
    list(again)
    assert bool(again.optimizer.averages) == (net == "ema")
    for one, other in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_unreadable_state_is_one_line_error(saved: Saved) -> None:
    own, path, _ = saved
    whole = path.read_bytes()
    for odd in (b"", b"x", whole[:-1], whole[: len(whole) // 2], whole[:200] + b"\0" * 50 + whole[250:]):
        path.write_bytes(odd)
        with pytest.raises(darkparse.DarkparseError, match=rf"^{re.escape(str(path))}: [^\n]*$"):
            begin(own, "sgd", resume=True)
    path.unlink()
    path.mkdir()
    with pytest.raises(darkparse.DarkparseError, match=r"_last\.state: Is a directory"):
        begin(own, "sgd", resume=True)
