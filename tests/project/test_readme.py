"""The README keeps its word."""

from __future__ import annotations

import re
import subprocess
import sys

from darkparse.syntax import find_shipped_cfgs
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_findings_on_pages_match_codes() -> None:
    run = subprocess.run([sys.executable, ROOT / "docs" / "findings.py", "--check"], check=False)
    assert run.returncode == 0, "run python docs/findings.py"


def test_readme_number_of_agreeing_networks_is_true() -> None:
    assert (ROOT / ".ci" / "agreeing-networks").read_text().strip() + " networks agree" in README


def test_readme_commands_exist() -> None:
    from darkparse.cli.main import COMMANDS

    shown = set(re.findall(r"^    darkparse (\w+)", README, re.MULTILINE))
    assert shown <= set(COMMANDS)
    assert {"show", "explain", "draw", "check"} <= shown


def test_cfg_page_lists_every_finding() -> None:
    package = ROOT / "darkparse"
    sources = "".join(
        path.read_text("utf-8") for folder in ("syntax", "network") for path in (package / folder).rglob("*.py")
    )
    codes = set(
        re.findall(r'(?:error|_add_error|_add_warning|Diagnostic)\(\s*(?:"(?:error|warning)", )?"([a-z-]+)"', sources)
    )
    page = (ROOT / "docs" / "cfg.md").read_text("utf-8")
    assert len(codes) > 15
    assert {code for code in codes - {"error", "warning"} if f"`{code}`" not in page} == set()


def test_readme_is_short_and_counts_networks() -> None:
    assert README.count("\n") <= 120
    assert f"prints all {len(find_shipped_cfgs())}" in README
