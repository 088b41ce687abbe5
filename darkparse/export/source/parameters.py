"""Choice of the numbers in a block that become arguments of its class, and derivation of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from darkparse.export.source.calls import Kind, Slot

Vector = tuple[float, ...]
"""One number per copy of a block."""

FACTORS = ("* 2", "// 2", "* 4", "// 4")


@dataclass(frozen=True, slots=True)
class BlockParameters:
    """Argument names of a class, and the expression for each slot of its block."""

    names: tuple[str, ...]
    texts: tuple[str, ...]
    arguments: tuple[tuple[Slot, ...], ...]
    """Argument values of each copy."""

    @classmethod
    def of(
        cls, copies: Sequence[Sequence[Slot]], ends: tuple[Vector, Vector], takes_entry: Sequence[bool]
    ) -> BlockParameters:
        """Choose the arguments: input channels, output channels, and numbers that cannot be derived from them.

        Args:
            copies: Slots of each copy, in the same order.
            ends: Input channels and output channels of each copy.
            takes_entry: Whether each slot is the input channels of an item that reads the block's input. Other slots
                are preferably derived from the output channels.
        """
        solver = _Solver()
        kinds = [slot.kind for slot in copies[0]]
        vectors = [tuple(slot.value for slot in column) for column in zip(*copies, strict=True)]
        used = set(vectors)
        entry, exit = ends
        is_same = entry == exit
        if entry in used and len(set(entry)) > 1:
            solver.add("channels" if is_same else "c_in", entry, "channels")
        if exit in used and not is_same and len(set(exit)) > 1:
            solver.add("c_out", exit, "channels")
        texts = tuple(solver.text(*slot) for slot in zip(vectors, kinds, takes_entry, strict=True))
        names = tuple(name for name, _, _ in solver.parameters)
        arguments = tuple(
            tuple(Slot(vector[i], kind) for _, vector, kind in solver.parameters) for i in range(len(copies))
        )
        return cls(names, texts, arguments)


class _Solver:
    def __init__(self) -> None:
        self.parameters: list[tuple[str, Vector, Kind]] = []

    def add(self, name: str, vector: Vector, kind: Kind) -> None:
        used_names = {used_name for used_name, _, _ in self.parameters}
        unique = next(n for n in (name, *(f"{name}{i}" for i in range(2, 99))) if n not in used_names)
        self.parameters.append((unique, vector, kind))

    def text(self, vector: Vector, kind: Kind, takes_entry: bool) -> str:
        """Return the expression for a slot: a constant, an argument, a derived value, or a new argument.

        A derived value is a multiple or fraction of an argument, or a sum with another argument or a constant.
        """
        if len(set(vector)) == 1:
            return repr(vector[0])
        same_kind = [(name, values) for name, values, parameter_kind in self.parameters if parameter_kind == kind]
        if not takes_entry:
            same_kind.sort(key=lambda parameter: parameter[0] == "c_in")
            derived = _derive([parameter for parameter in same_kind if parameter[0] == "c_out"], vector)
            if derived is not None and all(values != vector for name, values in same_kind if name != "c_in"):
                return derived
        for name, values in same_kind:
            if values == vector:
                return name
        if kind == "channels":
            derived = _derive(same_kind, vector)
            if derived is not None:
                return derived
        self.add({"channels": "hidden", "count": "blocks"}.get(kind, kind), vector, kind)
        return self.parameters[-1][0]


def _derive(parameters: Sequence[tuple[str, Vector]], vector: Vector) -> str | None:
    for name, values in parameters:
        for factor in FACTORS:
            operator, number = factor.split()
            if operator == "*" and all(v * int(number) == x for v, x in zip(values, vector, strict=True)):
                return f"{name} {factor}"
            if operator == "//" and all(v == x * int(number) for v, x in zip(values, vector, strict=True)):
                return f"{name} {factor}"
    for position, (a, first) in enumerate(parameters):
        for b, second in parameters[position + 1 :]:
            if all(x + y == v for x, y, v in zip(first, second, vector, strict=True)):
                return f"{a} + {b}"
        step = {v - x for x, v in zip(first, vector, strict=True)}
        if len(step) == 1 and (number_ := step.pop()) > 0:
            return f"{a} + {number_}"
    return None
