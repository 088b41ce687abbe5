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
from darkparse.cli.help import HelpContext
from darkparse.cli.terminal import safe_streams
from darkparse.errors import DarkparseError
from darkparse.network.limits import active_limits

COMMAND_GROUPS: dict[str, dict[str, str]] = {
    "Inspect": {
        "list": "List the networks that darkparse ships with.",
        "show": "Print a table of layers.",
        "explain": "List what each layer reduces and what each bottleneck saves.",
        "draw": "Draw a network as a diagram.",
        "check": "Check cfgs and data sets for mistakes.",
        "diff": "Compare two cfgs, or two weights files of one cfg.",
        "format": "Format cfgs in one style.",
    },
    "Weights": {
        "weights": "Print the layout of a weights file and check that it fits a cfg.",
        "convert": "Convert weights to another format.",
        "emit": "Generate PyTorch source code.",
        "classes": "Keep some classes of a trained network.",
        "prune": "Remove the channels with the smallest batch-norm scales.",
        "lower": "Rewrite a PyTorch project's cfg and state dict for Darknet.",
        "edit": "Change a cfg, or fit it to a data set.",
        "compare": "Find the first layer that differs from another implementation.",
    },
    "Images": {
        "detect": "Detect objects in images and videos.",
        "evaluate": "Measure mAP, or the accuracy of a classifier.",
        "train": "Train a network on a data set.",
        "anchors": "Compute anchors for a data set.",
    },
    "Other": {
        "demo": "Demonstrate darkparse on networks that it ships with.",
        "lsp": "Start the language server for cfgs.",
    },
}
"""Groups of commands: names, which are those of the modules too, and summaries.

A summary is the first line of the command's docstring, stated here so that `darkparse --help` imports no command.
"""
COMMANDS = {name: summary for group in COMMAND_GROUPS.values() for name, summary in group.items()}


def _no_limits(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        before = active_limits.set(None)
        ctx.call_on_close(lambda: active_limits.reset(before))


NO_LIMITS = click.Option(
    ["--no-limits"], is_flag=True, expose_value=False, callback=_no_limits, help="Disable size limits."
)
"""Of every command that takes a cfg."""


class Commands(click.Group):
    """Group that imports a command's module when the command is used."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"darkparse.cli.{cmd_name}").command
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

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for heading, commands in COMMAND_GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in commands.items()])


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


CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}


@click.command(cls=Commands, context_settings=CONTEXT_SETTINGS)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print versions and exit."
)
def darkparse() -> None:
    """Compile Darknet cfgs: inspect, draw, run, train and convert networks.

    CFG is a path, or the name of a network that darkparse ships, e.g. yolov3.
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
