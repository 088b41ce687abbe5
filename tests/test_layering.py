"""A folder imports only from the left, and a table needs neither torch nor numpy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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
