"""Execution of the code blocks of a page, in the test's process where that is possible."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run_command
from tests.pages.blocks import Block
from tests.pages.output import drop_numbers, is_printed, mask


class PageRunner:
    """The state that the blocks of a page share: the names of Python, and the directory.

    Args:
        patch: Patch that restores the directory.
        with_numbers: Whether to compare the numbers in what is printed.
    """

    def __init__(self, patch: pytest.MonkeyPatch, *, with_numbers: bool = True) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.patch = patch
        self.mask = mask if with_numbers else drop_numbers

    def run(self, block: Block) -> None:
        """Run a block; fail if it ends with an error, or prints something else than the page shows."""
        if block.language == "console":
            assert block.text.startswith("$ "), f"{block.place}: a console block without a command"
            for command, shown in split_console(block.text):
                printed, status = self._run_line(command)
                assert not shown or self._is_printed(shown, printed, whole=True), _compare(
                    block, command, shown, printed
                )
                assert shown or status == 0, _compare(block, command, "", printed)
            return
        printed = self._run_python(block) if block.language == "python" else self._run_lines(block)
        if block.output is not None:
            matches = self._is_printed(block.output, printed, whole=False)
            assert matches, _compare(block, block.text, block.output, printed)

    def _is_printed(self, shown: str, printed: str, *, whole: bool) -> bool:
        return is_printed(self.mask(shown), self.mask(printed), whole=whole)

    def _run_python(self, block: Block) -> str:
        code = compile("\n" * (block.line - 1) + block.text, block.page, "exec")
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            exec(code, self.names)
        return stream.getvalue()

    def _run_lines(self, block: Block) -> str:
        printed = ""
        for line in join_lines(block.text):
            output, status = self._run_line(line)
            assert status == 0, _compare(block, line, "", output)
            printed += output
        return printed

    def _run_line(self, line: str) -> tuple[str, int]:
        """Return what a line of a shell prints, and its exit status; install lines have a test of their own."""
        commands = split_commands(line)
        if commands is None:
            return run_shell(line)
        printed = ""
        for program, *arguments in commands:
            output, status = "", 0
            if program == "cd":
                self.patch.chdir(*arguments)
            elif program == "darkparse":
                result = run_command(*arguments)
                output, status = result.output, result.returncode
            elif program != "pip":
                output, status = run_shell(shlex.join([program, *arguments]))
            printed += output
            if status:
                return printed, status
        return printed, 0


def join_lines(text: str) -> list[str]:
    """Return the commands of a shell block, with continued lines joined, without comments and empty lines."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def split_commands(line: str) -> list[list[str]] | None:
    """Return the commands between `&&`, as words; None if a shell is needed, for a pipe for example."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word == "&&":
            commands.append([])
        elif re.fullmatch(r"[();<>|&]+|\w+=(?!=).*|[^']*[*$].*", word):
            return None
        else:
            commands[-1].append(word)
    return commands


def split_console(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command after `$`, with the output that follows it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.replace("\\\n", " ").partition("\n")
        yield command, shown


def run_shell(line: str) -> tuple[str, int]:
    """Return what a shell prints for a line, and its exit status; `darkparse` and `python` are those of the tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", line],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout, done.returncode


def _compare(block: Block, command: str, shown: str, printed: str) -> str:
    return f"{block.place}\n$ {command}\n--- the page shows\n{shown}\n--- printed\n{printed}"
