"""The GitHub Action: nothing of a pull request runs, and its text stays text in the comment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.conftest import ROOT

if sys.platform == "win32" or shutil.which("git") is None:
    pytest.skip("needs git, and file names that Linux allows: run it on Linux", allow_module_level=True)

CFG = "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=2\n"
CHANGED = CFG.replace("filters=2", "filters=4")
ODD = "`\n\n# heading @octocat\n[click](http:x)\n`.cfg"
GH = """#!/bin/sh
echo "$@" >> "$LOG"
case "$1 $2" in
"pr view") cat "$COMMENTS" 2> /dev/null; exit "${VIEW:-0}" ;;
"pr comment") cat "$5" > "$BODY" ;;
"api --silent") body=${7#body=@}; cat "$body" > "$BODY" ;;
esac
[ "${STATUS:-0}" = 0 ] || { echo "HTTP 403: Resource not accessible by integration" >&2; exit "$STATUS"; }
"""
EVIL = ("pip.py", "venv.py", "lark.py", "darkparse.py", "sitecustomize.py", "usercustomize.py", "ensurepip.py", "os.py")


class Request:
    """A pull request in a repository, and what the action does with it."""

    def __init__(self, folder: Path) -> None:
        self.repository, self.folder = folder / "repository", folder
        self.repository.mkdir()
        self.git("init", "-q")
        (folder / "bin").mkdir()
        (folder / "bin" / "gh").write_text(GH)
        (folder / "bin" / "gh").chmod(0o755)
        self.body, self.log, self.summary = folder / "body.md", folder / "log", folder / "summary.md"
        self.commit({"a.cfg": CFG, "same.cfg": CFG, "-x.cfg": CFG, "gone.cfg": CFG, "wrong.cfg": CFG})
        self.base = self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        run = subprocess.run(
            ("git", *identity, *arguments), cwd=self.repository, check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    def commit(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        self.git("add", "-A")
        self.git("commit", "-qm", "change")

    def comment(self, **environment: str) -> str:
        """Run the action's script; return the comment, empty if there is none."""
        own = {"LOG": self.log, "BODY": self.body, "COMMENTS": self.folder / "comments", "BASE": self.base, "PULL": "7"}
        own |= {"GITHUB_STEP_SUMMARY": self.summary, "DARKPARSE_PYTHON": sys.executable, "HOME": self.folder}
        own |= {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        self.run = subprocess.run(
            ("bash", ROOT / ".ci" / "comment-diff"),
            cwd=self.repository,
            env={name: str(value) for name, value in own.items()} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert self.run.returncode == 0, self.run.stderr
        return self.body.read_text("utf-8") if self.body.exists() else ""


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(tmp_path)


def test_comment_lists_what_changed(request_: Request) -> None:
    (request_.repository / "gone.cfg").unlink()
    request_.commit(
        {"a.cfg": CHANGED, "cfgs/new one.cfg": CFG, "wrong.cfg": CFG.replace("[conv", "[cnov"), "b.txt": ""}
    )
    comment = request_.comment()
    assert "**`a.cfg`**\n" in comment
    assert "filters 2 → 4" in comment
    assert "**`cfgs/new one.cfg`** is new." in comment
    assert "**`wrong.cfg`** does not compile:\n\n```text\nwrong.cfg:5:1: error: " in comment
    assert "same.cfg" not in comment
    assert "gone.cfg" not in comment
    assert str(request_.folder) not in comment
    assert "pr comment 7 --body-file " in request_.log.read_text()
    assert not request_.summary.exists()


def test_comment_with_base_that_does_not_compile_reports_it(request_: Request) -> None:
    request_.commit({"a.cfg": "[net]\n"})
    request_.base = request_.git("rev-parse", "HEAD")
    request_.commit({"a.cfg": CFG})
    assert "**`a.cfg`** did not compile before and cannot be compared:\n\n```text\na.cfg:1:1: " in request_.comment()


def test_comment_escapes_untrusted_names_and_texts(request_: Request) -> None:
    odd = {"-x.cfg": CHANGED, ODD: CHANGED, "comment.md/x.cfg": CFG, "\udcff@a.cfg": CFG, "a|b.cfg": CFG}
    odd["wrong.cfg"] = "[net]\n[```\n````\n# heading @octocat\n"
    request_.commit(odd)
    comment = request_.comment()
    lines = comment.splitlines()
    assert "**`-x.cfg`**" in lines
    assert "**`` `??# heading @octocat?[click](http:x)?`.cfg ``** is new." in lines
    assert "**`comment.md/x.cfg`** is new." in lines
    assert "**`?@a.cfg`** is new." in lines
    first = next(i for i, line in enumerate(lines) if line.endswith("text") and line.startswith("```"))
    ticks = lines[first].removesuffix("text")
    last = lines.index(ticks)
    assert all(ticks not in line for line in lines[first + 1 : last])
    page = MarkdownIt().enable("table").render(comment)
    assert "<h1>" not in page
    assert "<a " not in page
    assert "octocat" not in re.sub(r"(?s)<code.*?</code>", "", page)


def test_comment_does_not_follow_links_or_submodules(request_: Request, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("[secret\n")
    (request_.repository / "link.cfg").symlink_to(tmp_path / "secret")
    (request_.repository / "config.cfg").symlink_to(".git/config")
    (request_.repository / "a.cfg").unlink()
    (request_.repository / "a.cfg").symlink_to("../secret")
    (request_.repository / "tree.txt").write_text("secret\n")
    request_.commit({"tree.cfg": f"{CFG}[softmax]\ntree=tree.txt\n"})
    comment = request_.comment()
    for name in ("link", "config", "a"):
        assert f"**`{name}.cfg`** is not a regular file." in comment
    assert "**`tree.cfg`** is new." in comment
    assert "secret" not in comment
    assert "repositoryformatversion" not in comment


def test_comment_stays_below_githubs_limit(request_: Request) -> None:
    long = "[net]\nwidth=32\nheight=32\nchannels=3\n" + "[convolutional]\nfilters=2\nactivation=leaky\n" * 900
    request_.commit({f"{i:02}.cfg": long for i in range(9)} | {"large.cfg": "#" * 2_000_000})
    request_.base = request_.git("rev-parse", "HEAD")
    changed = {f"{i:02}.cfg": long.replace("leaky", "mish") for i in range(9)} | {"large.cfg": "#" * 3_000_000}
    request_.commit(changed | {f"é{'x' * 200}{i}.cfg": CFG for i in range(300)})
    comment = request_.comment()
    assert 50_000 < len(comment.encode()) < 65_536
    assert "… the rest of this cfg is left out." in comment
    assert comment.endswith(" more cfgs.\n")
    assert all(line.endswith("|") for line in comment.splitlines() if line.startswith("|"))


def test_comment_is_updated_by_next_run(request_: Request) -> None:
    request_.commit({"a.cfg": CHANGED})
    assert "filters 2 → 4" in request_.comment()
    (request_.folder / "comments").write_text("https://github.com/o/r/pull/7#issuecomment-123\n")
    request_.commit({"a.cfg": CFG.replace("=2", "=6")})
    assert "filters 2 → 6" in request_.comment(GITHUB_REPOSITORY="o/r")
    request_.commit({"a.cfg": CFG})
    assert request_.comment(GITHUB_REPOSITORY="o/r") == "<!-- darkparse diff -->\n\nNo network changes.\n"
    log = request_.log.read_text()
    assert log.count("pr comment") == 1
    assert log.count("api --silent --method PATCH repos/o/r/issues/comments/123 --field body=@") == 2
    assert log.count('select(.viewerDidAuthor and (.body | startswith("<!-- darkparse diff -->")))') == 3


def test_no_change_makes_no_comment(request_: Request) -> None:
    request_.commit({"a.cfg": f"# a comment\n{CFG}"})
    assert request_.comment() == ""
    assert "pr comment" not in request_.log.read_text()


@pytest.mark.parametrize("failing", ["STATUS", "VIEW"])
def test_token_that_cannot_write_puts_report_into_summary(failing: str, request_: Request) -> None:
    request_.commit({"a.cfg": CHANGED, "::error::x\n::error::y.cfg": CFG})
    request_.comment(**{failing: "1"})
    assert "filters 2 → 4" in request_.summary.read_text("utf-8")
    assert request_.run.stdout.startswith("::warning::the pull request cannot be commented (")
    assert len(request_.run.stdout.splitlines()) == 1
    (request_.folder / "bin" / "gh").unlink()
    request_.comment(PATH=f"{request_.folder / 'bin'}:{Path(shutil.which('git') or '').parent}:/usr/bin:/bin")


def test_checkout_without_base_exits_1_with_hint(request_: Request) -> None:
    request_.base = "0123456789" * 4
    with pytest.raises(AssertionError, match="hint: check out with fetch-depth: 0"):
        request_.comment()
    assert request_.run.returncode == 1
    assert "Traceback" not in request_.run.stderr


def test_script_runs_no_module_of_pull_request(request_: Request) -> None:
    _write_evil(request_.repository, request_.folder / "ran")
    request_.commit({"a.cfg": CHANGED})
    assert "filters 2 → 4" in request_.comment()
    assert not (request_.folder / "ran").exists()


@pytest.mark.slow
def test_action_runs_no_module_of_pull_request(tmp_path: Path) -> None:
    """The first step as it stands; without a network pip fails after the point that counts."""
    work, ran, temporary = tmp_path / "work", tmp_path / "ran", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    _write_evil(work, ran)
    (work / "pip.conf").write_text("[global]\nindex-url = file:///none\n")
    environment = {"RUNNER_TEMP": str(temporary), "GITHUB_ACTION_PATH": str(ROOT), "HOME": str(tmp_path)}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        ("bash", "-e", "-c", _steps()[0]["run"]), cwd=work, env=environment | {"PATH": path}, check=False, timeout=300
    )
    assert (temporary / "darkparse-diff" / "bin" / "python3").exists()
    assert not ran.exists()


def test_action_isolates_python_and_pins_hashes() -> None:
    steps = _steps()
    assert "${{" not in "".join(step["run"] for step in steps)
    calls = [line.split("python3", 1)[1] for line in steps[0]["run"].splitlines() if "python3" in line]
    assert len(calls) == 2
    assert all(call.startswith(" -I -m ") for call in calls)
    assert " -I -m pip --isolated install --quiet --require-hashes -r " in calls[1]
    requirements = (ROOT / ".ci" / "action-requirements.txt").read_text()
    assert "--only-binary :all:" in requirements
    pinned = [line.split("==")[0] for line in requirements.splitlines() if "==" in line and line[0] not in "#-"]
    assert requirements.count("--hash=sha256:") >= len(pinned)
    code = (
        "import runpy, sys; before = set(sys.modules); "
        f"runpy.run_path({str(ROOT / '.ci' / 'comment_diff.py')!r}, run_name='imported'); "
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(roots - set(sys.stdlib_module_names) - {'darkparse'}))"
    )
    loaded = subprocess.run((sys.executable, "-I", "-c", code), capture_output=True, text=True, check=True).stdout
    assert [*loaded.split(), "packaging"] == pinned  # lazy_loader requires packaging but does not import it


def _steps() -> list[dict[str, str]]:
    steps: list[dict[str, str]] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))["runs"]["steps"]
    return steps


def _write_evil(folder: Path, ran: Path) -> None:
    for name in EVIL:
        (folder / name).write_text(f"open({str(ran)!r}, 'w').close()\n")
