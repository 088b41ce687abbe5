"""The output formats of commands: `--format`, its alias `--json`, and JSON documents."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

F = TypeVar("F", bound=Callable[..., Any])

ALIASES = {"table": "text", "md": "markdown"}
"""Other names of formats."""
_JSON_KEY = "darkparse.json"


class FormatType(click.Choice):  # type: ignore[type-arg]
    """The name of an output format, or an alias of it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(ALIASES.get(value, value), param, ctx)


def format_option(*formats: str, help: str = "Output format.") -> Callable[[F], F]:
    """Return the decorator that adds `--format`, passed as `form`, and its alias `--json`.

    Args:
        formats: Names of the formats, the default first.
        help: Help text, one line.
    """

    def decorate(function: F) -> F:
        function = click.option(
            "--json",
            "as_json",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_store_json,
            help="Same as --format json.",
        )(function)
        return click.option(
            "--format",
            "form",
            type=FormatType(formats),
            default=formats[0],
            callback=_choose_format,
            help=help,
        )(function)

    return decorate


def _store_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[_JSON_KEY] = value


def _choose_format(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the format to print. `--json` is eager, so it was parsed before."""
    if not ctx.meta.get(_JSON_KEY):
        return value
    if value != "json" and ctx.get_parameter_source("form") is not ParameterSource.DEFAULT:
        raise click.UsageError(f"--json cannot be combined with --format {value}", ctx)
    return "json"


def print_document(schema: str, values: Mapping[str, Any]) -> None:
    """Print a JSON document to standard output.

    Args:
        schema: Name of its schema in `darkparse/cli/schemas`, e.g. `show`.
        values: The other members. NaN and infinite values become null, because JSON does not support them.
    """
    document = {"schema": schema_name(schema), **replace_non_finite(values)}
    click.echo(json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False))


def schema_name(schema: str) -> str:
    """Return the value of a document's member `schema`; the number grows with an incompatible change."""
    return f"darkparse/{schema}/1"


def replace_non_finite(value: Any) -> Any:
    """Return plain values with None instead of every NaN and infinite number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [replace_non_finite(item) for item in value]
    return value
