"""Base class of layer kinds, and the registry of all kinds.

A kind is a frozen class. Its fields are its cfg options with Darknet's defaults. A few short methods derive shapes,
stored tensors, modules and multiply-adds from them. The phases (binding, shapes, weights, building, views) interpret
these facts and contain no code for a particular kind.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import PurePath
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, dataclass_transform

from darkparse.layers.activations import Activation, read_activation
from darkparse.layers.dialect import Dialect
from darkparse.layers.shape import Shape
from darkparse.layers.specs import Deviation, LayerContext, ModuleSpec, TensorSpec
from darkparse.layers.values import Reader, read_flag, read_float, read_int, read_list, read_text
from darkparse.layers.window import Window

Mechanism = str
"""Name of the cause of a size difference between a layer's input and output: `stride`, `pool`, `projection`, …"""

LayerRole = Literal["", "conv", "dense", "pool", "global", "upsample", "reorg", "cat", "add", "gate", "head", "loss"]
"""Role of a layer in the network.

`cat`, `add` and `gate` join their inputs by concatenation, sum and product. The output of a `head` is decoded to
detections. A `loss` passes its input through, so the network's output is that of the layer before it (network.c
get_network_output_layer).
"""


class LayerError(Exception):
    """Violation of a layer kind's rule; the compiler adds the place in the cfg.

    Attributes:
        option: Key of the option at fault; None for the whole section.
        input: Position of the input at fault; its layer is reported as a second place.
        code: Code of the finding, one of `diagnostics.codes.CODES`; for `sizes`, the layers of all inputs are reported.
    """

    def __init__(
        self, message: str, *, option: str | None = None, input: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.option = option
        self.input = input
        self.code = code


class KnownOption(NamedTuple):
    """Option that is known by name only: darkparse ignores it, or a class of `layers.training` has its type."""

    dialect: str | None
    """Only dialect that supports the option; None for all."""
    help: str
    """Meaning; empty if a class of training options states it."""


Keys = Mapping[str, KnownOption]
"""Options by name."""


def keys(names: str = "", dialect: str | None = None, **texts: str) -> dict[str, KnownOption]:
    """Return options of one dialect: names that training options describe, and others with their meaning."""
    return {name: KnownOption(dialect, texts.get(name, "")) for name in (*names.split(), *texts)}


COMMON_TRAINING: Keys = {
    **keys("onlyforward stopbackward learning_rate"),
    **keys(dontloadscales="Weights file has no scales, means and variances of batch norm."),
    **keys(
        dialect="pjreddie",
        truth="Use the ground truth as the target of this layer.",
        dontsave="Leave this layer out of the saved weights.",
        smooth="Label smoothing of the layer.",
    ),
    **keys("clip dont_update", dialect="alexeyab"),
    **keys(
        dialect="alexeyab",
        burnin_update="Update this layer only during this many times `burn_in` iterations.",
        train_only_bn="Train batch norm only, in this layer and all before it.",
    ),
}
"""Options of every layer that only affect training."""


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """Rule for reading one field of a layer from its section."""

    keys: tuple[str, ...] | None
    """Names of the option in the cfg; None for the field's name."""
    read: Reader | None
    dialect: str | None
    dialect_default: str | None
    """Field of `Dialect` that holds the default; None if the default is the same in all dialects."""
    required: bool
    is_file: bool
    minimum: int | None
    """Smallest valid value."""
    formula: str
    """Default that is computed from other options, as a formula."""
    help: str
    """Meaning, in one sentence."""


class DerivedDefault:
    """Placeholder for a default that is computed from other options."""

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
    formula: str = "",
    help: str = "",
) -> Any:
    """Declare a dataclass field that is a cfg option.

    Args:
        default: Darknet's default; without one the option is required.
        keys: Space-separated names of the option in the cfg if they differ from the field's; empty for a property of
            the dialect, which the cfg cannot set.
        read: Reader that converts text to a value; by default chosen by the field's type.
        dialect: Only dialect that supports the option, along with its forks; the others ignore it.
        factory: Function that computes the default from the options above it.
        dialect_default: Field of `Dialect` that holds the default, such as `training.max_boxes`.
        is_file: Whether the value names a file: a `Path` if it may be read, a `PurePath` if it is missing or outside
            the allowed directories.
        minimum: Smallest valid value.
        formula: What `factory` or a training class computes as the default, for the reference.
        help: Meaning in one sentence, with the unit, for the reference and for editors.
    """
    value = DerivedDefault(factory) if factory else default
    names = None if keys is None else tuple(keys.split())
    spec = OptionSpec(names, read, dialect, dialect_default, value is MISSING, is_file, minimum, formula, help)
    return field(default=value, metadata={"option": spec})


def resolve_derived(section: Any) -> None:
    """Compute the defaults that depend on other options, in field order."""
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
    """Options of a layer, independent of its index and shapes."""

    kind: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]]
    dialect: ClassVar[str | None]
    """Only dialect that supports this kind, along with its forks; None for all."""
    parser: ClassVar[str] = ""
    """Function of parser.c that reads the section, if not `parse_` and the kind."""
    role: ClassVar[LayerRole] = ""
    needs_map: ClassVar[bool] = False
    """Whether the first input must be a map (Darknet: "layer before … must output image")."""
    has_state: ClassVar[bool] = False
    """Whether the layer is stateful across calls."""
    is_size_bound: ClassVar[bool] = False
    """Whether weights or options are only valid for one input height and width."""
    mechanism: ClassVar[Mechanism] = ""
    main_input: ClassVar[int] = 0
    """Position of the input that the layer transforms; for a gate, the second."""
    training: ClassVar[Keys] = {}
    """Options of this kind that only affect training."""

    dontload: bool = option(default=False, help="Skip this layer when weights are loaded.")
    """Whether the weights file omits this layer (parser.c load_weights_upto)."""

    def __post_init__(self) -> None:
        resolve_derived(self)

    def inputs(self, index: int) -> tuple[int, ...]:
        """Return the absolute indices of the input layers of the layer at `index`; -1 is the network's input."""
        return (index - 1,)

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        """Return the output shape.

        Raises:
            LayerError: The inputs or options are invalid.
        """
        return inputs[0]

    def windows(self, ctx: LayerContext) -> tuple[Window, ...] | None:
        """Return the successive sliding windows over the main input; None if each value depends on the whole input.

        Only called if the output is a map.

        Raises:
            NotImplementedError: The kind changes height or width but does not override this method.
        """
        before, after = ctx.inputs[self.main_input], ctx.output
        if (before.h, before.w) == (after.h, after.w):
            return ()
        raise NotImplementedError(
            f"[{self.kind}] changes {before} to {after}: {type(self).__name__} must implement windows()"
        )

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        """Return all arrays of the layer, in `.weights` file order."""
        return ()

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        """Return the modules to run in sequence; the first takes all inputs. Without any, the input passes through."""
        return ()

    def macs(self, ctx: LayerContext) -> int:
        """Return the multiply-adds per image; a multiplication without an addition counts as one."""
        return 0

    def printed_flops(self, ctx: LayerContext) -> float:
        """Return the number of operations that AlexeyAB's Darknet prints for the layer in billions (BFLOPS)."""
        return 0.0

    def warnings(self, ctx: LayerContext) -> tuple[LayerError, ...]:
        """Return warnings about options that are legal but probably not meant."""
        return ()

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        """Yield known deviations of other implementations, except in batch norm and activation."""
        return ()

    def options(self, *names: str) -> dict[str, Any]:
        """Return the named options with their values, for modules whose arguments have the same names."""
        return {name: getattr(self, name) for name in names}

    def summary(self, ctx: LayerContext) -> str:
        """Describe in a few words what the layer does, without its shapes, for a table row."""
        return self.kind


L = TypeVar("L", bound=Layer)

REGISTRY: dict[str, type[Layer]] = {}
"""Layer classes by section name, including aliases."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def layer(kind: str, *aliases: str, dialect: str | None = None) -> Callable[[type[L]], type[L]]:
    """Make a class a frozen dataclass and register it under its section names.

    Raises:
        ValueError: A section name is already registered.
    """

    def register(cls: type[L]) -> type[L]:
        layer_class = dataclass(frozen=True, kw_only=True)(cls)
        layer_class.kind, layer_class.aliases, layer_class.dialect = kind, aliases, dialect
        names = (kind, *aliases)
        for name in names:
            if name in REGISTRY:
                raise ValueError(f"section name [{name}] is already registered for {REGISTRY[name].__name__}")
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
    """Field of a layer class with its keys and reader, for binding."""

    name: str
    spec: OptionSpec
    keys: tuple[str, ...]
    read: Reader


def get_bound_fields(cls: type) -> tuple[BoundField, ...]:
    """Return the options of a layer class in field order."""
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
    """Return the reader for the type of a field; for `X | None`, the reader for X."""
    return _READERS[annotation if annotation in _READERS else typing.get_args(annotation)[0]]


def get_known_keys(cls: type) -> Mapping[str, str | None]:
    """Return all keys that are valid in a section of this class, each with the only dialect that supports it."""
    known = _KEYS.get(cls)
    if known is None:
        classes = [c for c in (getattr(cls, "loss_options", None), cls) if c is not None]
        options = {key: item.spec.dialect for c in classes for item in get_bound_fields(c) for key in item.keys}
        named = {name: known_option.dialect for name, known_option in get_named_options(cls).items()}
        known = _KEYS[cls] = {**named, **options}
    return known


_KEYS: dict[type, Mapping[str, str | None]] = {}


def get_named_options(cls: type) -> Keys:
    """Return the options of a section that are known by name only."""
    common = COMMON_TRAINING if issubclass(cls, Layer) else {}
    return {**common, **cls.training}  # type: ignore[attr-defined]


def to_absolute_index(position: int, index: int) -> int:
    """Convert a layer reference of the layer at `index` to an absolute index.

    A negative reference is relative to the layer itself, 0 is the first layer (parser.c parse_route).
    """
    return position if position >= 0 else index + position
