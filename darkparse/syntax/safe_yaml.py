"""Composer for YAML that only contains mappings, lists, texts and numbers, with few levels.

It extends PyYAML's composer: untrusted text cannot use aliases to expand, overflow Python's stack by nesting, or set
the type of a value. Nodes keep their place, and no value is converted.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from darkparse.diagnostics import Note, Source, Span
from darkparse.errors import CfgError, cfg_error
from darkparse.syntax.files import describe_error

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 10
"""Maximum levels of mappings and lists; a network has five."""
MAX_NODES = 100_000
"""Maximum number of values and keys; the largest known network has 9,699."""

_UNDECODABLE = re.compile(r"\\[uU]0*d[c-f]", re.IGNORECASE)
"""Escape that represents a byte of a cfg that is not UTF-8."""
_INVALID_CHARACTER = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Character that YAML does not allow, or an undecodable byte."""


def compose_yaml(source: Source) -> yaml.Node | None:
    """Return the root node of a YAML document, None for an empty one; see `make_span` for the place of a node.

    Raises:
        CfgError: The text is not YAML, or contains anything other than plain values.
    """
    import yaml

    offset = source.text.startswith("\ufeff")
    if (match := _INVALID_CHARACTER.search(source.text, int(offset))) is not None:
        message = f"invalid YAML: character U+{ord(match[0]):04X} is not allowed"
        raise cfg_error("yaml", message, Span(source, match.start(), match.end()))
    text = source.text[offset:]
    # libyaml takes a third of the time but rejects escapes of undecodable bytes.
    use_libyaml = yaml.__with_libyaml__ and not _UNDECODABLE.search(text)
    loader = _make_loader(use_libyaml=use_libyaml)(text)
    try:
        return loader.get_single_node()  # type: ignore[no-any-return]
    except yaml.MarkedYAMLError as problem:
        raise _make_error(source, problem) from None
    except (yaml.YAMLError, ValueError) as problem:  # ValueError: an escape of no character, a huge version
        raise cfg_error("yaml", f"invalid YAML: {describe_error(problem)}", Span(source, 0, 0)) from None
    finally:
        loader.dispose()


def make_span(source: Source, start: yaml.Mark, end: yaml.Mark | None = None) -> Span:
    """Return the place between two marks of a node without the white space after it."""
    offset = source.text.startswith("\ufeff")
    first = start.index + offset
    length = 0 if end is None else len(source.text[first : end.index + offset].rstrip())
    return Span(source, first, first + length)


def _make_error(source: Source, problem: yaml.MarkedYAMLError) -> CfgError:
    mark = problem.problem_mark or problem.context_mark
    span = Span(source, 0, 0) if mark is None else make_span(source, mark)
    message, notes = str(problem.problem or problem.context), tuple[Note, ...]()
    if problem.context and message.startswith("but "):
        message = f"{problem.context}, {message}"
    elif problem.context and problem.context_mark is not None and problem.context_mark is not mark:
        notes = (Note(problem.context, make_span(source, problem.context_mark)),)
    return cfg_error("yaml", f"invalid YAML: {message}", span, *notes)


@cache
def _make_loader(*, use_libyaml: bool) -> Any:
    """Make a loader that composes in Python: libyaml's composer recurses until the process crashes."""
    import yaml
    from yaml.composer import Composer, ComposerError

    class PlainComposer(Composer):
        """Composer that rejects YAML features which plain values do not need."""

        _depth = _count = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()  # type: ignore[attr-defined]
            self._count += 1
            if (reason := self._find_fault(event)) is not None:
                raise ComposerError(None, None, reason, event.start_mark)
            self._depth += 1
            node = super().compose_node(parent, index)
            self._depth -= 1
            return node

        def _find_fault(self, event: Any) -> str | None:
            if self._count > MAX_NODES:
                return f"too many values; expected at most {MAX_NODES:,}"
            if event.anchor is not None:
                return "anchors and aliases (& and *) are not supported"
            if getattr(event, "tag", None) is not None:
                return "tags (!) are not supported"
            if self._depth >= MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):
                return f"nested too deeply; expected at most {MAX_DEPTH} levels"
            return None

    parser: Any = yaml.CSafeLoader if use_libyaml else yaml.SafeLoader
    return type("PlainLoader", (PlainComposer, parser), {"__init__": parser.__init__})
