"""Imports: no cycles, own packages at the top of a file, and views that load neither torch nor numpy.

The order of the packages is a contract of import-linter, in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import grimp
import pytest

from tests.conftest import ROOT
from tests.project.source_files import FILES, parse

HEAVY = {"torch", "numpy", "lark", "rich", "yaml", "graphviz", "onnxruntime", "openvino", "pygls", "importlib.metadata"}
"""Libraries that take long to import."""
LAZY = ("darkparse.cli", "darkparse.onnx", "darkparse.detect.engines")
"""Packages that may import own modules inside a function, where these load a heavy library."""
ENTRY = ("darkparse", "darkparse.__main__")
"""Importing them loads nothing."""
EXPORT = re.compile(r"from \.(\S*) import (\w+) as \2")
"""A line of a stub: `from .model.loading import load as load`."""


@cache
def import_graph() -> grimp.ImportGraph:
    """Return every import at the top of a file or in a function, but not those for type checkers."""
    return grimp.build_graph("darkparse", include_external_packages=True, exclude_type_checking_imports=True)


MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES)


def path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def imports_of(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return what a module imports at its top and inside functions; names of a lazy package count as their homes."""
    top, inside = set[str](), set[str]()

    def visit(node: ast.AST, names: set[str]) -> None:
        if isinstance(node, ast.ImportFrom):
            names.update(target_of(str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        names = inside if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) else names
        for child in ast.iter_child_nodes(node):
            visit(child, names)

    visit(parse(path_of(module)), top)
    return frozenset(top), frozenset(inside)


def target_of(module: str, name: str) -> str:
    """Return the module that `from module import name` loads."""
    full = f"{module}.{name}"
    return full if full in MODULES or full in HEAVY else exports(module).get(name, module)


@cache
def loads(module: str) -> frozenset[str]:
    """Return the heavy libraries that importing a module loads."""
    seen, waiting = set[str](), {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= {name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)} - seen
        waiting |= (imports_of(name)[0] if name in MODULES else set()) - seen
    return frozenset(HEAVY & seen)


@cache
def exports(package: str) -> dict[str, str]:
    """Return the names that a lazy package exports, with their homes."""
    stub = ROOT.joinpath(*package.split("."), "__init__.pyi")
    lines = stub.read_text("utf-8").splitlines() if stub.exists() else ()
    return {match[2]: f"{package}.{match[1]}".rstrip(".") for match in map(EXPORT.fullmatch, lines) if match}


def test_modules_have_no_import_cycle() -> None:
    graph = import_graph()
    own = {name: graph.find_modules_directly_imported_by(name) & set(MODULES) for name in MODULES}
    try:
        TopologicalSorter(own).prepare()
    except CycleError as problem:
        pytest.fail(f"these import each other: {' ← '.join(problem.args[1])}")


@pytest.mark.slow
def test_imports_in_functions_are_needed() -> None:
    own = {module: imports_of(module)[1] & set(MODULES) for module in MODULES if module not in ENTRY}
    assert {module: names for module, names in own.items() if names and not module.startswith(LAZY)} == {}
    to_move = {module: [name for name in names if loads(name) <= loads(module)] for module, names in own.items()}
    assert {module: names for module, names in to_move.items() if names} == {}, "move to the top of the file"


@pytest.mark.parametrize("package", [name for name in MODULES if exports(name)])
def test_lazy_name_is_not_a_module(package: str) -> None:
    """Importing the module would hide the name; `errors`, `datasets` and `training` are meant as modules."""
    hidden = {name for name, home in exports(package).items() if f"{package}.{name}" in MODULES and home != package}
    assert hidden == set()
    stub = ROOT.joinpath(*package.split("."), "__init__.pyi").read_text("utf-8").splitlines()
    assert all(EXPORT.fullmatch(line) for line in stub), "a line of the stub is not read"


@pytest.mark.parametrize("package", [name for name in MODULES if exports(name)])
def test_lazy_package_has_every_name_of_its_stub(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) == set(exports(package)) <= set(dir(module))
    assert all(hasattr(module, name) for name in exports(package))
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_lazy_name_without_library_names_it(library: str) -> None:
    script = f"""
import sys
sys.modules[{library!r}] = None
import darkparse
assert {{"load", "compile", "errors"}} <= set(dir(darkparse))
try:
    darkparse.load
except ModuleNotFoundError as problem:
    print(problem, problem.name)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    expected = f"darkparse.load requires {library}\nhint: pip install {library} {library}\n"
    assert run.stdout == expected, run.stderr


def test_import_darkparse_loads_no_other_module() -> None:
    script = "import sys; before = {*sys.modules}; import darkparse; print({*sys.modules} - before)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.stdout == "{'darkparse'}\n", run.stderr


LIGHT = (
    "import darkparse",
    "import darkparse; darkparse.compile('yolov4').to_yaml()",
    "darkparse.DetectionSettings(threshold=0.5)",
    "from darkparse.datasets.names import read_names, shipped_names; assert len(shipped_names(80)) == 80",
    "main(['show', 'yolov3-tiny'])",
    "main(['explain', 'yolov3-tiny'])",
    "main(['check', 'yolov3-tiny'])",
    "main(['draw', 'yolov3-tiny', '-o', 'x.dot'])",
    "main(['draw', 'yolov3-tiny', '-o', 'x.svg'])",
    "main(['emit', 'yolov4', '-o', 'x.py'])",
    "main(['emit', 'yolov3-tiny', '--flat', '-o', 'x.py'])",
    "darkparse.to_source(darkparse.compile('darknet53'))",
    "main(['weights', 'yolov3-tiny'])",
    "main(['detect', '--help'])",
    "main(['--help'])",
    "main(['--version'])",
)


def test_views_and_source_load_neither_torch_nor_numpy(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("code", "is_needed"),
    [
        ("main(['show', 'yolov3-tiny'])", False),
        ("main(['draw', 'yolov3-tiny', '-o', 'x.svg'])", False),
        ("import darkparse; darkparse.draw('yolov3-tiny').data('html')", False),
        ("main(['draw', 'yolov3-tiny', '-o', 'x.gv'])", True),
    ],
)
def test_graphviz_is_imported_only_for_graphs(tmp_path: Path, code: str, is_needed: bool) -> None:
    script = (
        f"import sys\nfrom darkparse.cli import main\ntry:\n    {code}\nfinally:\n    print('graphviz' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1] == str(is_needed), run.stderr
