"""Causes for which a `.weights` file does not fit a cfg, each tested against the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache

from darkparse._utils.text import pluralize
from darkparse.errors import Cause, DarkparseError
from darkparse.layers import DIALECTS
from darkparse.network import Network, compile
from darkparse.syntax import find_shipped_cfgs
from darkparse.weights.diagnosis.case import FileMismatch
from darkparse.weights.diagnosis.corruption import explain_half_precision, explain_text_mode
from darkparse.weights.diagnosis.other_cfgs import find_fitting_changes
from darkparse.weights.diagnosis.statistics import is_plausible
from darkparse.weights.header import HEADER_SIZES, VERSION_STRUCT
from darkparse.weights.layout import compute_layout, get_layer_ends

DECISIVE_CODES = ("header-missing", "no-floats", "not-weights")
"""Causes after which no further test is meaningful."""


def diagnose(case: FileMismatch) -> tuple[Cause, ...]:
    """Return all causes that explain the size exactly, most likely first; without any, a cause based on the size."""
    causes: list[Cause] = []
    for explain in EXPLANATIONS:
        if cause := explain(case):
            causes.append(cause)
            if cause.code in DECISIVE_CODES:
                return tuple(causes)
    causes += find_fitting_changes(case)
    causes += filter(None, (explain(case) for explain in (explain_half_precision, explain_text_mode)))
    return tuple(causes) or (_explain_size(case),)


def _explain_not_weights(case: FileMismatch) -> Cause | None:
    version = case.file.header.version
    if case.has_version and case.available_floats:
        return None
    if not case.available_floats:
        return Cause(
            "no-floats", "the file has a header but no weights", "download or copy it again", {"bytes": case.size}
        )
    message = (
        f"the header has version {'.'.join(map(str, version))}, which no Darknet fork writes: the file is damaged "
        "or not a .weights file"
    )
    return Cause(
        "not-weights",
        message,
        "check the type and the origin of the file",
        {"major": version[0], "minor": version[1]},
    )


def _explain_header_width(case: FileMismatch) -> Cause | None:
    rest = case.size - 4 * case.needed_floats
    header = case.file.header
    version = ".".join(map(str, header.version))
    if rest == header.size or rest not in (0, VERSION_STRUCT.size, *HEADER_SIZES) or not case.is_plausible_after(rest):
        return None
    has_header = case.has_version and (rest > 0 or is_plausible(case.file.block, case.entries) is not False)
    if has_header != (rest > 0):
        return None
    facts: dict[str, int | str] = {"header_bytes": rest, "expected_header_bytes": header.size}
    if rest in HEADER_SIZES:
        read = (
            f"version {version} has {header.size}"
            if case.options.header_size is None
            else f"header_size={header.size} was requested"
        )
        message = f"the floats fit exactly after a header of {rest} bytes, but {read}"
        remedy = f"read it with header_size={rest} (`--header-size {rest}`); saving it again writes that width"
        return Cause("header-width", message, remedy, facts)
    missing_part = "no header" if rest == 0 else "a version but no number of seen images"
    insertion = "Header().pack()" if rest == 0 else "bytes(8)"
    position = "before them" if rest == 0 else "after the first 12 bytes"
    return Cause(
        "header-missing",
        f"the floats fit exactly if the file has {missing_part}",
        f"insert {insertion} {position} and load the bytes",
        facts,
    )


def _explain_dialect(case: FileMismatch) -> Cause | None:
    fitting = (other for other in _iterate_dialects(case) if other.file.fits(other.needed_floats))
    return next((_make_dialect_cause(case.network, other.network) for other in fitting), None)


def _iterate_dialects(case: FileMismatch) -> Iterator[FileMismatch]:
    """Yield the cfg and file as read by other dialects that can compile the cfg."""
    network = case.network
    size = (network.net.height, network.net.width) if network.net.has_image else None
    for name in DIALECTS:
        with suppress(DarkparseError, ValueError):
            if name != network.dialect.name:
                other = compile(network.config, dialect=name, size=size)
                yield FileMismatch.from_buffer(other, case.file.blob, case.options)


def _make_dialect_cause(network: Network, other: Network) -> Cause:
    message = (
        f"the file fits exactly with {other.dialect.title}; it was read as {network.dialect.title} "
        f"({network.dialect_reason})"
    )
    return Cause(
        "dialect",
        message,
        f"use dialect={other.dialect.name!r} (`--dialect {other.dialect.name}`)",
        {"dialect": other.dialect.name},
    )


def find_other_layout(case: FileMismatch) -> tuple[Cause, ...]:
    """Return a cause if the file fits another dialect too and only has valid variances there; empty otherwise."""
    for other in _iterate_dialects(case):
        fits = other.file.fits(other.needed_floats, allow_longer=case.options.upto is not None)
        if fits and is_plausible(other.file.block, other.entries):
            return (_make_dialect_cause(case.network, other.network),)
    return ()


def _explain_backbone(case: FileMismatch) -> Cause | None:
    ends = get_layer_ends(case.entries)
    if (
        case.file.trailing_bytes
        or case.available_floats >= case.needed_floats
        or case.available_floats not in ends.values()
    ):
        return None
    nodes = case.network.nodes
    last = max(index for index, end in ends.items() if end == case.available_floats)
    upto = last + 1
    remedy = f"load it with upto={upto} or allow_partial=True; later layers stay unchanged"
    heads = [i for i in case.network.heads if i <= last + 1]
    missing = len(case.network.heads) - len(heads)
    if heads and missing and heads[-1] == last + 1:
        missing_part = f"the last {pluralize(missing, 'head')} of the cfg, layers {heads[-1] + 1} to {nodes[-1].index}"
        message = f"the file ends exactly after the head in layer {heads[-1]}, without {missing_part}"
        remedy = f"use the cfg that it was trained with, which has {pluralize(len(heads), 'head')}; or {remedy}"
        return Cause("missing-heads", message, remedy, {"layer": last, "upto": upto, "heads": missing})
    message = (
        f"the file ends exactly after layer {last} [{nodes[last].kind}]: it is a backbone with the first {upto} layers "
        f"(like *.conv.{upto})"
    )
    return Cause("backbone", message, remedy, {"layer": last, "upto": upto})


@cache
def _compile_shipped_cfgs() -> tuple[Network, ...]:
    """Compile the cfgs that ship with darkparse; invalid ones are skipped."""
    networks = []
    for path in find_shipped_cfgs().values():
        try:
            networks.append(compile(path))
        except DarkparseError:
            continue
    return tuple(networks)


def _explain_extra_head(case: FileMismatch) -> Cause | None:
    """Find a shipped cfg that fits the file and starts like this cfg but has more heads."""
    if case.available_floats <= case.needed_floats or case.file.trailing_bytes:
        return None
    own_tensors = [(entry.tensor.path, entry.tensor.shape) for entry in case.entries]
    for other in _compile_shipped_cfgs():
        other_tensors = [(entry.tensor.path, entry.tensor.shape) for entry in compute_layout(other)]
        added = len(other.heads) - len(case.network.heads)
        if (
            other.stored_floats == case.available_floats
            and other_tensors[: len(own_tensors)] == own_tensors
            and added > 0
        ):
            message = f"the file fits {other.name}, which starts like this cfg and has {pluralize(added, 'more head')}"
            return Cause("extra-heads", message, f"use the cfg {other.name}", {"cfg": other.name, "heads": added})
    return None


def _explain_shipped_cfg(case: FileMismatch) -> Cause | None:
    if case.file.trailing_bytes:
        return None
    fits = [other.name for other in _compile_shipped_cfgs() if other.stored_floats == case.available_floats]
    if not fits:
        return None
    message = (
        f"the file has exactly the {case.available_floats:,} floats of {' and '.join(fits)}, which ships with darkparse"
    )
    return Cause("shipped-cfg", message, f"use that cfg: `darkparse show {fits[0]}`", {"cfg": fits[0]})


def _explain_size(case: FileMismatch) -> Cause:
    """Return the cause if no other explains the size: the file is truncated, or has extra data."""
    missing = 4 * (case.needed_floats - case.available_floats) - case.file.trailing_bytes
    plausible = is_plausible(case.file.block, case.entries)
    beginning = "; the existing part fits this cfg (all variances are in range)" if plausible else ""
    if missing > 0:
        part = f"{pluralize(missing, 'byte')} of {4 * case.needed_floats:,} {'is' if missing == 1 else 'are'} missing"
        if plausible is False:
            message = f"{part} and its variances are invalid: the file belongs to another cfg"
            return Cause("other-network", message, "use the cfg that it was trained with", {"missing_bytes": missing})
        return Cause(
            "truncated",
            f"the file is truncated: {part}{beginning}",
            "download or copy it again",
            {"missing_bytes": missing},
        )
    extra = -missing
    facts: dict[str, int | str] = {"extra_bytes": extra}
    if plausible is False:
        count = pluralize(extra, "byte")
        message = f"{count} too many, and the variances are invalid: the file belongs to another cfg"
        return Cause("other-network", message, "use the cfg that it was trained with", facts)
    message = f"the file continues for {pluralize(extra, 'byte')} after the last layer{beginning}"
    remedy = "use the cfg that it was trained with, or load it with strict=False"
    if extra >= 8 and case.network.heads and plausible:
        return Cause(
            "extra-heads", f"{message}: it has another head, or layers that are not in this cfg", remedy, facts
        )
    return Cause("longer", message, remedy, facts)


EXPLANATIONS: tuple[Callable[[FileMismatch], Cause | None], ...] = (
    _explain_header_width,
    _explain_not_weights,
    _explain_dialect,
    _explain_backbone,
    _explain_extra_head,
    _explain_shipped_cfg,
)
