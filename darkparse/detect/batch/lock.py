"""What the results in a directory depend on, so that only a run of the same kind resumes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from darkparse._utils.files import atomic_write
from darkparse.detect.batch.results import Record
from darkparse.errors import DarkparseError

RUN_FILE = "run.json"


def check_resumable(folder: Path, run: Record, *, resume: bool) -> Record:
    """What a run depends on that goes on with a folder's results; with `relative_to` as the results have it.

    Args:
        folder: with the results.
        run: what they depend on now. `relative_to` is the folder of its relative paths, None if it has none.
        resume: whether going on is asked for.

    Raises:
        DarkparseError: it is not, or the results were made otherwise.
    """
    if not resume:
        raise DarkparseError(
            f"{folder} holds the results of an earlier run: --resume goes on with it, --overwrite starts anew"
        )
    try:
        previous: Any = json.loads((folder / RUN_FILE).read_text("utf-8", "surrogateescape"))
    except (OSError, ValueError):
        return run
    base = previous.setdefault("relative_to", None) or run["relative_to"]
    run = run | {"relative_to": run["relative_to"] or base}
    changed = [key for key in run if (base if key == "relative_to" else previous.get(key)) != run[key]]
    if changed:
        differences = ", ".join(f"{key} {previous.get(key)!r} then, {run[key]!r} now" for key in changed)
        raise DarkparseError(f"{folder} was made otherwise: {differences}; --overwrite starts anew")
    return run


def write_run(folder: Path, run: Record) -> None:
    """Write down what the results of a folder depend on, for `check_resumable`."""
    with atomic_write(folder / RUN_FILE) as part:
        part.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", "utf-8", "surrogateescape")
