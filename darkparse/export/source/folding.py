"""Blocks that repeat become classes: residual blocks, stages of them, sets of convolutions, heads.

A block is a run of items that takes one value and gives one. Two blocks are copies if their items and what these read
within the block agree; channels, and how often an inner block is repeated, may differ and become arguments of the
class. From the inside out, a stretch of yolov3 (s: a convolution of stride 2, +: a shortcut):

    items                  s  1 3 +  1 3 +  s  1 3 +  1 3 +  1 3 +
                              └──┴┘  └──┴┘     └──┴┘  └──┴┘  └──┴┘   paths part and join: Residual(channels)
    blocks for copies      s  R      R      s  R      R      R
    one behind the other   s  R × 2         s  R × 3                 repeat
    a chain with copies    └─ Stage(…, 2)   └─ Stage(…, 3)           Stage(channels, count)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from darkparse.export.source.calls import Arg, Call, Slot
from darkparse.export.source.expressions import Item
from darkparse.export.source.parameters import BlockParameters

MAX_PERIOD = 24
MIN_CHAIN = 3
MAX_PARAMETERS = 32
"""Classes that a network is folded into: each takes a look at all of it. Those known have 7 at most."""

POOLS = {"pool", "cat"}

Numbers = dict[tuple[int, str, tuple[int, ...]], int]
"""A number for every run of items: for that of the run without its last,
with the last and what this reads within the run."""


@dataclass(slots=True)
class _Run:
    """Items from one on into which one value comes: the values among them, the last item that reads one,
    and whether only the last value is read outside."""

    start: int
    entry: int | None = None
    places: dict[int, int] = field(default_factory=dict)
    last_read: int = -1
    key: int = -1
    is_block: bool = False
    only_pools: bool = True


@dataclass(frozen=True, slots=True)
class Template:
    """A block that becomes a class, shown by its first copy."""

    name: str
    items: tuple[Item, ...]
    entry: int
    """The value that comes in, as the first copy numbers it."""
    parameters: BlockParameters

    @property
    def is_chain(self) -> bool:
        """Whether every item reads only the one before."""
        return is_chain(self.items, self.entry)


class Folder:
    """Replaces copies of blocks by calls of their class, from the inside out."""

    def __init__(self, items: Sequence[Item], outputs: frozenset[int]) -> None:
        self.outputs = outputs
        self.templates: list[Template] = []
        self._arrange(items)

    def _arrange(self, items: Sequence[Item]) -> None:
        """Take these items from here on, with what the search asks of them again and again."""
        self.items = list(items)
        self.readers = _reader_counts(items)
        self.last_reads = {i: position for position, item in enumerate(items) for i in item.reads}
        self.last_reads |= dict.fromkeys(self.outputs, len(items))

    def fold(self) -> tuple[list[Item], list[Template]]:
        """Items with blocks in place of their copies, and the blocks' classes, inner ones first."""
        for fold in (self._fold_joined, self._fold_chain):
            while len(self.templates) < MAX_PARAMETERS and fold():
                self._repeat()
        return self.items, self.templates

    def _fold_joined(self) -> bool:
        """The shortest blocks in which paths part and join again."""
        for length, groups in self._groups(strict=False):
            found = [
                starts
                for starts in groups.values()
                if self._joins(starts[0], length) and self._is_worth(starts, length)
            ]
            if found:
                starts, length = self._widened(max(found, key=len), length)
                self._replace(starts, length)
                return True
        return False

    def _joins(self, start: int, length: int) -> bool:
        """The last item joins a path with another, and the first begins one of them."""
        window = self.items[start : start + length]
        entry = _entry(window)
        reads_entry = sum(entry in item.reads for item in window)
        return len(window[-1].reads) > 1 and (reads_entry > 1 or any(len(item.reads) > 1 for item in window))

    def _is_worth(self, starts: list[int], length: int) -> bool:
        if len(starts) > 1:
            return True
        only_pools = all(item.tags <= POOLS for item in self.items[starts[0] : starts[0] + length])
        return only_pools and length > 2

    def _widened(self, starts: list[int], length: int) -> tuple[list[int], int]:
        """A block of paths side by side, with the items before and behind it that all copies share."""
        if len(starts) < 2 or "cat" not in self.items[starts[0] + length - 1].tags:
            return starts, length
        while True:
            if not self._are_copies(starts, length + 1) or self._is_turn(starts[0] + length):
                break
            length += 1
        while min(starts) > 0:
            earlier = [start - 1 for start in starts]
            if not self._are_copies(earlier, length + 1):
                break
            starts, length = earlier, length + 1
        return starts, length

    def _is_turn(self, position: int) -> bool:
        """Items that belong to no block before them: a head's, or one that makes maps larger or smaller."""
        item = self.items[position]
        is_stack = item.call is not None and item.call.name == "repeat"
        return is_stack or bool(item.tags & {"head", "upsample", "pool"}) or _scales(item)

    def _are_copies(self, starts: list[int], length: int) -> bool:
        """Whether blocks of this length begin there, without overlap and with the same in common."""
        runs = [_Run(start) for start in starts]
        for size in range(1, length + 1):
            numbers: Numbers = {}
            if not all(self._grows(run, size, numbers, strict=False) for run in runs) or len(numbers) > 1:
                return False
        return all(run.is_block for run in runs) and all(b - a >= length for a, b in pairwise(starts))

    def _fold_chain(self) -> bool:
        """Runs of single items: heads first, then stages, then the set of convolutions that saves most lines."""
        best: tuple[tuple[int, int, int], list[int]] | None = None
        modes = (True, False) if any(map(_is_single_block, self.items)) else (True,)
        found = ((strict, *of_length) for strict in modes for of_length in self._groups(strict=strict))
        for strict, length, groups in found:
            for starts in groups.values():
                window = self.items[starts[0] : starts[0] + length]
                if (
                    len(starts) < 2
                    or not is_chain(window, _entry(window))
                    or not (strict or _is_built_of_blocks(window))
                ):
                    continue
                rank = self._rank(starts, length)
                if rank and (best is None or (rank, (len(starts) - 1) * length, length) > best[0]):
                    best = (rank, (len(starts) - 1) * length, length), starts
        if best is None:
            return False
        self._replace(best[1], best[0][2])
        return True

    def _rank(self, starts: list[int], length: int) -> int:
        """4 for a head with what leads to it, 3 for a stage of blocks, 2 for all convolutions between two joints, 1 for
        some of them, 0 for no block."""
        window, copies = self.items[starts[0] : starts[0] + length], len(starts)
        if "head" in window[-1].tags:
            return 4 if len(window) == MIN_CHAIN and window[0].tags == {"conv"} and "conv" in window[1].tags else 0
        if any(item.tags & {"head", "pool", "upsample", "global", "dense"} or not item.tags for item in window):
            return 0
        stacked = [item for item in window if item.call is not None and item.call.name == "repeat"]
        if stacked:
            return 3 if len(window) == 2 and window[-1] is stacked[0] and copies >= MIN_CHAIN else 0
        if _is_built_of_blocks(window):
            return 3 if length >= MIN_CHAIN else 0
        if any(_scales(item) for item in window):
            return 0
        kernels = self._kernels(window)
        if len(set(kernels)) == 1 or len(kernels) != len(window):
            return 0
        if length >= MIN_CHAIN and all(self._is_joint(start) and self._is_joint(start + length) for start in starts):
            return 2
        return int(copies >= (4 if length < MIN_CHAIN else 2))

    def _is_joint(self, position: int) -> bool:
        """Whether paths part or join before an item,
        or something other than a plain convolution stands on either side."""
        if not 0 < position < len(self.items):
            return True
        before, item = self.items[position - 1 : position + 1]
        plain = before.tags == {"conv"} == item.tags and not _scales(before) and not _scales(item)
        return not plain or item.reads != (before.last,) or self.readers[before.last] > 1

    @staticmethod
    def _kernels(window: Sequence[Item]) -> list[float]:
        return [slot.value for item in window for slot in item.slots if slot.kind == "size"]

    def _groups(self, *, strict: bool) -> Iterator[tuple[int, dict[int, list[int]]]]:
        """For every length of two items and more, starts of its blocks without overlap,
        by what copies have in common: a run that nothing is a copy of is not followed further."""
        runs = [_Run(start) for start in range(len(self.items))]
        for length in range(1, MAX_PERIOD):
            numbers: Numbers = {}
            runs = [run for run in runs if self._grows(run, length, numbers, strict=strict)]
            copies = Counter(run.key for run in runs)
            runs = [run for run in runs if copies[run.key] > 1 or run.only_pools]
            groups: dict[int, list[int]] = defaultdict(list)
            for run in runs:
                if run.is_block:
                    starts = groups[run.key]
                    if not starts or run.start - starts[-1] >= length:
                        starts.append(run.start)
            if length > 1:
                yield length, groups

    def _grows(self, run: _Run, length: int, numbers: Numbers, *, strict: bool) -> bool:
        """Take the next item into a run, to this length; False where a second value would come in, or all is taken."""
        if run.start + length > len(self.items):
            return False
        item = self.items[run.start + length - 1]
        for i in item.reads:
            if i in run.places:
                continue
            if run.entry is not None and run.entry != i:
                return False
            run.entry = i
        common = (run.key, item.strict if strict else item.loose, tuple(run.places.get(i, -1) for i in item.reads))
        run.key = numbers.setdefault(common, len(numbers))
        run.is_block = run.last_read < run.start + length
        run.places[item.last] = length
        run.last_read = max(run.last_read, self.last_reads.get(item.last, -1))
        run.only_pools = run.only_pools and item.tags <= POOLS
        return True

    def _replace(self, starts: list[int], length: int) -> None:
        windows = [self.items[start : start + length] for start in starts]
        name = self._name(windows[0], len(windows))
        entry = _entry(windows[0])
        takes_entry = [
            position == 0 and entry in item.reads for item in windows[0] for position, _ in enumerate(item.slots)
        ]
        parameters = BlockParameters.of(
            [[slot for item in window for slot in item.slots] for window in windows], _ends(windows), takes_entry
        )
        template = Template(name, tuple(windows[0]), entry, parameters)
        self.templates.append(template)
        items = list(self.items)
        for start, window, values in reversed(list(zip(starts, windows, parameters.arguments, strict=True))):
            call = Call(name, tuple(Arg(slot) for slot in values))
            items[start : start + length] = [_merged(window, call)]
        self._arrange(items)

    def _repeat(self) -> None:
        """Copies in a row become one item; so does a single one, whose count is 1."""
        names = {template.name for template in self.templates if "gate" not in template.items[-1].tags}
        folded: list[Item] = []
        for item in self.items:
            is_block = item.call is not None and item.call.name in names and item.in_shape == item.out_shape
            if not is_block or "head" in item.tags:
                folded.append(item)
                continue
            before = folded[-1] if folded else None
            assert item.call is not None
            one = Call("repeat", (Arg(item.call), Arg(Slot(1, "count"))))
            if (
                before is not None
                and _continues(before, item)
                and self.readers[before.last] == 1
                and before.last not in self.outputs
            ):
                assert before.call is not None
                count = before.call.args[1].value
                assert isinstance(count, Slot)
                longer = Call("repeat", (before.call.args[0], Arg(Slot(count.value + 1, "count"))))
                folded[-1] = replace(before, last=item.last, call=longer)
            else:
                folded.append(replace(item, call=one))
        self._arrange(folded)

    def _name(self, window: Sequence[Item], copies: int) -> str:
        taken = {template.name for template in self.templates}
        name = block_name(window)
        return next(n for n in (name, *(f"{name}{i}" for i in range(2, 99))) if n not in taken)


def _is_single_block(item: Item) -> bool:
    """Whether it is a block that stands alone, not a stack of them."""
    return "block" in item.tags and item.call is not None and item.call.name != "repeat"


def _is_built_of_blocks(window: Sequence[Item]) -> bool:
    """Convolutions around one block: an inverted bottleneck around its squeeze-and-excitation."""
    blocks = [item for item in window if _is_single_block(item)]
    return len(blocks) == 1 and all(item in blocks or item.tags == {"conv"} for item in window)


def block_name(window: Sequence[Item]) -> str:
    """What people call such a block."""
    marks = frozenset().union(*(item.tags for item in window))
    last = window[-1]
    calls = {item.call.name for item in window if item.call}
    names = {name for item in window if item.call for name in _names(item.call)}
    kernels = [slot.value for item in window for slot in item.slots if slot.kind == "size"]
    if "head" in marks:
        return "Head"
    if "gate" in last.tags:
        return "SqueezeExcite" if "global" in marks else "SpatialGate"
    if marks <= POOLS:
        return "SpatialPyramidPooling"
    if "add" in last.tags:
        plain = "Bottleneck" if len(kernels) == 3 else "Residual"
        kind = "InvertedResidual" if "SqueezeExcite" in names else plain
        return f"Widening{kind}" if "PartialAdd" in names else kind
    if "cat" in marks and "repeat" in calls:
        return "CrossStage"
    if "cat" in last.tags and _entry(window) in last.reads:
        return "DenseLayer"
    if "cat" in marks:
        return "Aggregation" if len(window) > 4 else "Split"
    if "SqueezeExcite" in names:
        return "InvertedBottleneck"
    if "repeat" in calls:
        return "Stage"
    return {2: "ConvPair", 3: "ConvTriple"}.get(len(window), "ConvSet")


def _names(call: Call) -> Iterator[str]:
    yield call.name
    for arg in call.args:
        if isinstance(arg.value, Call):
            yield from _names(arg.value)


def is_chain(items: Sequence[Item], entry: int) -> bool:
    """Whether every item is a module that reads only the one before."""
    before = [entry, *(item.last for item in items[:-1])]
    return all(
        item.call is not None and item.inline is None and item.wrap == "{0}" and item.reads == (i,)
        for item, i in zip(items, before, strict=True)
    )


def _entry(window: Sequence[Item]) -> int:
    """The one value that comes in."""
    inner = {item.last for item in window}
    return next(i for item in window for i in item.reads if i not in inner)


def _scales(item: Item) -> bool:
    return (item.in_shape.h, item.in_shape.w) != (item.out_shape.h, item.out_shape.w)


def _merged(window: Sequence[Item], call: Call) -> Item:
    """The item that stands for a block."""
    marks = frozenset[str]().union(*(item.tags for item in window))
    entry, is_joined = _entry(window), len(window[-1].reads) > 1
    if marks & {"block", "cat", "add", "gate"} or is_joined:
        is_stack = "add" in marks or "stack" in marks or (entry in window[-1].reads and "conv" in marks)
        marks = marks & {"head", "upsample"} | {"block"} | ({"stack"} if is_stack else set())
    first = next(item for item in window if entry in item.reads)
    return Item(
        window[0].first, window[-1].last, (entry,), call, None, "{0}", first.in_shape, window[-1].out_shape, marks
    )


def _ends(windows: Sequence[Sequence[Item]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels that come in and go out, of every copy."""
    return tuple(window[0].in_shape.c for window in windows), tuple(window[-1].out_shape.c for window in windows)


def _continues(before: Item, item: Item) -> bool:
    if before.call is None or before.call.name != "repeat" or item.reads != (before.last,):
        return False
    block = before.call.args[0].value
    assert isinstance(block, Call)
    return block == item.call


def _reader_counts(items: Sequence[Item]) -> dict[int, int]:
    counts: dict[int, int] = defaultdict(int)
    for item in items:
        for i in set(item.reads):
            counts[i] += 1
    return counts
