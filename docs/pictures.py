"""Draw the pictures of the README: `python docs/pictures.py` writes docs/pictures/*.svg and *.png."""

from __future__ import annotations

from pathlib import Path

import darkparse

NETWORKS = ("yolov1", "yolov3", "yolov4")
FOLDER = Path(__file__).parent / "pictures"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in NETWORKS:
        diagram = darkparse.draw(darkparse.compile(name))
        for suffix in ("svg", "png"):
            print(diagram.render(FOLDER / f"{name}.{suffix}").relative_to(FOLDER.parent.parent))


if __name__ == "__main__":
    main()
