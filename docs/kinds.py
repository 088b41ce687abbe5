"""Rewrite the list of layer kinds in README.md from the register: python docs/kinds.py

With --check it changes nothing and exits with 1 if the list is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from darkparse.layers import DIALECTS, REGISTRY
from darkparse.layers.activations import ACTIVATIONS

README = Path(__file__).parent.parent / "README.md"


def kinds() -> str:
    """A table of every kind: section names, which fork has it, and what it is."""
    rows = ["| section | Darknet | what it is |", "|---|---|---|"]
    for cls in sorted(set(REGISTRY.values()), key=lambda cls: cls.kind.lower()):
        names = ", ".join(f"`[{name}]`" for name in (cls.kind, *cls.aliases))
        what = (cls.__doc__ or "").split("\n")[0].split(" (")[0].rstrip(".")
        fork = DIALECTS[cls.only].title.partition("/")[0] if cls.only else "both"
        rows.append(f"| {names} | {fork} | {what} |")
    activations = ", ".join(f"`{name}`" for name in ACTIVATIONS)
    return "\n".join([*rows, "", f"Activations: {activations}."])


def with_kinds(text: str) -> str:
    """The page with its list made anew."""
    return re.sub(
        r"(<!-- kinds -->\n).*?(<!-- /kinds -->)", lambda m: f"{m[1]}{kinds()}\n{m[2]}", text, flags=re.DOTALL
    )


def main() -> int:
    """Rewrite or check the page."""
    text = README.read_text("utf-8")
    fresh = with_kinds(text)
    if "--check" in sys.argv:
        return int(text != fresh)
    README.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
