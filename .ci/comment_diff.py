"""Comment a pull request with what changes in the networks of its cfgs; see comment-diff.

Names, cfgs and their values are untrusted. Files are read from git's objects, not from the checkout, so a symbolic link
leads nowhere and no name is an argument of a program. Side files (`tree=`, `map=`) are not read.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # darkparse of this action, whatever is installed

from darkparse.diagnostics.source import escape_control
from darkparse.errors import DarkparseError
from darkparse.network import Network, compile
from darkparse.syntax import parse
from darkparse.syntax.files import MAX_CFG_BYTES, read_limited
from darkparse.syntax.reader import make_source
from darkparse.views.text.network_diff import code_span, report_differences

MARKER = "<!-- darkparse diff -->"
"""First line of the comment, by which the next run finds it."""
COMMENT_BYTES = 65_000
"""GitHub takes 65,536 characters."""
SUMMARY_BYTES = 1_000_000
"""GitHub takes 1 MiB in the summary of a step."""
SECTION_BYTES = 20_000
ERROR_CHARACTERS = 4_000
REGULAR = ("100644", "100755")
"""Modes of regular files; others are symbolic links and submodules."""


@dataclass(frozen=True, slots=True)
class Change:
    """A cfg that a pull request adds or changes."""

    path: str
    before: str | None
    """Id of the file's content in git; None if there is no regular file."""
    after: str | None


def find_changes(base: str) -> Iterator[Change]:
    """Yield the cfgs that differ between the merge base with a commit and HEAD."""
    options = ("--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=AMT")
    command = ("git", "diff", *options, f"{base}...HEAD", "--", "*.cfg")
    run = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if run.returncode:
        sys.exit("::error::git cannot compare with the base; hint: check out with fetch-depth: 0")
    fields = iter(os.fsdecode(run.stdout).split("\0")[:-1])
    for facts, path in zip(fields, fields, strict=True):
        before_mode, after_mode, before, after, _ = facts.removeprefix(":").split(" ")
        yield Change(
            escape_control(path), before if before_mode in REGULAR else None, after if after_mode in REGULAR else None
        )


def compile_content(path: str, content: str) -> Network:
    """Compile a cfg from git. Raises DarkparseError."""
    with subprocess.Popen(("git", "cat-file", "blob", content), stdout=subprocess.PIPE) as process:
        data = read_limited(cast("BinaryIO", process.stdout), path, MAX_CFG_BYTES)
    return compile(parse(replace(make_source(data, path), folders=())))


def describe(change: Change) -> str:
    """Return the Markdown for a cfg, empty if its network is the same."""
    name, version = code_span(change.path), "does not compile"
    if change.after is None:
        return f"**{name}** is not a regular file.\n"
    try:
        after = compile_content(change.path, change.after)
        if change.before is None:
            return f"**{name}** is new.\n"
        version = "did not compile before and cannot be compared"
        before = compile_content(change.path, change.before)
        found = report_differences(before, after)
    except DarkparseError as problem:
        return f"**{name}** {version}:\n\n{fence(str(problem))}\n"
    except Exception as problem:  # noqa: BLE001 - the other files are reported
        return f"**{name}** cannot be compared: {code_span(type(problem).__name__)}\n"
    return cut(found.to_markdown(), SECTION_BYTES) if found else ""


def fence(text: str) -> str:
    """Return untrusted text as a code block that it cannot end."""
    text = "\n".join(map(escape_control, text[:ERROR_CHARACTERS].split("\n")))
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}text\n{text}\n{ticks}"


def cut(text: str, most: int) -> str:
    """Return whole lines of a text, at most so many bytes."""
    data = text.encode()
    if len(data) <= most:
        return text
    return data[: data.rindex(b"\n", 0, most) + 1].decode() + "\n… the rest of this cfg is left out.\n"


def join(sections: list[str], most: int) -> str:
    """Join sections to a report of at most so many bytes."""
    report = MARKER
    for number, section in enumerate(sections):
        longer = f"{report}\n\n{section.rstrip()}"
        if len(longer.encode()) > most - 100:
            return f"{report}\n\n… and {len(sections) - number:,} more cfgs.\n"
        report = longer
    return f"{report}\n"


def comment(report: str, pull: str, *, is_empty: bool) -> None:
    """Update this action's comment, or add one unless there is nothing to report.

    Raises:
        OSError: gh is not there.
        subprocess.CalledProcessError: gh failed.
    """
    own = f'.comments[] | select(.viewerDidAuthor and (.body | startswith("{MARKER}"))) | .url'
    found = gh("pr", "view", pull, "--json", "comments", "--jq", own)
    ids = re.findall(r"#issuecomment-(\d+)$", found, re.MULTILINE)
    if is_empty and not ids:
        return
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder, "comment.md")
        body.write_text(report, "utf-8")
        if ids:
            place = f"repos/{os.environ.get('GITHUB_REPOSITORY', '{owner}/{repo}')}/issues/comments/{ids[-1]}"
            gh("api", "--silent", "--method", "PATCH", place, "--field", f"body=@{body}")
        else:
            print(gh("pr", "comment", pull, "--body-file", str(body)), end="")


def gh(*arguments: str) -> str:
    """Run GitHub's command line and return its output."""
    run = subprocess.run(("gh", *arguments), check=True, capture_output=True)
    return run.stdout.decode("utf-8", "replace")


def main() -> None:
    """Comment, or where the token cannot write, put the report into the job summary."""
    sections = [section for change in find_changes(os.environ["BASE"]) if (section := describe(change))]
    report = join(sections or ["No network changes."], COMMENT_BYTES)
    try:
        comment(report, os.environ["PULL"], is_empty=not sections)
    except (OSError, subprocess.CalledProcessError) as problem:
        output = getattr(problem, "stderr", None) or str(problem).encode()
        reason = escape_control(output.decode("utf-8", "replace").strip().partition("\n")[0]).replace("%", "%25")
        print(f"::warning::the pull request cannot be commented ({reason}); the report is in the job summary")
        with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as summary:
            summary.write(join(sections or ["No network changes."], SUMMARY_BYTES))


if __name__ == "__main__":
    main()
