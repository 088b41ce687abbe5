"""Build the web page: `npm ci --prefix web && python web/build.py`, then `python -m http.server -d web/site`.

It packs darkparse and what it imports into one archive, compiled by the Python of the page; copies the files of the npm
packages; and writes the service worker with the hash of every file.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from string import Template

WEB = Path(__file__).resolve().parent
ROOT = WEB.parent
MODULES = WEB / "node_modules"
sys.path.insert(0, str(ROOT))

from darkparse._version import __version__  # noqa: E402 - of this checkout
from darkparse.views.diagram.theme import css_variables, style_sheet  # noqa: E402

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'"
)
"""Content security policy of the page and of its workers; WebAssembly needs a keyword of its own."""
UNUSED_PACKAGES = ("cli", "detect", "evaluation", "training")
LIBRARIES = ("lark", "lazy_loader")
PYODIDE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
ONNXRUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
STATIC = ("*.js", "style.css", "icon.svg")


def build(target: Path) -> None:
    """Write the page to a directory, which is replaced."""
    if not MODULES.is_dir():
        raise SystemExit(f"{MODULES} is missing; run npm ci --prefix {WEB}")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        site = Path(folder) / "site"
        (site / "vendor").mkdir(parents=True)
        _copy_npm_files(site / "vendor")
        _pack_python(site)
        for path in (path for pattern in STATIC for path in WEB.glob(pattern) if path.name != "sw.js"):
            shutil.copy(path, site)
        (site / "theme.css").write_text(_theme_css(), "utf-8")
        (site / "index.html").write_text(_index_html(), "utf-8")
        (site / "sw.js").write_text(_service_worker(site), "utf-8")
        shutil.rmtree(target, ignore_errors=True)
        site.rename(target)


def _copy_npm_files(vendor: Path) -> None:
    for name in PYODIDE:
        shutil.copyfile(MODULES / "pyodide" / name, vendor / name)
    for name in ONNXRUNTIME:
        shutil.copyfile(MODULES / "onnxruntime-web" / "dist" / name, vendor / name)
    # Pyodide looks up packages in this file; the page installs none.
    lock = json.loads((MODULES / "pyodide" / "pyodide-lock.json").read_text("utf-8"))
    (vendor / "lock.json").write_text(json.dumps({"info": lock["info"], "packages": {}}), "utf-8")


def _pack_python(site: Path) -> None:
    """Write the archives of darkparse and of the standard library."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "bundle.zip"
        archive.write_bytes(_bundle())
        outputs = (site / "bundle.zip", site / "vendor" / "stdlib.zip")
        subprocess.run(["node", WEB / "compile.mjs", archive, *outputs], check=True, cwd=WEB)


def _bundle() -> bytes:
    """Return the archive with the text of all modules of the page."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, path in _python_files():
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return buffer.getvalue()


def _python_files() -> Iterator[tuple[str, Path]]:
    yield "bridge.py", WEB / "bridge.py"
    for path in sorted((ROOT / "cfgs").glob("*.cfg")):
        yield f"darkparse/cfgs/{path.name}", path
    for path in sorted((ROOT / "darkparse").rglob("*")):
        parts = path.relative_to(ROOT).parts
        is_stub = path.suffix == ".pyi" and path.name != "__init__.pyi"
        if path.is_file() and "__pycache__" not in parts and parts[1] not in UNUSED_PACKAGES and not is_stub:
            yield "/".join(parts), path
    for library in LIBRARIES:
        spec = find_spec(library)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{library} is not installed; run pip install -e {ROOT}")
        folder = Path(spec.origin).parent
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).parts
            if not {"__pyinstaller", "tools", "tests"}.intersection(parts):
                yield "/".join(parts), path


def _theme_css() -> str:
    """Return the colors of the light and the dark theme, and the rules of diagrams."""
    dark = f"color-scheme: dark; {css_variables('dark')}"
    return "\n".join(
        (
            f":root {{ color-scheme: light; {css_variables('light')} }}",
            f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}',
            f':root[data-theme="dark"] {{ {dark} }}',
            style_sheet(),
        )
    )


def _index_html() -> str:
    names = sorted(path.stem for path in (ROOT / "cfgs").glob("*.cfg"))
    options = "".join(f"<option>{name}</option>" for name in names)
    return Template((WEB / "index.html").read_text("utf-8")).substitute(
        policy=POLICY, networks=options, version=__version__
    )


def _service_worker(site: Path) -> str:
    """Return the service worker, with the hashes of files to store now and of those for images, stored when used."""
    files = {path.relative_to(site).as_posix(): path.read_bytes() for path in sorted(site.rglob("*")) if path.is_file()}
    entries = {name: {"hash": _integrity(data), "size": len(data)} for name, data in files.items()}
    later = {f"vendor/{name}" for name in ONNXRUNTIME}
    version = hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:16]
    constants = {
        "FILES": {name: entry for name, entry in entries.items() if name not in later},
        "LATER": {name: entries[name] for name in sorted(later)},
        "POLICY": f"{POLICY}; frame-ancestors 'none'",
        "VERSION": version,
    }
    head = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in constants.items())
    return head + (WEB / "sw.js").read_text("utf-8")


def _integrity(data: bytes) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(data).digest()).decode()}"


def main() -> None:
    """Build the page."""
    parser = argparse.ArgumentParser(description="Build the web page.")
    parser.add_argument("-o", "--output", type=Path, default=WEB / "site", help="directory to write [web/site]")
    build(parser.parse_args().output.absolute())


if __name__ == "__main__":
    main()
