"""Help of the commands: options under headings, with one description per line where possible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

import click

# Headings and options in the order in which help shows them. An option that means something else in one command is
# listed as `COMMAND --option`.
HEADINGS: dict[str, tuple[str, ...]] = {
    "Changes": (
        "--data",
        "edit --batches",
        "--fit-anchors",
        "edit --classes",
        "edit --size",
        "--anchors",
        "--set",
        "edit --upto",
    ),
    "Classes": ("--keep", "--drop", "--renormalize"),
    "Channels": ("--share", "--flops"),
    "Checks": ("--training", "--decode", "check --strict"),
    "Training": ("--batches", "train --resume", "--clear", "--map", "--val-loss", "train --seed"),
    "Clustering": ("--clusters", "anchors --size", "anchors --seed"),
    "Metrics": ("--rule", "--iou", "--at"),
    "Comparison": ("--against", "--tolerance"),
    "Detection": ("--threshold", "--nms", "--hierarchy", "--top", "--classes", "--use-class-map"),
    "Diagram": (
        *(
            "--theme",
            "--direction",
            "--layout",
            "--layers",
            "--no-title",
            "--no-fold",
            "--no-notes",
            "--by",
            "--overlay",
        ),
    ),
    "Input": (
        *("--images", "--annotations", "--names", "--cfg", "--dialect", "--size", "--resize", "--reorg", "--exif"),
        *("--channels", "--live", "--header-size", "weights --upto", "--partial", "--from", "--strict", "--no-limits"),
    ),
    "Output": (
        *(
            "--out",
            "--format",
            "--json",
            "--columns",
            "show --batch",
            "--layer",
            "--detail",
            "--width",
            "--watch",
            "--open",
            "--all",
            "--errors",
            "--flat",
        ),
        *("--dpi", "--check", "--no-images", "--save", "--resume", "--overwrite", "--show", "--dry-run", "--log"),
        *("--chart", "--tensorboard", "--upto", "--seen", "--file-version", "--widen", "--verify", "--image"),
    ),
    "Export": (
        "--heads",
        "--dynamic-size",
        "--fixed-batch",
        "--opset",
        "convert --half",
        "convert --no-fold",
        "--in-place",
    ),
    "Options": (),
    "Runtime": ("--device", "--dtype", "--amp", "--batch", "--workers", "--engine"),
    "Ray cluster": ("--ray", "--address", "--worker-cpus", "--worker-gpus"),
    "Help": ("--help",),
}
DEFAULT_HEADING = "Options"
"""Heading of an option that the table does not list."""
MAX_INLINE_CHOICES = 16
"""Maximum length of choices that are shown in place of the value, such as `auto|on|off`."""
MAX_TERM = 26
"""Width of the column of options; the description of a longer option starts on the next line."""
UNBREAKABLE = {"-": "\N{NON-BREAKING HYPHEN}", " ": "\N{NO-BREAK SPACE}"}


class HelpFormatter(click.HelpFormatter):
    """Formatter that breaks lines neither at hyphens, as in `--no-limits`, nor within short notes in brackets."""

    def write_text(self, text: str) -> None:
        super().write_text(_protect(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = MAX_TERM, col_spacing: int = 2) -> None:
        super().write_dl([(term, _protect(text)) for term, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().translate({ord(new): old for old, new in UNBREAKABLE.items()})


def _protect(text: str) -> str:
    """Replace the characters at which a line must not be broken."""
    text = re.sub(r"\[[^\[\]]{,46}\]", lambda note: note[0].replace(" ", UNBREAKABLE[" "]), text)
    return text.replace("-", UNBREAKABLE["-"])


class HelpContext(click.Context):
    """Context whose help is formatted by `HelpFormatter`."""

    formatter_class = HelpFormatter


class HelpCommand(click.Command):
    """Command whose help lists its options under the headings of `HEADINGS`."""

    context_class = HelpContext

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [option for option in self.get_params(ctx) if isinstance(option, click.Option) and not option.hidden]
        options.sort(key=lambda option: find_position(ctx.command.name, option))
        rows = [(find_position(ctx.command.name, option)[0], *describe_option(option, ctx)) for option in options]
        width = max(len(term) for _, term, _ in rows if len(term) <= MAX_TERM)
        for number, section in groupby(rows, key=itemgetter(0)):
            with formatter.section(list(HEADINGS)[number]):
                formatter.write_dl([(term.ljust(width), text) for _, term, text in section], width)


def find_position(command: str | None, option: click.Option) -> tuple[int, int]:
    """Return the position of an option in a command's help: the numbers of its heading and of its line there."""
    positions = {
        name: (number, line) for number, names in enumerate(HEADINGS.values()) for line, name in enumerate(names)
    }
    name = _long_name(option)
    default = list(HEADINGS).index(DEFAULT_HEADING), 0
    return positions.get(f"{command} {name}") or positions.get(name, default)


def _long_name(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--"))


def describe_option(option: click.Option, ctx: click.Context) -> tuple[str, str]:
    """Return an option with its value, without aliases; and its description, with choices and default in brackets."""
    short_names = [name for name in option.opts if not name.startswith("--")]
    term = ", ".join([*short_names, "/".join([_long_name(option), *option.secondary_opts])])
    notes = []
    if not option.is_flag:
        choices = option.type.choices if isinstance(option.type, click.Choice) else ()
        value = "|".join(choices)
        if len(value) > MAX_INLINE_CHOICES:
            notes.append(", ".join(choices))
            value = _long_name(option).strip("-").upper()
        term += f" {option.metavar or value or _type_name(option.type)}"
    default = option.get_help_extra(ctx).get("default")
    if default:
        notes.append(f"default: {option.show_default if isinstance(option.show_default, str) else default}")
    if option.required:
        notes.append("required")
    return term, f"{option.help}  [{'; '.join(notes)}]" if notes else option.help or ""


def _type_name(type: click.ParamType) -> str:  # type: ignore[type-arg]
    """Return the name of a type, such as FLOAT for a range of floats."""
    name = type.name.removesuffix(" range")
    return name.upper() if name.islower() else name
