"""Rewrite the lists of findings in docs/cfg.md and docs/training.md: python docs/findings.py

With --check it changes nothing and exits with 1 if a list is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from darkparse.diagnostics.codes import CODES, DATA_CODES

DOCS = Path(__file__).parent
PAGES = {DOCS / "cfg.md": CODES, DOCS / "training.md": DATA_CODES}
"""Codes that each page lists."""


def replace_list(page: str, codes: dict[str, str]) -> str:
    """Return a page with a new list of codes."""
    rows = [f"| `{code}` | {meaning} |" for code, meaning in codes.items()]
    new_list = "\n".join(["| code | what it means |", "|---|---|", *rows])
    pattern = r"(<!-- findings -->\n).*?(<!-- /findings -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{new_list}\n{match[2]}", page, flags=re.DOTALL)


def main() -> int:
    """Rewrite or check the pages; return the exit status."""
    stale = 0
    for path, codes in PAGES.items():
        page = path.read_text("utf-8")
        current = replace_list(page, codes)
        stale += page != current
        if "--check" not in sys.argv:
            path.write_text(current, "utf-8")
    return int(stale > 0 and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
