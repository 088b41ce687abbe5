"""Rewrite the lists that are made from the source, of layer kinds in README.md, of findings in docs/cfg.md
and docs/training.md: python docs/kinds.py

With --check it changes nothing and exits with 1 if a list is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from darkparse.diagnostics.codes import CODES, DATA_CODES
from darkparse.layers import DIALECTS, REGISTRY
from darkparse.layers.activations import ACTIVATIONS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def kinds() -> str:
    """A table of every kind: section names, which forks have it, and what it is."""
    rows = ["| section | Darknet | what it is |", "|---|---|---|"]
    for cls in sorted(set(REGISTRY.values()), key=lambda cls: cls.kind.lower()):
        names = ", ".join(f"`[{name}]`" for name in (cls.kind, *cls.aliases))
        what = (cls.__doc__ or "").split("\n")[0].split(" (")[0].rstrip(".")
        forks = [
            fork.title.partition("/")[0] for fork in DIALECTS.values() if fork.supports(cls.dialect, f"[{cls.kind}]")
        ]
        rows.append(f"| {names} | {', '.join(forks) if len(forks) < len(DIALECTS) else 'all'} | {what} |")
    activations = ", ".join(f"`{name}`" for name in ACTIVATIONS)
    return "\n".join([*rows, "", f"Activations: {activations}."])


def findings(codes: dict[str, str]) -> str:
    """A table of findings' codes."""
    return "\n".join(["| code | what it means |", "|---|---|", *(f"| `{c}` | {told} |" for c, told in codes.items())])


PAGES = {
    README: ("kinds", kinds),
    ROOT / "docs" / "cfg.md": ("findings", lambda: findings(CODES)),
    ROOT / "docs" / "training.md": ("findings", lambda: findings(DATA_CODES)),
}
"""The pages, the name of the list in each, and what makes it."""


def with_list(text: str, name: str, made: str) -> str:
    """A page with its list made anew."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{made}\n{m[2]}", text, flags=re.DOTALL)


def main() -> int:
    """Rewrite or check the pages."""
    stale = 0
    for page, (name, make) in PAGES.items():
        text = page.read_text("utf-8")
        fresh = with_list(text, name, make())
        stale += text != fresh
        if "--check" not in sys.argv:
            page.write_text(fresh, "utf-8")
    return int(stale > 0 and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
