"""A folder imports only from the left, and a table needs neither torch nor numpy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from darkparse.layers import DIALECTS, REGISTRY
from tests.conftest import ROOT

PACKAGE = ROOT / "darkparse"

# For every folder the folders that it may import from.
ALLOWED = {
    "syntax": set[str](),
    "layers": {"syntax"},
    "network": {"syntax", "layers"},
    "views": {"syntax", "layers", "network"},
    "weights": {"syntax", "layers", "network"},
    "model": {"syntax", "layers", "network", "weights"},
    "losses": {"syntax", "layers", "network", "weights", "model"},
    "train": {"syntax", "layers", "network", "weights", "model", "losses"},
    "export": {"syntax", "layers", "network", "weights", "model", "detect"},
    "detect": {"syntax", "layers", "network", "weights", "model"},
    "compare": {"syntax", "layers", "network", "weights", "model"},
}


def _imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names |= {module.split(".")[1] for module in modules if module.startswith("darkparse.")}
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_folder_imports_only_from_the_left(path: Path) -> None:
    folder = path.relative_to(PACKAGE).parts[0]
    if folder in ALLOWED:
        others = _imported(ast.parse(path.read_text("utf-8"))) - {folder, "_version", "files", "lazy"}
        assert others <= ALLOWED[folder], f"{path.relative_to(ROOT)} imports {sorted(others - ALLOWED[folder])}"
    else:
        assert folder == "cli" or len(path.relative_to(PACKAGE).parts) == 1


LIGHT = (
    "import darkparse",
    "import darkparse; darkparse.compile('yolov4').to_yaml()",
    "main(['show', 'yolov3-tiny'])",
    "main(['explain', 'yolov3-tiny'])",
    "main(['check', 'yolov3-tiny'])",
    "main(['draw', 'yolov3-tiny', '-o', 'x.dot'])",
    "main(['draw', 'yolov3-tiny', '-o', 'x.svg'])",
    "main(['weights', 'yolov3-tiny'])",
    "main(['--help'])",
    "main(['--version'])",
)


def test_views_need_no_torch(tmp_path: Path) -> None:
    script = f"""
import sys
from darkparse.cli import main
for code in {LIGHT!r}:
    try:
        exec(code)
    except SystemExit as stop:
        assert stop.code in (None, 0), (code, stop.code)
    loaded = {{'torch', 'numpy'}} & set(sys.modules)
    assert not loaded, f'{{code}} loads {{loaded}}'
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


CONVOLUTIONS = {"network/analysis/bottleneck.py"}
"""Files whose very subject is convolutions."""
FAMILIES = {cls.__module__ for cls in REGISTRY.values() if cls.__module__.startswith("darkparse.layers.")}
FORKS = re.compile("|".join((*DIALECTS, *(name.upper() for name in DIALECTS))), re.IGNORECASE)
OUTSIDE = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "layers"]


def _relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", OUTSIDE, ids=_relative)
def test_no_phase_imports_a_kind(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    modules = {node.module or "" for node in imports} | {f"{n.module}.{a.name}" for n in imports for a in n.names}
    if _relative(path) not in CONVOLUTIONS:
        assert not modules & FAMILIES, f"{path.relative_to(ROOT)} imports {sorted(modules & FAMILIES)}"


def _names_of_forks(tree: ast.Module) -> list[str]:
    """Every place of a fork's name but in `only=` and in texts for people, which have more than one word."""
    allowed = [keyword.value for node in ast.walk(tree) for keyword in _keywords(node) if keyword.arg == "only"]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in allowed:
            word = node.value
        else:
            word = str(getattr(node, "id", getattr(node, "attr", getattr(node, "arg", ""))))
        if FORKS.fullmatch(word):
            found.append(f"line {getattr(node, 'lineno', 0)}: {word}")
    return found


def _keywords(node: ast.AST) -> list[ast.keyword]:
    return node.keywords if isinstance(node, ast.Call) else []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=_relative)
def test_a_fork_is_named_where_it_is_described_alone(path: Path) -> None:
    if _relative(path) in ("layers/dialect.py", "layers/__init__.py"):
        return
    tree = ast.parse(path.read_text("utf-8"))
    assert not _names_of_forks(tree), f"{path.relative_to(ROOT)}: {', '.join(_names_of_forks(tree))}"
    names = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    # `compile` and `causes` ask whether two dialects are one and the same, whichever they are.
    compared = [text for text in names if re.search(r"dialect\.name (==|!=|in|not in) ['\"(\[{]", text)]
    assert not compared, f"{path.relative_to(ROOT)}: {compared}"
