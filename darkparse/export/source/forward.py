"""Items to the two halves of a class: the attributes of `__init__` and the statements of `forward`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from darkparse.export.source.calls import WIDTH, Call, Loop, Nested, Text, expressions, lines
from darkparse.export.source.expressions import Item

INDENT = 8
SIDES = 2
"""Of a sum that may stand either way round."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Items that run one after the other, as one attribute; or an expression over values, without any."""

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
        """What computes the value from the values read."""
        head, tail = self.items[0], self.items[-1]
        if head.inline and "{0} + {1}" in head.inline and len(operands) == SIDES:
            # A sum is the same to the last bit either way round; the plain name comes first.
            operands = sorted(operands, key=lambda operand: "(" in operand)
        joined = head.inline.format(*operands) if head.inline else ", ".join(operands)
        value = f"self.{self.name}({joined})" if self.is_module else joined
        return tail.wrap.format(value)


Splits = Callable[[frozenset[str], Item, Item], bool]
"""Whether a new segment begins at an item that could continue a run: the run's marks, its last item, and this one."""


def segments(items: Sequence[Item], outputs: frozenset[int], splits: Splits) -> list[Segment]:
    """Items in runs, each as long as it can be."""
    readers = Counter(i for item in items for i in {*item.reads})
    runs: list[list[Item]] = []
    marks = frozenset[str]()
    for item in items:
        before = runs[-1][-1] if runs else None
        follows = (
            before is not None and before.call is not None and before.wrap == "{0}" and item.reads == (before.last,)
        )
        alone = before is not None and readers[before.last] == 1 and before.last not in outputs
        is_next = before is not None and follows and alone and item.call is not None and item.inline is None
        if is_next and not _takes_several(runs[-1][0]) and not splits(marks, runs[-1][-1], item):
            runs[-1].append(item)
            marks |= item.tags
        else:
            runs.append([item])
            marks = item.tags
    return [Segment(tuple(run)) for run in runs]


def _takes_several(item: Item) -> bool:
    return len(item.reads) > 1 and item.inline is None


def sequential(items: Sequence[Item], texts: Iterator[str]) -> Text:
    """The module of a segment."""
    parts = _growing([(item.call, expressions(item.call, texts)) for item in items if item.call is not None])
    if len(parts) == 1 and not isinstance(parts[0], Loop):
        return parts[0]
    # A layer of several modules stands among the others.
    flat = [
        inner
        for part in parts
        for inner in (part.parts if isinstance(part, Nested) and part.name == "nn.Sequential" else (part,))
    ]
    return Nested("nn.Sequential", tuple(flat))


def _growing(parts: list[tuple[Call, Text]]) -> list[Text]:
    """Blocks in a row whose first argument alone grows by a fixed step, as a loop over a range."""
    found: list[Text] = []
    start = 0
    while start < len(parts):
        end = start + 1
        while (
            end < len(parts)
            and _step(parts, start, end) is not None
            and _step(parts, start, end) == _step(parts, start, start + 1)
        ):
            end += 1
        step = _step(parts, start, end - 1)
        if end - start >= 3 and step is not None:
            first = next(iter(parts[start][0].slots())).value
            call = parts[start][0]
            texts = ["channels", *(str(slot.value) for slot in list(call.slots())[1:])]
            found.append(
                Loop(expressions(call, iter(texts)), f"{first}, {first + step * (end - start)}, {step}", "channels")
            )
        else:
            end = start + 1
            found.append(parts[start][1])
        start = end
    return found


def _step(parts: list[tuple[Call, Text]], start: int, end: int) -> int | None:
    """By how much the first argument grows on average from one block to a later one, if nothing else differs."""
    a, b = parts[start][0], parts[end][0]
    first, second = [s.value for s in a.slots()], [s.value for s in b.slots()]
    if (
        a.name != b.name
        or a.name.startswith("nn.")
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
    """What differs between a block and the whole network."""

    variables: Callable[[Sequence[Segment], int, dict[int, int]], dict[int, str]]
    """Names for the values that segments give."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Comments above attributes."""
    attribute_comment: Callable[[Segment], str] = lambda _: ""
    """Comment behind an attribute, where it fits on the line."""
    value_comment: Callable[[Segment], str] = lambda _: ""


def body(
    parts: Sequence[Segment], entry: int, outputs: Sequence[int], texts: Callable[[Item], Iterator[str]], style: Style
) -> Body:
    """Both halves of a class that runs named segments on the value `entry`."""
    init: list[str] = []
    for part in parts:
        if part.is_module:
            stream = (text for item in part.items for text in texts(item))
            init += [f"{' ' * INDENT}# {style.titles[part.name]}"] if part.name in style.titles else []
            init += _attribute(part, sequential(part.items, stream), style.attribute_comment(part))
    steps = _statements(_live(parts, outputs), outputs)
    last_use = _last_uses(steps, outputs)
    names = style.variables([step[-1] for step in steps], entry, last_use)
    forward: list[str] = []
    for step in steps:
        forward += _statement(step, names, outputs, style, is_last=step is steps[-1])
    if len(outputs) > 1 or not steps:
        forward.append(f"{' ' * INDENT}return {', '.join(names[i] for i in outputs)}")
    return Body(init, forward)


def _attribute(part: Segment, module: Text, comment: str) -> list[str]:
    whole = lines(module, INDENT, f"self.{part.name} = ")
    if len(whole) == 1 and comment and len(whole[0]) + 4 + len(comment) <= WIDTH:
        return [f"{whole[0]}  # {comment}"]
    return whole


Statement = tuple[Segment, ...]
"""Segments whose values only the last, an expression, reads, and that last one."""


def _live(parts: Sequence[Segment], outputs: Sequence[int]) -> list[Segment]:
    """The segments that an output depends on; of a single output the last one gives it."""
    wanted = set(outputs)
    for part in reversed(parts):
        if part.last in wanted:
            wanted |= set(part.reads)
    return [part for part in parts if part.last in wanted]


def _statements(parts: Sequence[Segment], outputs: Sequence[int]) -> list[Statement]:
    """Segments grouped so that a value which only the next expression reads stands inside it, where it fits."""
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
    before = statement[0]
    is_call = len(statement) == 1 and before.is_module and not before.items[0].inline
    return is_call and before.last in part.reads and reads.count(before.last) == 1 and before.last not in outputs


def _fits(waiting: Sequence[Segment], part: Segment) -> bool:
    inner = {w.last: w.expression(["x"] * len(w.reads)) for w in waiting}
    return len(part.expression([inner.get(i, "x") for i in part.reads])) <= WIDTH - INDENT - 12


def _last_uses(steps: Sequence[Statement], outputs: Sequence[int]) -> dict[int, int]:
    """For every value the last statement that reads it; outputs are read at the end."""
    uses = {i: position for position, step in enumerate(steps) for part in step for i in part.reads}
    if len(outputs) > 1:
        uses |= dict.fromkeys(outputs, len(steps))
    return uses


def _statement(
    step: Statement, names: dict[int, str], outputs: Sequence[int], style: Style, *, is_last: bool
) -> list[str]:
    *inner, part = step
    values = names | {w.last: w.expression([names[i] for i in w.reads]) for w in inner}
    operands = [values[i] for i in part.reads]
    expression = part.expression(operands)
    pad, comment = " " * INDENT, style.value_comment(part)
    note = f"  # {comment}" if comment else ""
    if is_last and list(outputs) == [part.last]:
        # To a type checker a module's value is Any, and so is a sum with it; that of a function is a Tensor.
        typed = expression.startswith(("torch.", "F."))
        if typed:
            return _broken(f"{pad}return ", expression, note)
        return [*_broken(f"{pad}out: Tensor = ", expression, note), f"{pad}return out"]
    return _broken(f"{pad}{names[part.last]} = ", expression, note)


def _broken(before: str, expression: str, note: str) -> list[str]:
    """A statement on one line, or with the inputs of a concatenation on lines of their own."""
    whole = f"{before}{expression}{note}"
    if len(whole) <= WIDTH:
        return [whole]
    if len(before + expression) <= WIDTH:
        return [f"{' ' * INDENT}#{note[3:]}", before + expression]
    head, _, rest = expression.partition("torch.cat((")
    inside, _, tail = rest.rpartition("), 1)")
    if not rest or tail.strip(")"):
        return [f"{' ' * INDENT}#{note[3:]}", before + expression] if note else [before + expression]
    inner = " " * (INDENT + 4)
    if head:
        return [f"{before}{head}", f"{inner}torch.cat(({inside}), 1)", f"{' ' * INDENT}{tail}{note}"]
    if len(inside) + INDENT + 10 <= WIDTH:
        return [f"{before}torch.cat(", f"{inner}({inside}),", f"{inner}1,", f"{' ' * INDENT}){note}"]
    parts = [f"{inner}    {part}," for part in inside.split(", ")]
    return [f"{before}torch.cat(", f"{inner}(", *parts, f"{inner}),", f"{inner}1,", f"{' ' * INDENT}){note}"]
