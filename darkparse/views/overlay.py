"""Overlays: an additional diagram column with memory, time or receptive field of each layer."""

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
    """Additional diagram column with one value per layer.

    Attributes:
        name: Name of the column.
        values: Value of each layer, which determines the length of its bar.
        total: Value that corresponds to a full bar.
        share_of: Name of the total in the legend.
        fact: Line to print below the title.
        texts: Column text of each layer. If empty, values are seconds, printed in milliseconds: for the copies of a
            block the mean with the number of copies.
    """

    name: str
    values: tuple[float, ...]
    total: float
    share_of: str
    fact: str
    texts: tuple[str, ...] = ()

    def text(self, copies: Sequence[int]) -> str:
        """Return the text in the row of a layer and its copies."""
        if not self.texts:
            total = sum(self.values[i] for i in copies)
            times = f"{len(copies)} × " if len(copies) > 1 else ""
            return f"{times}{_milliseconds_text(total / len(copies))}"
        return " … ".join(dict.fromkeys(text for i in (copies[0], copies[-1]) if (text := self.texts[i])))

    def share(self, copies: Sequence[int]) -> float:
        """Return the length of the bar as a fraction of a full bar."""
        values = [self.values[i] for i in copies]
        return (max(values) if self.texts else sum(values)) / (self.total or 1)


def memory_overlay(network: Network) -> Overlay:
    """Create an overlay with the bytes of each output and the peak memory."""
    memory = compute_memory(network)
    peak = memory.live_bytes[memory.peak]
    freed = memory.released[memory.peak]
    outputs = f"output{'' if len(freed) == 1 else 's'} of {join_names([f'L{i}' for i in freed])}"
    suffix = f", after which the {outputs} can be freed" if freed else ""
    fact = f"Memory: peak of {bytes_text(peak)} while L{memory.peak} runs{suffix}"
    texts = tuple(bytes_text(size) for size in memory.outputs)
    return Overlay("memory", memory.outputs, peak, "the peak", fact, texts)


def receptive_overlay(network: Network) -> Overlay:
    """Create an overlay with the receptive field of each layer, height × width in input pixels."""
    fields, net = get_receptive_fields(network), network.net
    areas = tuple(field[0] * field[1] if field else 0 for field in fields)
    first = next((node.index for node in network.nodes if sees_whole_input(network, node.index)), None)
    sentence = (
        "no layer sees the whole input" if first is None else f"L{first} is the first layer that sees the whole input"
    )
    texts = tuple(map(field_text, fields))
    return Overlay("field", areas, net.height * net.width, "the input", f"Receptive field: {sentence}", texts)


def time_overlay(seconds: Sequence[float]) -> Overlay:
    """Create an overlay with the run time of each layer.

    Args:
        seconds: Run time of each layer.
    """
    total = sum(seconds)
    slowest = max(range(len(seconds)), key=seconds.__getitem__)
    share = percent_text(seconds[slowest], total)
    fact = f"Time: {_milliseconds_text(total)} on this machine's CPU, {share} of it in L{slowest}"
    return Overlay("time", tuple(seconds), total, "the forward pass", fact)


def bytes_text(size: int) -> str:
    """Format a number of bytes: `47.3 MB`, or an empty string for 0."""
    value, unit = split_unit(size)
    return f"{value} {unit}B" if size else ""


def _milliseconds_text(seconds: float) -> str:
    return f"{significant_digits(1e3 * seconds)} ms"


OVERLAYS: Mapping[str, Callable[[Network], Overlay]] = {"memory": memory_overlay, "receptive": receptive_overlay}
"""Overlays that need only a network, by name."""
