"""Commands take their parameters as one typed object."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click
import pytest

from darkparse import cli
from darkparse.cli.jobs import build_job, field_groups
from darkparse.cli.main import COMMANDS
from darkparse.network.compile_options import CompileOptions

MODULES = sorted(Path(cli.__file__).parent.glob("*.py"))


@dataclass(frozen=True, slots=True)
class Job:
    """A group of parameters between others."""

    cfg: str
    compile_options: CompileOptions
    form: str
    fold: bool = True


def find_job_type(command: click.Command) -> type | None:
    """The dataclass that a command takes, by the closure of its callback."""
    callback = command.callback
    assert callback is not None
    return inspect.getclosurevars(callback).nonlocals.get("job_type")


def list_names(job_type: type) -> list[str]:
    return [
        name
        for field, group in field_groups(job_type).items()
        for name in ([field] if group is None else list_names(group))
    ]


def test_build_job_fills_groups_from_parameters_and_defaults() -> None:
    job = build_job(Job, {"cfg": "x", "form": "json", "size": 64, "strict": True})
    assert job == Job("x", CompileOptions(size=64, strict=True), "json")


def test_build_job_without_a_required_parameter_raises() -> None:
    with pytest.raises(TypeError, match="form"):
        build_job(Job, {"cfg": "x"})


@pytest.mark.parametrize("module", COMMANDS)
def test_command_parameters_are_fields_of_its_job(module: str) -> None:
    command: click.Command = import_module(f"darkparse.cli.{module}").command
    job_type = find_job_type(command)
    if job_type is None:
        pytest.skip("not possible: the command has no job class, as it takes its few parameters one by one")
    parameters = {parameter.name for parameter in command.params if parameter.expose_value}
    assert parameters <= set(list_names(job_type))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_command_functions_take_no_keyword_rest(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert not [function.name for function in functions if function.args.kwarg is not None]
