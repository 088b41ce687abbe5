"""Folding of repeated blocks into classes: residual blocks, stages, sequences of convolutions, and heads.

A block is a run of items with one input and one output. Two blocks are copies if their items and the connections
between these match. Channels and the repeat counts of inner blocks may differ; they become arguments of the class.
Folding proceeds from the inside out. Part of yolov3 as an example (s: convolution with stride 2, +: shortcut):

    items                  s  1 3 +  1 3 +  s  1 3 +  1 3 +  1 3 +
                              └──┴┘  └──┴┘     └──┴┘  └──┴┘  └──┴┘   branches: Residual(channels)
    copies replaced        s  R      R      s  R      R      R
    consecutive copies     s  R × 2         s  R × 3                 repeat
    chain with copies      └─ Stage(…, 2)   └─ Stage(…, 3)           Stage(channels, count)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from darkparse.export.source.calls import Arg, Call, Slot
from darkparse.export.source.definitions import is_defined
from darkparse.export.source.expressions import Item
from darkparse.export.source.parameters import BlockParameters
from darkparse.network.analysis.blocks import BlockSearch, block_name, count_readers, entry_of
from darkparse.network.analysis.chains import ChainSearch, is_chain

MAX_CLASSES = 32
"""Maximum number of block classes; each requires a search of the whole network. Known networks have at most 7."""


@dataclass(frozen=True, slots=True)
class Template:
    """Block that becomes a class, represented by its first copy."""

    name: str
    items: tuple[Item, ...]
    entry: int
    """Index of the layer that the first copy reads."""
    parameters: BlockParameters

    @property
    def is_chain(self) -> bool:
        """Whether every item reads only its predecessor."""
        return is_chain(self.items, self.entry)


class BlockFolder:
    """Replaces copies of blocks with calls of a common class, from the inside out."""

    def __init__(self, items: Sequence[Item], outputs: frozenset[int]) -> None:
        self.items = list(items)
        self.outputs = outputs
        self.templates: list[Template] = []

    def fold(self) -> tuple[list[Item], list[Template]]:
        """Return the folded items and the block classes, inner ones first."""
        for search in (BlockSearch, ChainSearch):
            while len(self.templates) < MAX_CLASSES and (match := search(self.items, self.outputs).find()) is not None:
                self._replace(*match)
                self._repeat()
        return self.items, self.templates

    def _replace(self, starts: list[int], length: int) -> None:
        windows = [self.items[start : start + length] for start in starts]
        name = self._name(windows[0])
        entry = entry_of(windows[0])
        takes_entry = [
            position == 0 and entry in item.reads for item in windows[0] for position, _ in enumerate(item.slots)
        ]
        parameters = BlockParameters.of(
            [[slot for item in window for slot in item.slots] for window in windows], _ends(windows), takes_entry
        )
        template = Template(name, tuple(windows[0]), entry, parameters)
        self.templates.append(template)
        for start, window, values in reversed(list(zip(starts, windows, parameters.arguments, strict=True))):
            call = Call(name, tuple(Arg(slot) for slot in values))
            self.items[start : start + length] = [_merge_window(window, call)]

    def _repeat(self) -> None:
        """Join consecutive copies into one item; a single copy becomes an item with count 1."""
        names = {template.name for template in self.templates if "gate" not in template.items[-1].tags}
        readers = count_readers(self.items)
        folded: list[Item] = []
        for item in self.items:
            is_block = item.call is not None and item.call.name in names and item.in_shape == item.out_shape
            if not is_block or "head" in item.tags:
                folded.append(item)
                continue
            before = folded[-1] if folded else None
            assert item.call is not None
            repeat_call = Call("repeat", (Arg(item.call), Arg(Slot(1, "count"))))
            if (
                before is not None
                and _continues(before, item)
                and readers[before.last] == 1
                and before.last not in self.outputs
            ):
                assert before.call is not None
                count = before.call.args[1].value
                assert isinstance(count, Slot)
                longer = Call("repeat", (before.call.args[0], Arg(Slot(count.value + 1, "count"))))
                folded[-1] = replace(before, last=item.last, call=longer)
            else:
                folded.append(replace(item, call=repeat_call))
        self.items = folded

    def _name(self, window: Sequence[Item]) -> str:
        used_names = {template.name for template in self.templates}
        name = block_name(window)
        names = (name, *(f"{name}{i}" for i in range(2, 99)))
        return next(n for n in names if n not in used_names and not is_defined(n))


def _merge_window(window: Sequence[Item], call: Call) -> Item:
    """Return the item that represents a block."""
    tags = frozenset[str]().union(*(item.tags for item in window))
    entry, is_joined = entry_of(window), len(window[-1].reads) > 1
    if tags & {"block", "cat", "add", "gate"} or is_joined:
        is_stack = "add" in tags or "stack" in tags or (entry in window[-1].reads and "conv" in tags)
        tags = tags & {"head", "upsample"} | {"block"} | ({"stack"} if is_stack else set())
    first = next(item for item in window if entry in item.reads)
    return Item(
        window[0].first, window[-1].last, (entry,), call, None, "{0}", first.in_shape, window[-1].out_shape, tags
    )


def _ends(windows: Sequence[Sequence[Item]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the input channels and the output channels of every copy."""
    return tuple(window[0].in_shape.c for window in windows), tuple(window[-1].out_shape.c for window in windows)


def _continues(before: Item, item: Item) -> bool:
    if before.call is None or before.call.name != "repeat" or item.reads != (before.last,):
        return False
    block = before.call.args[0].value
    assert isinstance(block, Call)
    return block == item.call
