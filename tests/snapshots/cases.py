"""Cfgs and trained models that snapshots cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.conftest import shipped_cfgs
from tests.snapshots.internals import DIALECT_NAMES

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
QUICK_NETWORKS = ("shapes", "yolov1-tiny", "yolov3-tiny", "yolov4-tiny")
"""Names of fast cfgs that ship with darkparse."""
QUICK_DIRECTORIES = ("kinds", "units")
"""Names of directories below `tests` with a cfg for each layer kind."""
QUICK_DIALECT = "alexeyab"
"""Dialect of trained models in quick mode."""


@dataclass(frozen=True, slots=True)
class Case:
    """Cfg, with weights and images in the case of a trained model."""

    name: str
    cfg: Path
    weights: Path | None = None
    others: tuple[Path, ...] = ()
    """Weights of other models, which do not fit the cfg."""
    images: tuple[Path, ...] = ()
    dialects: tuple[str, ...] = DIALECT_NAMES

    @property
    def cost(self) -> tuple[bool, int]:
        """Sort key by expected run time, so that the slowest cases start first."""
        return self.weights is not None, self.cfg.stat().st_size


def find_cases(*, quick: bool = False) -> list[Case]:
    """Return every case in output order."""
    own = {**_name_shipped(), **_name_tested()}
    if quick:
        own = {name: path for name, path in own.items() if _is_quick(path)}
    shared = () if quick else sorted(_name_shared())
    models = (replace(case, dialects=(QUICK_DIALECT,)) if quick else case for case in _find_models())
    return sorted((*_drop_copies((*own.items(), *shared)), *models), key=lambda case: case.name)


def _name_shipped() -> dict[str, Path]:
    return {f"cfgs/{path.name}": path for path in shipped_cfgs()}


def _name_tested() -> dict[str, Path]:
    """Return the cfgs below `tests` by file name, so that moving a file does not change the snapshot.

    Raises:
        ValueError: Two cfgs have the same file and directory names.
    """
    paths = sorted((ROOT / "tests").rglob("*.cfg"))
    count = Counter(path.name for path in paths)
    names = [f"tests/{path.name if count[path.name] == 1 else f'{path.parent.name}/{path.name}'}" for path in paths]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"two cfgs are called {twice[0]}; rename one of them")
    return dict(zip(names, paths, strict=True))


def _is_quick(path: Path) -> bool:
    return path.parent.name in QUICK_DIRECTORIES or (path.parent == ROOT / "cfgs" and path.stem in QUICK_NETWORKS)


def _name_shared() -> Iterator[tuple[str, Path]]:
    """Yield the original cfgs and the cfgs of the reference numbers, if they are available."""
    for folder in (SHARED / "cfgs", SHARED / "golden" / "units"):
        for path in folder.rglob("*.cfg"):
            yield f"shared/{path.relative_to(SHARED).as_posix()}", path


def _drop_copies(cfgs: Iterable[tuple[str, Path]]) -> Iterator[Case]:
    seen = set[bytes]()
    for name, path in cfgs:
        text = path.read_bytes()
        if text not in seen:
            yield Case(name, path)
        seen.add(text)


def _find_models() -> Iterator[Case]:
    shapes = ROOT / "cfgs" / "shapes"
    models = [(ROOT / "cfgs" / "shapes.cfg", shapes / "shapes.weights", tuple(sorted(shapes.glob("*.jpg"))))]
    images = tuple(sorted((SHARED / "images").glob("*.*")))
    models += [(path, path.with_suffix(".weights"), images) for path in sorted((SHARED / "models").glob("*.cfg"))]
    for cfg, weights, model_images in models:
        others = tuple(other for _, other, _ in models if other != weights)
        yield Case(f"models/{cfg.stem}", cfg, weights, others, model_images)
