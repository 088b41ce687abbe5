"""A folder imports only from the left, nothing imports in a circle, and a table needs neither torch nor numpy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from darkparse._utils.lazy import EXPORT
from darkparse.layers import DIALECTS, REGISTRY
from tests.conftest import ROOT

PACKAGE = ROOT / "darkparse"
FILES = sorted(PACKAGE.rglob("*.py"))

BASE = {"errors", "syntax"}
NETWORK = {*BASE, "layers", "network", "network.analysis", "network.writing"}
# For every folder those that it may import from, besides itself. A folder that is not named is part of its parent.
ALLOWED = {
    "syntax": {"errors"},
    "layers": BASE,
    "network": NETWORK,
    "network.analysis": {*BASE, "layers", "network"},
    "network.writing": NETWORK,
    "views": NETWORK,
    "weights": NETWORK,
    "model": {*NETWORK, "weights", "model.modules"},
    "model.modules": {"errors", "layers"},
    "losses": {*NETWORK, "weights", "model"},
    "train": {
        *(*NETWORK, "weights", "model", "losses", "data", "data.files"),
        *("detect", "detect.names", "detect.accuracy"),
    },
    "data": {*NETWORK, "data.files", "detect"},
    "data.files": {*BASE, "layers"},
    "detect": {*NETWORK, "weights", "model", "detect.names", "export.onnx"},
    "detect.names": {*NETWORK, "data.files"},
    "detect.jobs": {*NETWORK, "data.files", "model", "detect", "detect.names"},
    "detect.accuracy": {*NETWORK, "data.files", "detect", "detect.names", "detect.jobs"},
    "export": {*NETWORK, "weights", "model", "detect", "export.onnx", "export.source"},
    "export.onnx": {*NETWORK, "weights"},
    "export.source": {*NETWORK, "weights", "model", "model.modules"},
    "compare": {*NETWORK, "weights", "model", "model.modules"},
}
TOOLS = {"_version", "files", "lazy", "lock", "memory", "notebook", "stopping"}

# What may be imported inside a function, where it is used: it takes long to import, or need not be installed.
HEAVY = {
    *("PIL", "av", "filelock", "fsspec", "google", "lark", "lsprotocol", "numpy", "onnx", "onnxruntime", "openvino"),
    *("graphviz", "pyarrow", "pygls", "tifffile"),
    *("pycocotools", "ray", "rich", "safetensors", "torch", "yaml"),
    *("click.shell_completion", "importlib.metadata"),
}


class Import(NamedTuple):
    """One name that a file imports."""

    module: str
    """The module that has it: of a name that a package passes on, its home."""
    line: int
    place: str
    """`top`, `function`, or `typing` for what only a type checker imports."""


def _name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {_name_of(path): path for path in FILES}


@cache
def _homes(package: str) -> dict[str, str]:
    """Where the names come from that a package's `__init__` passes on."""
    path = MODULES[package]
    if path.name != "__init__.py":
        return {}
    if path.with_suffix(".pyi").exists():
        return {name: home for home, name in EXPORT.findall(path.with_suffix(".pyi").read_text("utf-8"))}
    nodes = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in nodes for alias in node.names}


def _home(module: str, name: str) -> str:
    if f"{module}.{name}" in MODULES or module not in MODULES:
        return f"{module}.{name}"
    return _homes(module).get(name, module)


def _imports(path: Path) -> Iterator[Import]:
    def visit(node: ast.AST, place: str) -> Iterator[Import]:
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports say the whole name"
            for alias in node.names:
                yield Import(_home(node.module or "", alias.name), node.lineno, place)
        elif isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, place) for alias in node.names)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            place = "function"
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            place = "typing"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, place)

    return visit(ast.parse(path.read_text("utf-8")), "top")


@cache
def _imports_of(module: str) -> tuple[Import, ...]:
    """Nothing for a module that is not one of the package."""
    path = MODULES.get(module)
    return () if path is None else tuple(_imports(path))


def _folder(module: str) -> str:
    """`network.analysis` for a module in it; the folder above where that is not told apart."""
    parts = module.split(".")[1:]
    return next((".".join(parts[:n]) for n in (2, 1) if ".".join(parts[:n]) in ALLOWED), parts[0] if parts else "")


@pytest.mark.parametrize("module", MODULES)
def test_a_folder_imports_only_from_the_left(module: str) -> None:
    folder = _folder(module)
    if folder not in ALLOWED:
        assert folder == "cli" or module.count(".") <= 1
        return
    own = [one for one in _imports_of(module) if one.module.startswith("darkparse")]
    wrong = {one for one in own if _folder(one.module) not in {folder, *ALLOWED[folder], *TOOLS}}
    assert not wrong, f"{module} imports {sorted(wrong)}"


def test_every_folder_has_its_place() -> None:
    assert {name for name in ALLOWED if not (PACKAGE / name.replace(".", "/")).is_dir()} == set()


@cache
def _loads(module: str) -> frozenset[str]:
    """What heavy libraries importing a module imports: it, its packages, and what they import at their tops."""
    seen, waiting = set[str](), [module]
    while waiting:
        one = waiting.pop()
        seen.add(one)
        packages = [one[:at] for at, sign in enumerate(one) if sign == "."]
        waiting += {*packages, *(found.module for found in _imports_of(one) if found.place == "top")} - seen
    return frozenset(name for name in HEAVY if any(f"{one}.".startswith(f"{name}.") for one in seen))


@pytest.mark.parametrize("module", MODULES)
def test_only_what_is_heavy_is_imported_inside_a_function(module: str) -> None:
    """And only where the file does not import it anyway."""
    if module in ("darkparse", "darkparse.__main__"):  # they listen for Ctrl-C before they import anything
        return
    inside = [one for one in _imports_of(module) if one.place == "function"]
    needless = [one for one in inside if not _loads(one.module) - _loads(module)]
    assert not needless, f"{module}: these belong to the top of the file: {needless}"


def test_nothing_imports_in_a_circle() -> None:
    """Neither at the top of files nor inside functions; what only a type checker imports may."""
    graph = {
        module: {one.module for one in _imports_of(module) if one.place != "typing" and one.module in MODULES}
        - {module}
        for module in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as problem:
        pytest.fail(f"these import each other: {' ← '.join(problem.args[1])}")


@pytest.mark.parametrize("package", [name for name, path in MODULES.items() if path.with_suffix(".pyi").exists()])
def test_a_lazy_name_is_no_module_of_its_package(package: str) -> None:
    """Importing the module would hide the name; but `errors` is meant as the module."""
    exports = _homes(package)
    assert exports
    assert {name for name, home in exports.items() if f"{package}.{name}" in MODULES and home != package} == set()
    stub = MODULES[package].with_suffix(".pyi").read_text("utf-8").splitlines()
    assert all(EXPORT.fullmatch(line) for line in stub), "a line of the stub is not read"


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[-2] not in ("views", "layers")], ids=_name_of)
def test_no_conditional_expression_stands_in_another(path: Path) -> None:
    outer = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.IfExp)]
    inner = {node.lineno for one in outer for node in ast.walk(one) if isinstance(node, ast.IfExp) and node is not one}
    assert not inner, f"{path.relative_to(ROOT)}, lines {sorted(inner)}"


def test_no_file_is_long() -> None:
    assert {path.name for path in FILES if len(path.read_text("utf-8").splitlines()) > 400} == set()


LIGHT = (
    "import darkparse",
    "import darkparse; darkparse.compile('yolov4').to_yaml()",
    "from darkparse.detect import DetectionSettings; DetectionSettings(threshold=0.5)",
    "from darkparse.datasets.names import read_names, shipped; assert len(shipped(80)) == 80",
    "main(['show', 'yolov3-tiny'])",
    "main(['explain', 'yolov3-tiny'])",
    "main(['check', 'yolov3-tiny'])",
    "main(['draw', 'yolov3-tiny', '-o', 'x.dot'])",
    "main(['draw', 'yolov3-tiny', '-o', 'x.svg'])",
    "main(['weights', 'yolov3-tiny'])",
    "main(['detect', '--help'])",
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


@pytest.mark.parametrize(
    ("code", "is_needed"),
    [
        ("main(['show', 'yolov3-tiny'])", False),
        ("main(['draw', 'yolov3-tiny', '-o', 'x.svg'])", False),
        ("import darkparse; darkparse.draw('yolov3-tiny').data('html')", False),
        ("main(['draw', 'yolov3-tiny', '-o', 'x.gv'])", True),
    ],
)
def test_graphviz_is_imported_only_for_its_graphs(tmp_path: Path, code: str, is_needed: bool) -> None:
    script = (
        f"import sys\nfrom darkparse.cli import main\ntry:\n    {code}\nfinally:\n    print('graphviz' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1] == str(is_needed), run.stderr


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
