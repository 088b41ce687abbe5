"""Training state for `--resume`: its format and its validation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from darkparse.diagnostics.source import quote_safe
from darkparse.errors import DarkparseError
from darkparse.model.darknet import Darknet
from darkparse.network import Network
from darkparse.network.learning_rate import RELATIVE_POLICIES
from darkparse.network.training import bind_net_training, count_images_per_batch
from darkparse.syntax.config import strip_whitespace
from darkparse.training.data.seed import MAX_SEED
from darkparse.training.lr_schedule import Schedule
from darkparse.training.optimizers import EMA_LAST_BATCHES, Adam, DarknetOptimizer
from darkparse.training.precision import is_scaler_state

State = dict[str, Any]

MAX_SEEN = 2**62
"""Maximum number of images that a training run without `max_batches` may have seen."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A required value of a state."""

    expected: str
    is_valid: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class OptionalEntry:
    """An optional entry of a state."""

    entry: Leaf | Mapping[Any, Form]


Form = Leaf | OptionalEntry | Mapping[Any, "Form"]
"""Expected form of a state: the same keys, and valid values."""


def digest_cfg(network: Network) -> str:
    """Return a digest of a cfg's options, of the dialect and the size, independent of comments and whitespace.

    `max_batches` is ignored if it only sets the last batch, so that training can be extended.
    """
    config, net, training = network.config, network.net, bind_net_training(network, quiet=True)
    is_end_only = training.policy not in RELATIVE_POLICIES and not training.ema_alpha
    ignored = {"max_batches"} if is_end_only else set[str]()
    sections = [
        (
            section.kind,
            [(o.key, strip_whitespace(o.text or "")) for o in section.options if o.key not in ignored],
        )
        for section in (config.net, *config.sections)
    ]
    return hashlib.sha256(json.dumps([network.dialect.name, net.height, net.width, sections]).encode()).hexdigest()


def check_origin(state: Any, network: Network) -> None:
    """Check which cfg a state belongs to, and its number of seen images.

    Args:
        state: Content of a state file.
        network: Network to train.

    Raises:
        DarkparseError: The state belongs to another cfg or is corrupt.
    """
    if not isinstance(state, dict):
        raise DarkparseError(f"not a training state, got {_describe(state)}; expected a dict")
    if "cfg" not in state:
        raise DarkparseError(
            "the state has no digest of its cfg, so it may belong to another one\nhint: start from weights"
        )
    if not isinstance(state["cfg"], str) or state["cfg"] != digest_cfg(network):
        raise DarkparseError(
            "the state belongs to a different cfg, dialect or size\nhint: resume with the original ones, or remove "
            "--resume and start from its weights"
        )
    images, batches = count_images_per_batch(network), bind_net_training(network).max_batches
    max_seen = (batches + 1) * images - 1 if batches else MAX_SEEN
    step = images if network.dialect.training.counts_iterations else 1
    multiple = Leaf(
        f"a multiple of {step:,} from {images:,} to {max_seen:,}",
        lambda value: type(value) is int and images <= value <= max_seen and value % step == 0,
    )
    _check_form(state.get("seen"), multiple, "seen")


def check_state(state: State, model: Darknet, update: DarknetOptimizer, schedule: Schedule) -> None:
    """Check every field of a state against the network and its optimizer.

    Args:
        state: State that passed `check_origin`.
        model: Module to train.
        update: Its optimizer, at the batch where the state was saved.
        schedule: Its schedule, at the same batch.

    Raises:
        DarkparseError: A field is missing or unknown, or its type, range or shape is wrong.
    """
    seen, batches_done = schedule.seen, schedule.batch - 1
    averages, scaler = state.get("averages"), state.get("scaler")
    form: dict[str, Form] = {
        "model": {
            name: _tensor(value, 0 if name.endswith("running_var") else None)
            for name, value in model.state_dict().items()
        },
        "optimizer": _optimizer_form(update, batches_done, skips_updates=isinstance(scaler, dict) and bool(scaler)),
        "averages": _averages_form(model, update, batches_done, is_empty=isinstance(averages, dict) and not averages),
        "header": {
            **dict.fromkeys(("major", "minor", "revision"), _integer(0, 2**31 - 1)),
            "seen": _integer(seen, seen),
            "seen_bytes": Leaf("4 or 8 that can hold seen", lambda n: type(n) is int and n in (4, 8) and seen < 256**n),
        },
        "cfg": Leaf("a digest", lambda value: type(value) is str),
        "seen": _integer(seen, seen),
        "seed": _integer(0, MAX_SEED),
        "loss": Leaf("a finite number", lambda value: type(value) is float and isfinite(value)),
        "best": Leaf("a number from 0 to 1", lambda value: type(value) is float and 0 <= value <= 1),
        "scaler": _scaler_form(is_empty=isinstance(scaler, dict) and not scaler),
        "measure_due": Leaf("True or False", lambda value: type(value) is bool),
    }
    _check_form(state, form, "")


def _check_form(value: Any, form: Form, name: str) -> None:
    """Raise DarkparseError at the first value that does not have the expected form."""
    form = form.entry if isinstance(form, OptionalEntry) else form
    if isinstance(form, Leaf):
        if not form.is_valid(value):
            raise DarkparseError(f"damaged: {name} is {_describe(value)}; expected {form.expected}")
        return
    if not isinstance(value, dict):
        raise DarkparseError(f"damaged: {name} is {_describe(value)}; expected a dict")
    needed = {key for key, entry in form.items() if not isinstance(entry, OptionalEntry)}
    problems = [("has no", needed - value.keys()), ("has an unknown entry", value.keys() - form.keys())]
    for description, keys in problems:
        if keys:
            raise DarkparseError(f"damaged: {name or 'the state'} {description} {min(map(_describe, keys))}")
    for key, entry in value.items():
        _check_form(entry, form[key], f"{name}.{key}" if name else str(key))


def _optimizer_form(update: DarknetOptimizer, batches_done: int, *, skips_updates: bool) -> Form:
    """Return the form of torch's optimizer state; a parameter has none before its first update.

    A gradient scaler may have skipped all updates so far.
    """
    pairs = [(parameter, group) for group in update.param_groups for parameter in group["params"]]
    form: dict[int, Form] = {}
    for index, (parameter, group) in enumerate(pairs):
        entry: dict[str, Form]
        if isinstance(update, Adam):
            step = Leaf(f"an integer from 0 to {batches_done}", lambda value: _is_step(value, batches_done))
            entry = {"step": step, "exp_avg": _tensor(parameter), "exp_avg_sq": _tensor(parameter, 0)}
        else:
            entry = {"momentum_buffer": _tensor(parameter)} if group["momentum"] else {}
        is_stored = entry and group["dont_update"] < batches_done and not skips_updates
        form[index] = entry if is_stored else OptionalEntry(entry)
    return form


def _averages_form(model: Darknet, update: DarknetOptimizer, batches_done: int, *, is_empty: bool) -> Form:
    """Return the form of the `ema_alpha` averages.

    They start halfway through training. A run that starts after their last batch has none.
    """
    net = update.net
    begin, end = net.max_batches // 2, net.max_batches - EMA_LAST_BATCHES
    if not net.ema_alpha or batches_done < begin or begin > end or (batches_done > end and is_empty):
        return {}
    averaged = {id(parameter) for parameter in update.averaged_parameters}
    return {name: _tensor(value) for name, value in model.named_parameters() if id(value) in averaged}


def _scaler_form(*, is_empty: bool) -> Form:
    """Return the form of a gradient scaler's state; training without float16 has none."""
    names = () if is_empty else ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")
    return {name: Leaf(f"a valid {name}", partial(is_scaler_state, name)) for name in names}


def _is_step(value: Any, maximum: int) -> bool:
    return _is_like(value, torch.zeros(())) and 0 <= value.item() <= maximum and value.item() == int(value.item())


def _tensor(like: Tensor, minimum: float | None = None) -> Leaf:
    bound = "" if minimum is None else f" of at least {minimum:g}"
    expected = f"a {like.dtype} tensor of shape {tuple(like.shape)} with finite values{bound}"
    return Leaf(expected, lambda value: _is_like(value, like) and (minimum is None or bool((value >= minimum).all())))


def _is_like(value: Any, like: Tensor) -> bool:
    return (
        type(value) is Tensor
        and (value.layout, value.device.type) == (torch.strided, "cpu")
        and (value.dtype, value.shape) == (like.dtype, like.shape)
        and bool(torch.isfinite(value).all())
    )


def _integer(minimum: int, maximum: int) -> Leaf:
    expected = f"{minimum:,}" if minimum == maximum else f"an integer from {minimum:,} to {maximum:,}"
    return Leaf(expected, lambda value: type(value) is int and minimum <= value <= maximum)


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    if isinstance(value, str):
        return quote_safe(value)
    is_short = value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64)
    return str(value) if is_short else f"a value of type {type(value).__name__}"
