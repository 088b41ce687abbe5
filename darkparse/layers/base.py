"""What a layer kind declares, and the register of all kinds.

A kind is one frozen class: its fields are its cfg options with Darknet's defaults, and a few short methods state
what follows from them: shapes, stored tensors, modules, multiply-adds. The phases (binding, shapes, weights,
building, views) interpret these facts; no kind has code of its own in any of them.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import PurePath
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

from darkparse.layers.activations import Activation, read_activation
from darkparse.layers.dialect import Dialect
from darkparse.layers.shape import Shape
from darkparse.layers.specs import Deviation, LayerContext, ModuleSpec, TensorSpec
from darkparse.layers.values import Reader, read_flag, read_float, read_int, read_list, read_text
from darkparse.layers.window import Window

Mechanism = str
"""The word for what makes a layer's output differ in size from its input: `stride`, `pool`, `projection`, …"""

LayerRole = Literal["", "conv", "dense", "pool", "global", "upsample", "reorg", "cat", "add", "gate", "head", "loss"]
"""Role of a layer in the network. `cat`, `add` and `gate` join their inputs by concatenation, sum and product; the
output of a `head` is decoded to detections; a `loss` passes its input on, and the network's output is that of the layer
before it (network.c get_network_output_layer)."""


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


Keys = Mapping[str, str | None]
"""Options by name, each with the only dialect that knows it."""


def keys(names: str, dialect: str | None = None) -> dict[str, str | None]:
    """Options without effect on inference, known by name: words with spaces between."""
    return dict.fromkeys(names.split(), dialect)


COMMON_TRAINING: Keys = {
    **keys("onlyforward stopbackward learning_rate dontloadscales"),
    **keys("truth dontsave smooth", dialect="pjreddie"),
    **keys("clip dont_update burnin_update train_only_bn", dialect="alexeyab"),
}
"""Options that every layer may have and that matter to training only."""


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """How one field of a layer is read from its section."""

    keys: tuple[str, ...] | None
    """None where the option has the field's name."""
    read: Reader | None
    dialect: str | None
    dialect_default: str | None
    """The field of Dialect that is the default in a dialect."""
    required: bool
    is_file: bool
    minimum: int | None
    """The smallest value that makes sense."""


class DerivedDefault:
    """Stands for a default that follows from other options, until it is computed."""

    def __init__(self, rule: Callable[[Any], Any]) -> None:
        self.rule = rule


def option(
    *,
    default: Any = MISSING,
    keys: str | None = None,
    read: Reader | None = None,
    dialect: str | None = None,
    factory: Callable[[Any], Any] | None = None,
    dialect_default: str | None = None,
    is_file: bool = False,
    minimum: int | None = None,
) -> Any:
    """A field that is a cfg option.

    Args:
        default: Darknet's default; left out, the option is required.
        keys: the option's names in the cfg where they differ from the field's; none at all for a fact of the dialect.
        read: text to value; by default chosen by the field's type.
        dialect: the one dialect that knows the option, with those made from it; the others ignore it.
        factory: computes the default from the options above it.
        dialect_default: the field of Dialect that holds the default, such as `training.max_boxes`.
        is_file: the value names a file: a Path where it may be read, a PurePath where it is missing or lies elsewhere.
        minimum: the smallest value that makes sense.
    """
    value = DerivedDefault(factory) if factory else default
    names = None if keys is None else tuple(keys.split())
    spec = OptionSpec(names, read, dialect, dialect_default, value is MISSING, is_file, minimum)
    return field(default=value, metadata={"option": spec})


def resolve_derived(section: Any) -> None:
    """Compute the defaults that follow from other options, in the order of the fields."""
    names = _DERIVED.get(type(section))
    if names is None:
        names = [item.name for item in fields(section) if isinstance(item.default, DerivedDefault)]
        _DERIVED[type(section)] = names
    for name in names:
        value = getattr(section, name)
        if isinstance(value, DerivedDefault):
            object.__setattr__(section, name, value.rule(section))


_DERIVED: dict[type, list[str]] = {}


@dataclass(frozen=True)
class Layer:
    """A layer kind's options; a pure value that knows neither its index nor its shapes."""

    kind: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]]
    dialect: ClassVar[str | None]
    """The one dialect that has this kind, with those made from it."""
    role: ClassVar[LayerRole] = ""
    needs_map: ClassVar[bool] = False
    """The first input must be a map (Darknet: "layer before … must output image")."""
    has_state: ClassVar[bool] = False
    """Keeps memory from call to call."""
    is_size_bound: ClassVar[bool] = False
    """Weights or options hold for one height and width of the input."""
    mechanism: ClassVar[Mechanism] = ""
    main_input: ClassVar[int] = 0
    """Position of the input whose map the layer carries on; a gate's is its second."""
    training: ClassVar[Keys] = {}
    """Options of this kind that matter to training only."""

    dontload: bool = option(default=False)
    """The file holds nothing for this layer (parser.c load_weights_upto)."""

    def __post_init__(self) -> None:
        resolve_derived(self)

    def inputs(self, index: int) -> tuple[int, ...]:
        """Absolute indices of the layers that this layer, the index-th, reads; -1 is the network's input."""
        return (index - 1,)

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        """The output's shape. Raises LayerError if the inputs do not fit."""
        return inputs[0]

    def windows(self, ctx: LayerContext) -> tuple[Window, ...] | None:
        """The windows that slide over the main input, one behind the other; None where each value sees all of it.

        Asked only where a map comes out. Raises NotImplementedError for a kind that gives a map of another size and
        does not say through which windows.
        """
        before, after = ctx.inputs[self.main_input], ctx.output
        if (before.h, before.w) == (after.h, after.w):
            return ()
        raise NotImplementedError(
            f"[{self.kind}] makes {after} of {before}: {type(self).__name__} must state windows()"
        )

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        """Every array of the layer, in the order of the `.weights` file."""
        return ()

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        """The modules to run one after the other; the first takes all inputs. None: the input passes through."""
        return ()

    def macs(self, ctx: LayerContext) -> int:
        """Multiply-adds for one image; a multiplication without an addition counts as one."""
        return 0

    def printed_flops(self, ctx: LayerContext) -> float:
        """The operations that AlexeyAB's Darknet prints for the layer, in units of one (it prints billions)."""
        return 0.0

    def warnings(self, ctx: LayerContext) -> tuple[LayerError, ...]:
        """Return warnings about options that are legal but probably not meant."""
        return ()

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        """What other implementations are known to do instead, beside another batch norm or activation."""
        return ()

    def options(self, *names: str) -> dict[str, Any]:
        """Some of the options with their values, for modules that take them under the same names."""
        return {name: getattr(self, name) for name in names}

    def summary(self, ctx: LayerContext) -> str:
        """A few words for a table row: what the layer does, without its shapes."""
        return self.kind


L = TypeVar("L", bound=Layer)

REGISTRY: dict[str, type[Layer]] = {}
"""Every section name, aliases included, and its layer class."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def layer(kind: str, *aliases: str, dialect: str | None = None) -> Callable[[type[L]], type[L]]:
    """Register a layer class under its section names, and make it a frozen dataclass."""

    def register(cls: type[L]) -> type[L]:
        layer_class = dataclass(frozen=True, kw_only=True)(cls)
        layer_class.kind, layer_class.aliases, layer_class.dialect = kind, aliases, dialect
        names = (kind, *aliases)
        for name in names:
            if name in REGISTRY:
                raise ValueError(f"section name [{name}] is taken by {REGISTRY[name].__name__}")
        REGISTRY.update(dict.fromkeys(names, layer_class))
        return layer_class

    return register


_READERS: dict[Any, Reader] = {
    int: read_int,
    float: read_float,
    bool: read_flag,
    str: read_text,
    Activation: read_activation,
    tuple[int, ...]: read_list(read_int),
    tuple[float, ...]: read_list(read_float),
    PurePath: read_text,
}


@dataclass(frozen=True, slots=True)
class BoundField:
    """A field of a layer class with everything that binding needs."""

    name: str
    spec: OptionSpec
    keys: tuple[str, ...]
    read: Reader


def get_bound_fields(cls: type) -> tuple[BoundField, ...]:
    """The options of a layer class in the order of its fields."""
    bound = _FIELDS.get(cls)
    if bound is None:
        hints = typing.get_type_hints(cls, include_extras=True)
        bound = _FIELDS[cls] = tuple(_bind_field(item, hints[item.name]) for item in fields(cls))
    return bound


_FIELDS: dict[type, tuple[BoundField, ...]] = {}


def _bind_field(item: Field[Any], annotation: Any) -> BoundField:
    spec: OptionSpec = item.metadata["option"]
    keys = (item.name,) if spec.keys is None else spec.keys
    return BoundField(item.name, spec, keys, spec.read or _find_reader(annotation))


def _find_reader(annotation: Any) -> Reader:
    """By the type of a field; of an optional one by the type that it has if it is there."""
    return _READERS[annotation if annotation in _READERS else typing.get_args(annotation)[0]]


def get_known_keys(cls: type) -> Keys:
    """Every key that a section of this class may hold, and the only dialect that knows it."""
    known = _KEYS.get(cls)
    if known is None:
        classes = [c for c in (getattr(cls, "loss_options", None), cls) if c is not None]
        options = {key: item.spec.dialect for c in classes for item in get_bound_fields(c) for key in item.keys}
        common = COMMON_TRAINING if issubclass(cls, Layer) else {}
        known = _KEYS[cls] = {**common, **cls.training, **options}  # type: ignore[attr-defined]
    return known


_KEYS: dict[type, Keys] = {}


def to_absolute_index(position: int, index: int) -> int:
    """Darknet's layer references: negative is relative to the layer itself,
    0 is the first layer (parser.c parse_route)."""
    return position if position >= 0 else index + position
