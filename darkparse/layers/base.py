"""What a layer kind declares, and the register of all kinds.

A kind is one frozen class: its fields are its cfg options with Darknet's defaults, and a few short methods state
what follows from them: shapes, stored tensors, modules, multiply-adds. The phases (binding, shapes, weights,
building, views) interpret these facts; no kind has code of its own in any of them.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, dataclass_transform

from darkparse.layers.activations import Activation, read_activation
from darkparse.layers.dialect import DIALECTS, Dialect, DialectName
from darkparse.layers.shape import Shape
from darkparse.layers.values import Reader, read_flag, read_float, read_int, read_list, read_text

if TYPE_CHECKING:
    from darkparse.layers.net import Net

Mechanism = str
"""The word for what makes a layer's output differ in size from its input: `stride`, `pool`, `projection`, …"""


class LayerError(Exception):
    """A rule of a layer kind is broken; the compiler adds the place.

    Attributes:
        option: key of the option at fault, or None for the section as a whole.
        input: position of the input at fault, whose layer is shown as a second place.
        code: of the finding, one of `syntax.codes.CODES`; of `sizes`, the layers of all inputs are shown.
    """

    def __init__(
        self, message: str, *, option: str | None = None, input: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.option = option
        self.input = input
        self.code = code


@dataclass(frozen=True, slots=True)
class Keys:
    """Options without effect on inference, known by name:
    both forks' and each fork's own, words with spaces between."""

    both: str = ""
    pjreddie: str = ""
    alexeyab: str = ""

    def dialects(self) -> Iterator[tuple[str, DialectName | None]]:
        """Each key, and the only dialect that knows it."""
        yield from ((key, None) for key in self.both.split())
        yield from ((key, "pjreddie") for key in self.pjreddie.split())
        yield from ((key, "alexeyab") for key in self.alexeyab.split())


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """How one field of a layer is read from its section."""

    keys: tuple[str, ...] | None
    """None where the option has the field's name."""
    read: Reader | None
    only: DialectName | None
    defaults: Mapping[DialectName, Any]
    required: bool
    is_file: bool
    least: int | None
    """The smallest value that makes sense."""


class Derived:
    """Stands for a default that follows from other options, until it is computed."""

    def __init__(self, rule: Callable[[Any], Any]) -> None:
        self.rule = rule


def option(
    *,
    default: Any = MISSING,
    keys: str | None = None,
    read: Reader | None = None,
    only: DialectName | None = None,
    factory: Callable[[Any], Any] | None = None,
    is_file: bool = False,
    least: int | None = None,
    **defaults: Any,
) -> Any:
    """A field that is a cfg option.

    Args:
        default: Darknet's default; left out, the option is required.
        keys: the option's names in the cfg where they differ from the field's.
        read: text to value; by default chosen by the field's type.
        only: the one dialect that knows the option; the other ignores it.
        factory: computes the default from the options above it.
        is_file: the value names a file, which is looked for beside the cfg too.
        least: the smallest value that makes sense.
        **defaults: a dialect's own default, as `alexeyab=.2`.
    """
    value = Derived(factory) if factory else default
    names = None if keys is None else tuple(keys.split())
    spec = OptionSpec(
        names, read, only, typing.cast("Mapping[DialectName, Any]", defaults), value is MISSING, is_file, least
    )
    return field(default=value, metadata={"option": spec})


def fact(name: str, *, default: Any) -> Any:
    """A field that no option sets: what the dialect that the section is bound in says under that name.

    Args:
        name: of the field of Dialect.
        default: what a layer has that no section is bound to.
    """
    said = {dialect.name: getattr(dialect, name) for dialect in DIALECTS.values()}
    return option(default=default, keys="", **said)


def resolve_derived(section: Layer | Net) -> None:
    """Compute the defaults that follow from other options, in the order of the fields."""
    for item in fields(section):
        value = getattr(section, item.name)
        if isinstance(value, Derived):
            object.__setattr__(section, item.name, value.rule(section))


Initial = tuple[Literal["constant", "uniform", "normal"], float, float]
"""Distribution, centre and spread (half width or standard deviation) of a tensor before any weights are loaded."""

ZERO: Initial = ("constant", 0.0, 0.0)
ONE: Initial = ("constant", 1.0, 0.0)


Role = Literal["weight", "bias", "scale", "mean", "variance", "factor", "constant"]
"""What an array does: a multiplying weight; a summand; a batch norm's scale, running mean and variance; the factors of
an addition's inputs; an output that is learned as it is."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One array of a layer: its place in the module and in the `.weights` file (float32, file order)."""

    path: str
    shape: tuple[int, ...]
    initial: Initial = ZERO
    role: Role = "weight"
    stored: bool = True
    """False where the file does not hold it."""
    rows: int | None = None
    """How many rows of the first axis the file holds, if not all (`numload`)."""
    transposed: bool = False
    """The file holds the matrix (first axis, rest) transposed (`flipped`)."""
    transposable: bool = False
    """The file holds the matrix transposed when the header's version is above 1000 (connected layers)."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def learnable(self) -> bool:
        """False for running statistics."""
        return self.role not in ("mean", "variance")

    @property
    def stored_size(self) -> int:
        """Number of floats in the file."""
        if not self.stored:
            return 0
        return self.size if self.rows is None else self.size // self.shape[0] * self.rows


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """A module to build: attribute name, dotted target, keyword arguments (plain values only)."""

    name: str
    target: str
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layer stands: what it needs to know of its surroundings."""

    inputs: tuple[Shape, ...]
    output: Shape
    dialect: Dialect
    read_whole: bool = False
    """Another layer needs its values, not their signs alone (see `Layer.reads_whole`)."""

    @property
    def input(self) -> Shape:
        return self.inputs[0]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer kind's options; a pure value that knows neither its index nor its shapes."""

    kind: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]]
    only: ClassVar[DialectName | None]
    """The one dialect that has this kind."""
    needs_map: ClassVar[bool] = False
    """The first input must be a map (Darknet: "layer before … must output image")."""
    is_head: ClassVar[bool] = False
    """The output is decoded to detections."""
    is_sink: ClassVar[bool] = False
    """A loss: the network's output is that of the layer before (network.c get_network_output_layer)."""
    has_state: ClassVar[bool] = False
    """Keeps memory from call to call."""
    mechanism: ClassVar[Mechanism] = ""
    main_input: ClassVar[int] = 0
    """Position of the input whose map the layer carries on; a gate's is its second."""
    training: ClassVar[Keys] = Keys()
    """Options of this kind that matter to training only."""
    common_training: ClassVar[Keys] = Keys(
        both="onlyforward stopbackward learning_rate",
        pjreddie="truth dontsave smooth",
        alexeyab="clip dont_update burnin_update train_only_bn",
    )

    dontload: bool = option(default=False)
    """The file holds nothing for this layer (parser.c load_weights_upto)."""

    def __post_init__(self) -> None:
        resolve_derived(self)

    def sources(self, index: int) -> tuple[int, ...]:
        """Absolute indices of the layers that this layer, the index-th, reads; -1 is the network's input."""
        return (index - 1,)

    def shares(self, index: int) -> int | None:
        """Absolute index of the layer whose tensors this layer uses instead of its own."""
        return None

    def reads_whole(self, index: int) -> tuple[int, ...]:
        """Absolute indices of the layers whose `bin_output` it cancels (AlexeyAB parser.c:1489-1509)."""
        return ()

    def infer(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        """The output's shape. Raises LayerError if the inputs do not fit."""
        return inputs[0]

    def tensors(self, at: Site) -> tuple[TensorSpec, ...]:
        """Every array of the layer, in the order of the `.weights` file."""
        return ()

    def modules(self, at: Site) -> tuple[ModuleSpec, ...]:
        """The modules to run one after the other; the first takes all inputs. None: the input passes through."""
        return ()

    def macs(self, at: Site) -> int:
        """Multiply-adds for one image; a multiplication without an addition counts as one."""
        return 0

    def printed_flops(self, at: Site) -> float:
        """The operations that AlexeyAB's Darknet prints for the layer, in units of one (it prints billions)."""
        return 0.0

    def remarks(self, at: Site) -> tuple[LayerError, ...]:
        """What a reader of the cfg should know though it is no error: warnings, with their place."""
        return ()

    def summary(self, at: Site) -> str:
        """A few words for a table row: what the layer does, without its shapes."""
        return self.kind


L = TypeVar("L", bound=Layer)

REGISTRY: dict[str, type[Layer]] = {}
"""Every section name, aliases included, and its layer class."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option, fact))
def layer(kind: str, *aliases: str, only: DialectName | None = None) -> Callable[[type[L]], type[L]]:
    """Register a layer class under its section names, and make it a frozen dataclass."""

    def register(cls: type[L]) -> type[L]:
        built = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        built.kind, built.aliases, built.only = kind, aliases, only
        names = (kind, *aliases)
        for name in names:
            if name in REGISTRY:
                raise ValueError(f"section name [{name}] is taken by {REGISTRY[name].__name__}")
        REGISTRY.update(dict.fromkeys(names, built))
        return built

    return register


_READERS: dict[Any, Reader] = {
    int: read_int,
    float: read_float,
    bool: read_flag,
    str: read_text,
    Activation: read_activation,
    tuple[int, ...]: read_list(read_int),
    tuple[float, ...]: read_list(read_float),
    Path: read_text,
}


@dataclass(frozen=True, slots=True)
class BoundField:
    """A field of a layer class with everything that binding needs."""

    name: str
    spec: OptionSpec
    keys: tuple[str, ...]
    read: Reader


def bound_fields(cls: type) -> tuple[BoundField, ...]:
    """The options of a layer class in the order of its fields."""
    found = _FIELDS.get(cls)
    if found is None:
        hints = typing.get_type_hints(cls)
        found = _FIELDS[cls] = tuple(_bound(item, hints[item.name]) for item in fields(cls))
    return found


_FIELDS: dict[type, tuple[BoundField, ...]] = {}


def _bound(item: Field[Any], annotation: Any) -> BoundField:
    spec: OptionSpec = item.metadata["option"]
    plain = (
        [a for a in typing.get_args(annotation) if a is not type(None)]
        if type(None) in typing.get_args(annotation)
        else [annotation]
    )
    keys = (item.name,) if spec.keys is None else spec.keys
    return BoundField(item.name, spec, keys, spec.read or _READERS[plain[0]])


def known_keys(cls: type) -> Mapping[str, DialectName | None]:
    """Every key that a section of this class may hold, and the only dialect that knows it."""
    found = _KEYS.get(cls)
    if found is None:
        training = (getattr(cls, "common_training", Keys()), cls.training)  # type: ignore[attr-defined]
        found = {key: only for keys in training for key, only in keys.dialects()}
        found |= {key: item.spec.only for item in bound_fields(cls) for key in item.keys}
        _KEYS[cls] = found
    return found


_KEYS: dict[type, dict[str, DialectName | None]] = {}


def absolute(position: int, index: int) -> int:
    """Darknet's layer references: negative is relative to the layer itself,
    0 is the first layer (parser.c parse_route)."""
    return position if position >= 0 else index + position
