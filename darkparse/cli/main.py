"""The `darkparse` command."""

from __future__ import annotations

import difflib
import sys
import warnings
from importlib import import_module
from io import TextIOWrapper

import click

from darkparse.cli.common import CfgType, report_error
from darkparse.cli.foreign_commands import translate
from darkparse.cli.terminal import safe_streams
from darkparse.errors import DarkparseError
from darkparse.network.limits import active_limits

# Each command, its module and its line of help, so that `darkparse --help` does not import all modules.
COMMANDS: dict[str, tuple[str, str]] = {
    "show": ("show", "Print a network as a table: shapes, parameters, BFLOPs, reductions."),
    "explain": ("explain", "Say which layers reduce what, and what each bottleneck saves."),
    "draw": ("draw", "Draw a network as SVG, PNG, PDF, HTML or DOT."),
    "check": ("check", "Check a cfg or a data set and print everything that is odd about it."),
    "format": ("format", "Write cfgs anew in one tidy style, comments kept."),
    "emit": ("emit", "Write a network as PyTorch source that a person can read."),
    "edit": ("edit", "Change a cfg: classes, input size, anchors, or a cut after N layers."),
    "weights": ("weights", "Say what a weights file holds, and whether it fits a cfg, or why not."),
    "convert": ("convert", "Convert weights: .weights, .safetensors, .pt, .npz, .h5, and what others save."),
    "diff": ("diff", "Say what changed between two cfgs, or between two weights files of one."),
    "detect": ("detect", "Find what is in pictures and videos, as Darknet does."),
    "evaluate": ("evaluate", "Measure mean average precision on annotated pictures."),
    "anchors": ("anchors", "Find anchors for a data set."),
    "train": ("train", "Train a network on Darknet's data, to Darknet's weights."),
    "compare": ("compare", "Find the first layer whose output differs from another's."),
    "lsp": ("lsp", "Serve an editor: findings, facts, references and completion in cfgs."),
    "demo": ("demo", "Show what darkparse does, on networks that it ships with."),
}


def _no_limits(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        before = active_limits.set(None)
        ctx.call_on_close(lambda: active_limits.reset(before))


NO_LIMITS = click.Option(
    ["--no-limits"], is_flag=True, expose_value=False, callback=_no_limits, help="Take a network of any size."
)
"""Of every command that takes a cfg."""


class Commands(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"darkparse.cli.{COMMANDS[cmd_name][0]}").command
        if any(isinstance(parameter.type, CfgType) for parameter in command.params) and NO_LIMITS not in command.params:
            command.params.append(NO_LIMITS)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            raise click.UsageError(f"unknown command {args[0]!r}{_hint_at_command(args)}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _hint_at_command(args: list[str]) -> str:
    """Return the hint for an unknown command: the darkparse command for one of another tool, or the nearest name."""
    if command := translate(args):
        return f"\nhint: {command}"
    near = difflib.get_close_matches(args[0], COMMANDS, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _explain_option(problem: click.NoSuchOption, args: list[str]) -> click.UsageError:
    """Return the error for another tool's option, such as Darknet's -thresh, with the equivalent command line."""
    if problem.ctx is None:
        return problem
    own_options = [name for param in problem.ctx.command.get_params(problem.ctx) for name in param.opts]
    command = translate(args, own_options)
    if command is None:
        return problem
    option = next(word for word in args if word.startswith(problem.option_name) and word not in own_options)
    if option in command.split():
        return problem
    return click.UsageError(f"unknown option {option!r}\nhint: {command}", problem.ctx)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from darkparse.cli.versions import versions

        click.echo(versions())
        ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Say what is installed."
)
def darkparse() -> None:
    """Compile original Darknet cfgs: tables, diagrams, PyTorch modules with the original weights.

    CFG is a path, or the name of a network that darkparse ships: darkparse show yolov3
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line; exit status 2 with one message for bad input.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="darkparse.ascii")  # for terminals that cannot encode ×
    warnings.formatwarning = lambda message, *_: f"darkparse: warning: {message}\n"
    with safe_streams():
        _run(args)


def _run(args: list[str] | None) -> None:
    try:
        darkparse.main(args, prog_name="darkparse", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as problem:
        if isinstance(problem, click.NoSuchOption):
            problem = _explain_option(problem, sys.argv[1:] if args is None else args)
        problem.show()
        sys.exit(problem.exit_code)
    except click.Abort:
        raise KeyboardInterrupt from None
    except DarkparseError as problem:
        report_error(problem)
        sys.exit(2)
    except ModuleNotFoundError as problem:
        if problem.name not in ("torch", "numpy"):
            raise
        click.echo(f"darkparse: error: {problem.name} is not installed: pip install {problem.name}", err=True)
        sys.exit(2)
    except OSError as problem:
        reason = problem.strerror or problem
        reason = f"{problem.filename}: {reason}" if problem.filename else reason
        click.echo(f"darkparse: error: {reason}", err=True)
        sys.exit(2)
    except MemoryError as problem:
        click.echo(f"darkparse: error: {str(problem) or 'out of memory'}", err=True)
        sys.exit(2)
