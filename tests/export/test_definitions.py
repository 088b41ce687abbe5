"""Source text of modules is read from their files, whether they are loaded or not."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

from darkparse.errors import DarkparseError
from darkparse.export.source.definitions import collect_definitions

MODULE = 'class Scale(nn.Module):\n    """Doubles."""\n\n\ndef helper(x):\n    return Scale\n'


def test_definitions_of_unloaded_module_do_not_import_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packageofscales" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("raise RuntimeError('imported')", "utf-8")
    (package / "scales.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    text = collect_definitions("helper(1)", ["packageofscales.inner.scales.Scale"], ())
    assert text == 'class Scale(nn.Module):\n    """Doubles."""\n\n\ndef helper(x):\n    return Scale'
    assert "packageofscales" not in sys.modules


def test_definitions_of_module_in_zip_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "scales.zip", "w") as archive:
        archive.writestr("zippedscales.py", MODULE)
    monkeypatch.syspath_prepend(tmp_path / "scales.zip")
    assert collect_definitions("Scale()", ["zippedscales.Scale"], ()) == MODULE.partition("\n\n\n")[0]


def test_definitions_of_main_script_are_read(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from darkparse.export.source.definitions import collect_definitions\n\n\n"
        "class Scale: pass\n\n\nprint(collect_definitions('Scale()', ['__main__.Scale'], ()))",
        "utf-8",
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("class Scale: pass\n", "")


def test_definitions_of_module_without_source_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typedscales", types.ModuleType("typedscales"))
    (tmp_path / "brokenscales.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "brokenscales.py").unlink()
    importlib.invalidate_caches()
    for module in ("typedscales", "brokenscales", "missingpackage.scales", "__main__.Scale"):
        with pytest.raises(DarkparseError, match=rf"cannot read the source of module '{module}'; expected a \.py file"):
            collect_definitions("Scale()", [f"{module}.Scale"], ())
