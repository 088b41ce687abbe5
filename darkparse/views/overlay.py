"""What is laid over the graph as one more column: the bytes of each output, milliseconds, or what a layer sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from darkparse.network import Network
from darkparse.network.analysis.memory import compute_memory
from darkparse.network.analysis.receptive import get_receptive_fields, sees_whole_input
from darkparse.views.formatting.numbers import field_text, percent_text, significant_digits, split_unit
from darkparse.views.formatting.words import join_names


@dataclass(frozen=True, slots=True)
class Overlay:
    """A value for each layer.

    Attributes:
        name: the column's.
        values: for each layer, what its bar is as long as.
        whole: what they are a share of.
        share_of: what that is called.
        fact: a line below the title.
        texts: for each layer what stands in the column; without them milliseconds, which copies of a block add up to.
    """

    name: str
    values: tuple[float, ...]
    total: float
    share_of: str
    fact: str
    texts: tuple[str, ...] = ()

    def text(self, copies: Sequence[int]) -> str:
        """What stands in the row of a layer and its copies."""
        if not self.texts:
            return _milliseconds_text(sum(self.values[i] for i in copies))
        return " … ".join(dict.fromkeys(text for i in (copies[0], copies[-1]) if (text := self.texts[i])))

    def share(self, copies: Sequence[int]) -> float:
        """How long the bar is, of 1."""
        values = [self.values[i] for i in copies]
        return (max(values) if self.texts else sum(values)) / (self.total or 1)


def memory_overlay(network: Network) -> Overlay:
    """The bytes of each output, and the most that are held at once."""
    memory = compute_memory(network)
    peak = memory.live_bytes[memory.peak]
    freed = memory.released[memory.peak]
    suffix = f"; then {join_names([f'L{i}' for i in freed])} can go" if freed else ""
    fact = f"Memory: at most {bytes_text(peak)} at once, while L{memory.peak} runs{suffix}"
    texts = tuple(bytes_text(size) for size in memory.outputs)
    return Overlay("memory", memory.outputs, peak, "the most at once", fact, texts)


def receptive_overlay(network: Network) -> Overlay:
    """What one value of each layer sees of the input, height × width."""
    fields, net = get_receptive_fields(network), network.net
    areas = tuple(field[0] * field[1] if field else 0 for field in fields)
    first = next((node.index for node in network.nodes if sees_whole_input(network, node.index)), None)
    sentence = "no layer sees the whole input" if first is None else f"L{first} is the first that sees the whole input"
    texts = tuple(map(field_text, fields))
    return Overlay("field", areas, net.height * net.width, "the input", f"Receptive field: {sentence}", texts)


def time_overlay(seconds: Sequence[float]) -> Overlay:
    """How long each layer ran."""
    total = sum(seconds)
    slowest = max(range(len(seconds)), key=seconds.__getitem__)
    share = percent_text(seconds[slowest], total)
    fact = f"Time: {_milliseconds_text(total)} on this machine's CPU, {share} of it in L{slowest}"
    return Overlay("time", tuple(seconds), total, "the forward pass", fact)


def bytes_text(size: int) -> str:
    """`47.3 MB`; nothing for 0."""
    value, unit = split_unit(size)
    return f"{value} {unit}B" if size else ""


def _milliseconds_text(seconds: float) -> str:
    return f"{significant_digits(1e3 * seconds)} ms"


OVERLAYS: Mapping[str, Callable[[Network], Overlay]] = {"memory": memory_overlay, "receptive": receptive_overlay}
"""Those that need no module, by name."""
