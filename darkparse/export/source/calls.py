"""Constructor calls as data, with slots for numbers that vary between blocks, formatted as ruff would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

WIDTH = 88
"""Line width, ruff's default. Broken lines end in a magic trailing comma, so that ruff keeps them at larger widths."""

Kind = Literal["channels", "size", "stride", "count", "scale_x_y"]


@dataclass(frozen=True, slots=True)
class Slot:
    """Number that may differ between copies of a block."""

    value: float
    kind: Kind = "channels"


@dataclass(frozen=True, slots=True)
class Arg:
    """Argument of a call; it is omitted if its text equals the default."""

    value: Slot | Call | str
    name: str = ""
    """Keyword; empty for a positional argument."""
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Call `name(args)`. The name `repeat` denotes an unpacked sequence of copies, given a call and a count."""

    name: str
    args: tuple[Arg, ...] = ()

    def slots(self) -> Iterator[Slot]:
        """Yield every slot in argument order."""
        for arg in self.args:
            if isinstance(arg.value, Slot):
                yield arg.value
            elif isinstance(arg.value, Call):
                yield from arg.value.slots()

    def shape(self, *, strict: bool) -> tuple[object, ...]:
        """Return a key that is equal for two calls that are copies, i.e. differ only in their slots.

        Args:
            strict: Include kernel sizes and strides in the key.
        """
        return (self.name, *(_shape(arg, strict) for arg in self.args))


def _shape(arg: Arg, strict: bool) -> object:
    value = arg.value
    if isinstance(value, Slot):
        return (arg.name, value.kind, value.value if strict and value.kind in ("size", "stride") else None)
    return (arg.name, value.shape(strict=strict) if isinstance(value, Call) else value)


def literal(value: object) -> str:
    """Format a module argument (number, identifier, None or a tuple of these) as Python source."""
    if isinstance(value, tuple):
        inner = ", ".join(literal(part) for part in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return f'"{value}"' if isinstance(value, str) and value.isidentifier() else repr(value)


def _text(value: Slot | Call | str, texts: Iterator[str]) -> Text:
    if isinstance(value, Slot):
        return next(texts)
    return expressions(value, texts) if isinstance(value, Call) else value


def expressions(call: Call, texts: Iterator[str]) -> Text:
    """Convert a call to text.

    Args:
        call: Call to convert.
        texts: Texts of the slots, in order.
    """
    parts: list[Text] = []
    skipped = False
    for arg in call.args:
        text = _text(arg.value, texts)
        if text == arg.default:
            skipped = True
            continue
        name = arg.name if skipped or arg.default is None or arg.name in KEYWORDS else ""
        parts.append(_add_name(name, text))
    if call.name == "repeat":
        block, count = parts
        return block if count == "1" else Loop(block, str(count))
    return Nested(call.name, tuple(parts))


KEYWORDS = frozenset(
    {
        "groups",
        "padding",
        "dilation",
        "bias",
        "ceil_mode",
        "count_include_pad",
        "scale_factor",
        "dim",
        "eps",
        "momentum",
    }
)
"""Arguments that are always passed by keyword, for readability."""


@dataclass(frozen=True, slots=True)
class Nested:
    """Text of a call, which can be broken into lines."""

    name: str
    parts: tuple[Text, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parts))})"


@dataclass(frozen=True, slots=True)
class Loop:
    """Unpacked generator expression `*(block for _ in range(count))`."""

    block: Text
    count: str
    variable: str = "_"

    def __str__(self) -> str:
        return f"*({self.block} for {self.variable} in range({self.count}))"


@dataclass(frozen=True, slots=True)
class Named:
    """Keyword argument `name=value`."""

    name: str
    value: Text

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


Text = str | Nested | Loop | Named


def _add_name(name: str, text: Text) -> Text:
    return Named(name, text) if name else text


def lines(text: Text, indent: int, before: str = "", after: str = "") -> list[str]:
    """Format text on one line if it fits, else with one argument per line.

    Args:
        text: Text to format.
        indent: Number of spaces before each line.
        before: Text before the first line.
        after: Text after the last line.
    """
    pad = " " * indent
    line = f"{pad}{before}{text}{after}"
    if len(line) <= WIDTH or isinstance(text, str):
        return [line]
    if isinstance(text, Named):
        return lines(text.value, indent, f"{before}{text.name}=", after)
    if isinstance(text, Loop):
        opening = lines(text.block, indent + 4)
        return [f"{pad}{before}*(", *opening, f"{pad}    for {text.variable} in range({text.count})", f"{pad}){after}"]
    inner = [line for part in text.parts for line in lines(part, indent + 4, after=",")]
    return [f"{pad}{before}{text.name}(", *inner, f"{pad}){after}"]
