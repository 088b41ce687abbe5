"""Detection of URLs among inputs, and removal of secrets from them for messages."""

from __future__ import annotations

from darkparse.syntax.files import describe_error


def is_url(name: str) -> bool:
    """Return whether a name is a URL rather than a path."""
    return "://" in name


def redact_url(text: str) -> str:
    """Return a URL without user, password, query string and fragment; return a path unchanged.

    A password that is not percent-encoded may contain any character, even `@` and `/`, so the host is the text after
    the last `@`. If `?` or `#` precedes that `@`, the host may be part of a password and is hidden too.

    >>> redact_url("rtsp://admin:p@ss/word@camera/1?token=x")
    'rtsp://camera/1'
    """
    scheme, separator, remainder = text.partition("://")
    if not separator:
        return text
    location = remainder.replace("#", "?").partition("?")[0]
    is_ambiguous = "@" in remainder[len(location) :] and (":" in location or "@" in location)
    return f"{scheme}://{'…' if is_ambiguous else location.rpartition('@')[2]}"


def redact_message(url: str, problem: BaseException) -> str:
    """Return the reason why a URL cannot be read, without secrets; libraries repeat the URL in their messages."""
    redacted = redact_url(url)
    return f"{redacted}: {describe_error(problem).replace(url, redacted)}"
