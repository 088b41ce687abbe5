"""Class bodies: the attributes in `__init__` and the statements in `forward`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from darkparse.export.source.calls import WIDTH, Call, Loop, Nested, Text, expressions, lines
from darkparse.export.source.expressions import Item

INDENT = 8
NUM_SUM_OPERANDS = 2
"""Number of operands of a sum whose order can be swapped."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive items that form one attribute, or an expression without an attribute."""

    items: tuple[Item, ...]
    name: str = ""

    @property
    def reads(self) -> tuple[int, ...]:
        return self.items[0].reads

    @property
    def last(self) -> int:
        return self.items[-1].last

    @property
    def is_module(self) -> bool:
        return self.items[0].call is not None

    @property
    def tags(self) -> frozenset[str]:
        return frozenset().union(*(item.tags for item in self.items))

    def expression(self, operands: Sequence[str]) -> str:
        """Return the expression that computes the output.

        Args:
            operands: Expressions of the inputs.
        """
        head, tail = self.items[0], self.items[-1]
        if head.inline and "{0} + {1}" in head.inline and len(operands) == NUM_SUM_OPERANDS:
            # Addition of two operands is bitwise commutative; put the plain name first.
            operands = sorted(operands, key=lambda operand: "(" in operand)
        arguments = head.inline.format(*operands) if head.inline else ", ".join(operands)
        value = f"self.{self.name}({arguments})" if self.is_module else arguments
        return tail.wrap.format(value)


Splits = Callable[[frozenset[str], Item, Item], bool]
"""Function that decides whether an item begins a new segment, given the tags and last item of the run, and the item."""


def split_segments(items: Sequence[Item], outputs: frozenset[int], splits: Splits) -> list[Segment]:
    """Group items into runs that are as long as possible.

    Args:
        items: Items in order.
        outputs: Indices of the layers whose values are outputs.
        splits: Function that decides whether to split a run.
    """
    readers = Counter(i for item in items for i in {*item.reads})
    runs: list[list[Item]] = []
    tags = frozenset[str]()
    for item in items:
        previous = runs[-1][-1] if runs else None
        is_successor = (
            previous is not None
            and previous.call is not None
            and previous.wrap == "{0}"
            and item.reads == (previous.last,)
        )
        is_only_reader = previous is not None and readers[previous.last] == 1 and previous.last not in outputs
        is_next = (
            previous is not None and is_successor and is_only_reader and item.call is not None and item.inline is None
        )
        if is_next and not _takes_several(runs[-1][0]) and not splits(tags, runs[-1][-1], item):
            runs[-1].append(item)
            tags |= item.tags
        else:
            runs.append([item])
            tags = item.tags
    return [Segment(tuple(run)) for run in runs]


def _takes_several(item: Item) -> bool:
    return len(item.reads) > 1 and item.inline is None


def make_sequential(items: Sequence[Item], texts: Iterator[str]) -> Text:
    """Return the module of a segment: a single call or an `nn.Sequential`."""
    parts = _group_growing([(item.call, expressions(item.call, texts)) for item in items if item.call is not None])
    if len(parts) == 1 and not isinstance(parts[0], Loop):
        return parts[0]
    # Flatten nested Sequential modules.
    modules = [
        inner
        for part in parts
        for inner in (part.parts if isinstance(part, Nested) and part.name == "nn.Sequential" else (part,))
    ]
    return Nested("nn.Sequential", tuple(modules))


def _group_growing(parts: list[tuple[Call, Text]]) -> list[Text]:
    """Replace three or more consecutive blocks that differ only in a steadily growing first argument with a loop."""
    grouped: list[Text] = []
    start = 0
    while start < len(parts):
        end = start + 1
        while (
            end < len(parts)
            and _find_step(parts, start, end) is not None
            and _find_step(parts, start, end) == _find_step(parts, start, start + 1)
        ):
            end += 1
        step = _find_step(parts, start, end - 1)
        if end - start >= 3 and step is not None:
            first = next(iter(parts[start][0].slots())).value
            call = parts[start][0]
            texts = ["channels", *(str(slot.value) for slot in list(call.slots())[1:])]
            grouped.append(
                Loop(expressions(call, iter(texts)), f"{first}, {first + step * (end - start)}, {step}", "channels")
            )
        else:
            end = start + 1
            grouped.append(parts[start][1])
        start = end
    return grouped


def _find_step(parts: list[tuple[Call, Text]], start: int, end: int) -> int | None:
    """Return the average growth of the first argument per block; None if anything else differs or it does not grow."""
    first_call, second_call = parts[start][0], parts[end][0]
    first, second = [s.value for s in first_call.slots()], [s.value for s in second_call.slots()]
    if (
        first_call.name != second_call.name
        or first_call.name.startswith("nn.")
        or len(first) != len(second)
        or first[1:] != second[1:]
        or not first
        or start == end
    ):
        return None
    step, rest = divmod(second[0] - first[0], end - start)
    return None if rest or step <= 0 else int(step)


@dataclass
class Body:
    """Lines of a class's `__init__` and `forward`."""

    init: list[str]
    forward: list[str]


@dataclass(frozen=True)
class Style:
    """Formatting that differs between a block and the whole network."""

    variables: Callable[[Sequence[Segment], int, dict[int, int]], dict[int, str]]
    """Function that names the outputs of segments."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Comments to print above attributes, by attribute name."""
    attribute_comment: Callable[[Segment], str] = lambda _: ""
    """Function that returns the comment after an attribute, printed if it fits on the line."""
    value_comment: Callable[[Segment], str] = lambda _: ""


def format_body(
    parts: Sequence[Segment], entry: int, outputs: Sequence[int], texts: Callable[[Item], Iterator[str]], style: Style
) -> Body:
    """Format `__init__` and `forward` of a class.

    Args:
        parts: Named segments.
        entry: Index of the input value.
        outputs: Indices of the output values.
        texts: Function that returns the slot texts of an item.
        style: Names and comments.
    """
    init: list[str] = []
    for part in parts:
        if part.is_module:
            stream = (text for item in part.items for text in texts(item))
            init += [f"{' ' * INDENT}# {style.titles[part.name]}"] if part.name in style.titles else []
            init += _format_attribute(part, make_sequential(part.items, stream), style.attribute_comment(part))
    steps = _group_statements(_select_live(parts, outputs), outputs)
    last_use = _find_last_uses(steps, outputs)
    names = style.variables([step[-1] for step in steps], entry, last_use)
    forward: list[str] = []
    for step in steps:
        forward += _format_statement(step, names, outputs, style, is_last=step is steps[-1])
    if len(outputs) > 1 or not steps:
        forward.append(f"{' ' * INDENT}return {', '.join(names[i] for i in outputs)}")
    return Body(init, forward)


def _format_attribute(part: Segment, module: Text, comment: str) -> list[str]:
    attribute_lines = lines(module, INDENT, f"self.{part.name} = ")
    if len(attribute_lines) == 1 and comment and len(attribute_lines[0]) + 4 + len(comment) <= WIDTH:
        return [f"{attribute_lines[0]}  # {comment}"]
    return attribute_lines


Statement = tuple[Segment, ...]
"""Segments in one statement: operands that only the last segment, an expression, reads, followed by that segment."""


def _select_live(parts: Sequence[Segment], outputs: Sequence[int]) -> list[Segment]:
    """Return the segments that the outputs depend on."""
    needed = set(outputs)
    for part in reversed(parts):
        if part.last in needed:
            needed |= set(part.reads)
    return [part for part in parts if part.last in needed]


def _group_statements(parts: Sequence[Segment], outputs: Sequence[int]) -> list[Statement]:
    """Inline values that only the next expression reads, if the expression fits on a line."""
    reads = [i for part in parts for i in part.reads]
    statements: list[Statement] = []
    for part in parts:
        operands: list[Segment] = []
        while statements and len(part.reads) > 1 and _is_operand(statements[-1], part, reads, outputs):
            operands.insert(0, statements.pop()[0])
        if not _fits(operands, part):
            statements += [(operand,) for operand in operands]
            operands = []
        statements.append((*operands, part))
    return statements


def _is_operand(statement: Statement, part: Segment, reads: Sequence[int], outputs: Sequence[int]) -> bool:
    operand = statement[0]
    is_call = len(statement) == 1 and operand.is_module and not operand.items[0].inline
    return is_call and operand.last in part.reads and reads.count(operand.last) == 1 and operand.last not in outputs


def _fits(operands: Sequence[Segment], part: Segment) -> bool:
    inner = {operand.last: operand.expression(["x"] * len(operand.reads)) for operand in operands}
    return len(part.expression([inner.get(i, "x") for i in part.reads])) <= WIDTH - INDENT - 12


def _find_last_uses(steps: Sequence[Statement], outputs: Sequence[int]) -> dict[int, int]:
    """Map each value to the last statement that reads it; several outputs are read at the end."""
    uses = {i: position for position, step in enumerate(steps) for part in step for i in part.reads}
    if len(outputs) > 1:
        uses |= dict.fromkeys(outputs, len(steps))
    return uses


def _format_statement(
    step: Statement, names: dict[int, str], outputs: Sequence[int], style: Style, *, is_last: bool
) -> list[str]:
    *inner, part = step
    values = names | {
        operand_segment.last: operand_segment.expression([names[i] for i in operand_segment.reads])
        for operand_segment in inner
    }
    operands = [values[i] for i in part.reads]
    expression = part.expression(operands)
    pad, comment = " " * INDENT, style.value_comment(part)
    note = f"  # {comment}" if comment else ""
    if is_last and list(outputs) == [part.last]:
        # Type checkers infer Any for a module's output and expressions with it, but Tensor for torch functions.
        is_typed = expression.startswith(("torch.", "F."))
        if is_typed:
            return _break_statement(f"{pad}return ", expression, note)
        return [*_break_statement(f"{pad}out: Tensor = ", expression, note), f"{pad}return out"]
    return _break_statement(f"{pad}{names[part.last]} = ", expression, note)


def _break_statement(prefix: str, expression: str, note: str) -> list[str]:
    """Format a statement on one line, or with the inputs of a concatenation on separate lines."""
    line = f"{prefix}{expression}{note}"
    if len(line) <= WIDTH:
        return [line]
    if len(prefix + expression) <= WIDTH:
        return [f"{' ' * INDENT}#{note[3:]}", prefix + expression]
    head, _, rest = expression.partition("torch.cat((")
    arguments, _, tail = rest.rpartition("), 1)")
    if not rest or tail.strip(")"):
        return [f"{' ' * INDENT}#{note[3:]}", prefix + expression] if note else [prefix + expression]
    inner = " " * (INDENT + 4)
    if head:
        return [f"{prefix}{head}", f"{inner}torch.cat(({arguments}), 1)", f"{' ' * INDENT}{tail}{note}"]
    if len(arguments) + INDENT + 10 <= WIDTH:
        return [f"{prefix}torch.cat(", f"{inner}({arguments}),", f"{inner}1,", f"{' ' * INDENT}){note}"]
    parts = [f"{inner}    {part}," for part in re.split(r"(?<!\[:), ", arguments)]  # not within x[:, 0:8]
    return [f"{prefix}torch.cat(", f"{inner}(", *parts, f"{inner}),", f"{inner}1,", f"{' ' * INDENT}){note}"]
