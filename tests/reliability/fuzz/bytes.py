"""A reader under atheris:
`python -m tests.reliability.fuzz.bytes npz -max_total_time=120`; further options are libFuzzer's.

It begins with a good file and with what once found something (tests/data/corpus). What it finds it leaves in the
working directory as crash-…, to be mended and put into the corpus.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

from tests.conftest import DATA

with atheris.instrument_imports(include=["darkparse", "zipfile", "numpy.lib", "PIL"]):
    from tests.reliability.fuzz.readers import READERS, prepared, told

CORPUS = DATA / "corpus"
DEFAULTS = ("-timeout=10", "-rss_limit_mb=4096", "-max_len=65536", "-print_final_stats=1")


def main() -> None:
    kind, *options = sys.argv[1:]
    name, good, read = READERS[kind]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = prepared(Path(temporary))
        found, seeds = folder / "found", folder / "seeds"
        found.mkdir()
        seeds.mkdir()
        (seeds / "good").write_bytes(good(folder))

        def one(data: bytes) -> None:
            (folder / name).write_bytes(data)
            told(read, folder / name, folder)

        one((seeds / "good").read_bytes())  # imports take their time
        known = [str(place) for place in (seeds, CORPUS / kind) if place.is_dir()]
        atheris.Setup([sys.argv[0], *DEFAULTS, *options, str(found), *known], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
