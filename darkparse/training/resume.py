"""Resuming training from the state of an earlier run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from darkparse.errors import DarkparseError
from darkparse.model.darknet import Darknet
from darkparse.training.checkpoints import Checkpoints
from darkparse.training.initialization import build_optimizer
from darkparse.training.lr_schedule import Schedule
from darkparse.training.memory_format import copy_like
from darkparse.training.optimizers import DarknetOptimizer
from darkparse.training.state import State, check_origin, check_state
from darkparse.weights import Header


def restore(model: Darknet, checkpoints: Checkpoints) -> tuple[DarknetOptimizer, Schedule, State]:
    """Restore a model, its optimizer and its schedule from a state; their settings come from the cfg.

    Args:
        model: Module that receives the values.
        checkpoints: Files of the earlier run.

    Returns:
        The optimizer, the schedule and the complete state.

    Raises:
        DarkparseError: The state is missing, corrupt or belongs to another cfg; the model is unchanged.
    """
    state = checkpoints.read()
    with _prefix_errors(checkpoints.state):
        check_origin(state, model.network)
    update, schedule = build_optimizer(model, state["seen"])
    with _prefix_errors(checkpoints.state):
        check_state(state, model, update, schedule)
    model.load_state_dict(state["model"])
    model.header = Header(**state["header"])
    # Tensors of a file may share memory, and these are updated in place, so they are cloned.
    parameters = [parameter for group in update.param_groups for parameter in group["params"]]
    moments = {
        i: {key: copy_like(value, parameters[i]) for key, value in entry.items()}
        for i, entry in state["optimizer"].items()
    }
    update.load_state_dict({"state": moments, "param_groups": update.state_dict()["param_groups"]})
    means = {model.get_parameter(name): mean for name, mean in state["averages"].items()}
    update.averages = {parameter: copy_like(mean, parameter) for parameter, mean in means.items()}
    return update, schedule, state


@contextmanager
def _prefix_errors(path: Path) -> Iterator[None]:
    """Prefix errors with the file name."""
    try:
        yield
    except DarkparseError as problem:
        raise DarkparseError(f"{path}: {problem}") from None
