"""Install lines in the README, the pages and error messages name packages and extras that the wheel has."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.pages.blocks import PAGES
from tests.project.source_files import FILES

OPTION = r"-c \S+|--index-url \S+|-e|--no-deps"
REQUIREMENT = r"'[^']+'|[a-z][\w.=<>,-]*(?:\[[\w,]+\])?|\.(?=[`\s])"
INSTALL_LINE = re.compile(rf"pip install((?: (?:{OPTION}|{REQUIREMENT}))+)")
OTHERS = {"litert-torch", "pandas", "supervision"}
"""Packages that an install line may name though the wheel does not require them."""
INSTALLED_EXTRAS = "detect,onnx,onnxruntime,evaluate"
"""Extras whose packages the tests require."""


def find_requirements(text: str) -> Iterator[Requirement]:
    """Yield what the install lines in a text install; the checkout, `.[detect]`, counts as darkparse."""
    for arguments in INSTALL_LINE.findall(text):
        words = iter(shlex.split(arguments))
        for word in words:
            if word in ("-c", "--index-url"):
                next(words)
            elif not word.startswith("-"):
                yield Requirement(re.sub(r"^\.(?=\[|$)", "darkparse", word))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of the checkout, built without a network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    (path,) = folder.glob("darkparse-*.whl")
    return path


@pytest.mark.slow
def test_install_lines_name_extras_of_the_wheel(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    extras = {*metadata.get_all("Provides-Extra", []), "NAME"}  # where a page means any extra
    required = {Requirement(line).name.lower() for line in metadata.get_all("Requires-Dist", [])}
    sources = [*(ROOT / page for page in PAGES), ROOT / "CONTRIBUTING.md", *FILES]
    requirements = {source: list(find_requirements(source.read_text("utf-8"))) for source in sources}
    assert sum(map(len, requirements.values())) > 30
    for source, found in requirements.items():
        for requirement in found:
            assert requirement.name in {"darkparse", *required, *OTHERS}, f"{source}: {requirement}"
            assert requirement.extras <= extras, f"{source}: {requirement}"
        for group in re.findall(r"darkparse\[([\w,]+)\]", source.read_text("utf-8")):
            assert set(group.split(",")) <= extras, f"{source}: {group}"


@pytest.mark.slow
def test_wheel_resolves_with_extras(wheel: Path) -> None:
    """Against what is installed, because a test cannot rely on a network."""
    for name in ("PIL", "onnx", "onnxruntime", "pycocotools"):
        pytest.importorskip(name)
    resolve = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", f"{wheel}[{INSTALLED_EXTRAS}]"]
    done = subprocess.run(resolve, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "does not provide" not in done.stderr
    assert "Would install darkparse" in done.stdout


@pytest.mark.parametrize(
    ("line", "requirements"),
    [
        ("pip install -c constraints.txt '.[detect,onnx]' && darkparse demo", ["darkparse[detect,onnx]"]),
        ("hint: pip install 'darkparse[openvino]', then --engine auto", ["darkparse[openvino]"]),
        ("pip install torch==2.13.0 --index-url https://x.org/whl/cpu", ["torch==2.13.0"]),
        ("tflite/bin/pip install darkparse litert-torch", ["darkparse", "litert-torch"]),
        ("`pip install --no-deps .` and `pip install lark click`", ["darkparse", "lark", "click"]),
        ("On Linux, pip installs the build", []),
    ],
)
def test_requirements_of_install_line_are_found(line: str, requirements: list[str]) -> None:
    assert list(find_requirements(line)) == [Requirement(requirement) for requirement in requirements]
