"""The first and last values of a state's fields that are valid, and those beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import darkparse
from darkparse.training.data.seed import MAX_SEED
from darkparse.training.initialization import build_optimizer
from darkparse.training.optimizers import EMA_LAST_BATCHES
from darkparse.training.state import MAX_SEEN, State, check_origin, check_state, digest_cfg
from tests.training.small_network import trainer
from tests.training.tiny_data import write_cfg, write_data


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_data(tmp_path, f"backup = {tmp_path / 'backup'}\n")


@pytest.mark.parametrize(("dialect", "max_batches", "valid", "invalid"), [
    ("alexeyab", 8, (4, 8, 32), (0, 2, 6, 33, 36, -4)), ("pjreddie", 8, (4, 5, 35), (0, 3, 36, -1)),
    ("alexeyab", 0, (4, MAX_SEEN), (0, MAX_SEEN + 4)), ("pjreddie", 0, (4, MAX_SEEN), (3, MAX_SEEN + 1)),
])  # fmt: skip
def test_state_has_seen_at_least_a_batch_and_at_most_all(
    dialect: str, max_batches: int, valid: tuple[int, ...], invalid: tuple[int, ...], tmp_path: Path
) -> None:
    network = darkparse.compile(write_cfg(tmp_path, max_batches=max_batches), dialect=dialect)
    state = {"cfg": digest_cfg(network)}
    for seen in valid:
        check_origin(state | {"seen": seen}, network)
    for odd in (*invalid, 4.0, True, None):
        with pytest.raises(darkparse.DarkparseError, match="damaged: seen is "):
            check_origin(state | {"seen": odd}, network)


def _set(state: State, place: str, value: Any) -> State:
    """Return a copy with another value at a place, whose keys are separated by dots."""
    key, _, rest = place.partition(".")
    name: Any = int(key) if key.isdigit() else key
    return {**state, name: _set(state[name], rest, value) if rest else value}


@pytest.mark.parametrize(("net", "place", "valid", "invalid"), [
    ("", "seed", (0, MAX_SEED), (-1, MAX_SEED + 1)),
    ("", "best", (0.0, 0.5, 1.0), (-0.001, 1.001, 1)),
    ("", "loss", (-1.5, 0.0, 1e30), (0, float("inf"))),
    ("", "header.major", (0, 2**31 - 1), (-1, 2**31)),
    ("", "header.seen", (8,), (7, 9)),
    ("", "header.seen_bytes", (4, 8), (3, 5, 9, 4.0)),
    ("", "seen", (8,), (4, 12)),
    ("", "cfg", ("x",), (1, b"x")),
    ("", "measure_due", (True, False), (0, 1)),
    ("adam=1\n", "optimizer.0.step", (torch.tensor(0.0), torch.tensor(2.0)), (torch.tensor(3.0), torch.tensor(-1.0))),
    ("adam=1\n", "optimizer.0.exp_avg_sq", ("zeros",), ("negative", "nan", "double")),
    ("adam=1\n", "optimizer.0.exp_avg", ("zeros", "negative"), ("nan", "double")),
])  # fmt: skip
def test_state_field_is_valid_up_to_its_bounds(
    net: str, place: str, valid: tuple[Any, ...], invalid: tuple[Any, ...], own: Path
) -> None:
    training = trainer(own, write_cfg(own.parent, net=net), batches=2)
    list(training)
    state = training.checkpoints.read()
    optimizer, schedule = build_optimizer(training.model, 8)

    def check(value: Any) -> None:
        if isinstance(value, str) and place.startswith("optimizer"):
            like = state["optimizer"][0]["exp_avg"]
            value = {
                "zeros": torch.zeros_like(like), "negative": -torch.ones_like(like), "double": like.double(),
                "nan": torch.full_like(like, torch.nan),
            }[value]  # fmt: skip
        check_state(_set(state, place, value), training.model, optimizer, schedule)

    for value in valid:
        check(value)
    for value in invalid:
        with pytest.raises(darkparse.DarkparseError, match=f"damaged: {place} is "):
            check(value)


@pytest.mark.parametrize(("value", "text"), [
    (2**64 - 1, "18446744073709551615"), (2**64, "a value of type int"), (-(2**64), "a value of type int"),
    (None, "None"), (1.5, "1.5"), ("a\nb", r"'a\?b'"), ([1], "a value of type list"),
    (torch.zeros(2, 3), r"a torch.float32 tensor of shape \(2, 3\)"),
])  # fmt: skip
def test_message_about_a_state_shows_short_values(value: Any, text: str, tmp_path: Path) -> None:
    network = darkparse.compile(write_cfg(tmp_path))
    with pytest.raises(
        darkparse.DarkparseError, match=f"damaged: seen is {text}; expected a multiple of 1 from 4 to 35"
    ):
        check_origin({"cfg": digest_cfg(network), "seen": value}, network)
    with pytest.raises(darkparse.DarkparseError, match=f"not a training state, got {text}; expected a dict"):
        check_origin(value, network)


@pytest.mark.parametrize(("max_batches", "done", "needs", "may_lack"), [
    (2 * EMA_LAST_BATCHES + 20, EMA_LAST_BATCHES + 9, False, True),
    (2 * EMA_LAST_BATCHES + 20, EMA_LAST_BATCHES + 10, True, False),
    (2 * EMA_LAST_BATCHES + 20, EMA_LAST_BATCHES + 20, True, False),
    (2 * EMA_LAST_BATCHES + 20, EMA_LAST_BATCHES + 21, True, True),
    (2 * EMA_LAST_BATCHES, EMA_LAST_BATCHES, True, False),
    (2 * EMA_LAST_BATCHES - 2, EMA_LAST_BATCHES, False, True),  # the averages would end before they begin
])  # fmt: skip
def test_state_has_averages_from_the_middle_of_the_training(
    max_batches: int, done: int, needs: bool, may_lack: bool, own: Path
) -> None:
    path = write_cfg(own.parent, max_batches=max_batches, net="ema_alpha=0.5\n")
    weights = own.parent / "begun.weights"
    darkparse.save_weights(darkparse.load(path), weights, seen=4 * (done - 1))
    training = trainer(own, path, weights, batches=1)
    list(training)
    state = training.checkpoints.read()
    optimizer, schedule = build_optimizer(training.model, 4 * done)
    names = {name for name, _ in training.model.named_parameters()}
    values = {name: value.detach().clone() for name, value in training.model.named_parameters()}
    for averages, is_valid in (({}, may_lack), (values, needs)):
        if is_valid:
            check_state(state | {"averages": averages}, training.model, optimizer, schedule)
        else:
            with pytest.raises(darkparse.DarkparseError, match="damaged: averages has "):
                check_state(state | {"averages": averages}, training.model, optimizer, schedule)
    assert set(state["averages"]) == (names if needs and done <= EMA_LAST_BATCHES + 20 else set())


@pytest.mark.parametrize(("net", "policy", "is_same"), [
    ("", "constant", True), ("", "poly", False), ("ema_alpha=0.5", "constant", False),
])  # fmt: skip
def test_digest_ignores_max_batches_where_it_only_sets_the_end(
    net: str, policy: str, is_same: bool, tmp_path: Path
) -> None:
    digests = {
        digest_cfg(darkparse.compile(write_cfg(tmp_path, max_batches=n, net=f"policy={policy}\n{net}"))) for n in (8, 9)
    }
    assert (len(digests) == 1) == is_same
    text = write_cfg(tmp_path).read_text()
    same = (text, text.replace("filters=7", "filters =  7\n\n; comment"), text.replace("[yolo]", "# head\n[yolo]"))
    assert len({digest_cfg(darkparse.compile(one)) for one in same}) == 1
    other = (text.replace("classes=2", "classes=2\nignore_thresh=.7"), text.replace("width=16", "width=24"))
    assert len({digest_cfg(darkparse.compile(one)) for one in (text, *other)}) == 3
    assert len({digest_cfg(darkparse.compile(text, dialect=name)) for name in ("pjreddie", "alexeyab")}) == 2
