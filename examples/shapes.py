"""Pictures of colored shapes in Darknet's layout, to train and try a detector on: python examples/shapes.py pictures

Writes FOLDER/train and FOLDER/valid with a label file beside each picture, the lists, the names, and shapes.data; with
--single for a classifier: small pictures of one shape each, which is said in their names.
"""

from __future__ import annotations

import argparse
import colorsys
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

NAMES = ("circle", "square", "triangle", "star")
WIDTH, HEIGHT = 320, 240
SMALLEST, LARGEST = 28, 120
FINER = 2
"""Everything is drawn so many times larger, then scaled down, for smooth edges."""
SINGLE = 96
"""Side of a picture of a single shape."""
MOST_COVERED = 0.35
"""Of a box by another."""

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]


def color(chance: random.Random, saturation: tuple[float, float], value: tuple[float, float]) -> Color:
    r, g, b = colorsys.hsv_to_rgb(chance.random(), chance.uniform(*saturation), chance.uniform(*value))
    return round(r * 255), round(g * 255), round(b * 255)


def pale(chance: random.Random) -> Color:
    return color(chance, (0, 0.3), (0.1, 1))


def background(chance: random.Random) -> Image.Image:
    """Plain, shaded, or busy with noise and lines; pale, where the shapes are strong in color."""
    size = WIDTH * FINER, HEIGHT * FINER
    picture = Image.new("RGB", size, pale(chance))
    kind = chance.choice(("plain", "shaded", "busy"))
    if kind != "plain":
        cells = (2, 2) if kind == "shaded" else (chance.randint(4, 24), chance.randint(4, 24))
        blots = Image.new("RGB", cells)
        blots.putdata([pale(chance) for _ in range(cells[0] * cells[1])])
        picture = blots.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(chance.randint(5, 40) if kind == "busy" else 0):
        ends = [(chance.uniform(0, size[0]), chance.uniform(0, size[1])) for _ in range(2)]
        draw.line(ends, pale(chance), chance.randint(1, 6))
    return picture


def outline(kind: str, radius: float, turn: float) -> list[tuple[float, float]]:
    """The corners of a shape around 0, turned by an angle."""
    corners, inner = {"circle": (48, 1.0), "square": (4, 1.0), "triangle": (3, 1.0), "star": (10, 0.42)}[kind]
    radii = [radius * (inner if i % 2 else 1) for i in range(corners)]
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


def covers_too_much(box: Box, others: list[Box]) -> bool:
    for other in others:
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
        if min(width, height) > 0 and width * height > MOST_COVERED * smaller:
            return True
    return False


def picture(chance: random.Random, *, single: bool) -> tuple[Image.Image, list[tuple[int, Box]]]:
    """A picture, and class and box (left, top, right, bottom, in its pixels) of each shape."""
    drawn = background(chance)
    draw = ImageDraw.Draw(drawn)
    found: list[tuple[int, Box]] = []
    for _ in range(1 if single else chance.randint(1, 7)):
        number = chance.randrange(len(NAMES))
        radius = math.exp(chance.uniform(math.log(SMALLEST), math.log(LARGEST))) / 2
        corners = outline(NAMES[number], radius, chance.uniform(0, 2 * math.pi))
        xs, ys = zip(*corners, strict=True)
        x = chance.uniform(-min(xs), WIDTH - max(xs))
        y = chance.uniform(-min(ys), HEIGHT - max(ys))
        box = (x + min(xs), y + min(ys), x + max(xs), y + max(ys))
        if covers_too_much(box, [other for _, other in found]):
            continue
        points = [((x + dx) * FINER, (y + dy) * FINER) for dx, dy in corners]
        draw.polygon(points, fill=color(chance, (0.65, 1), (0.55, 1)))
        found.append((number, box))
    return drawn.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), found


def cut_out(drawn: Image.Image, box: Box) -> Image.Image:
    """A square around a shape, within the picture."""
    side = 1.5 * max(box[2] - box[0], box[3] - box[1])
    left = min(max(0, (box[0] + box[2] - side) / 2), WIDTH - side)
    top = min(max(0, (box[1] + box[3] - side) / 2), HEIGHT - side)
    return drawn.resize((SINGLE, SINGLE), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def label(number: int, box: Box) -> str:
    left, top, right, bottom = box
    shares = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT
    return f"{number} {' '.join(f'{share:.6f}' for share in shares)}\n"


def write(folder: Path, part: str, pictures: int, seed: int, *, single: bool) -> None:
    """The pictures of one part with their labels, and the list of them."""
    (folder / part).mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(pictures):
        drawn, found = picture(random.Random(f"{seed} {part} {number}"), single=single)
        path = folder / part / f"{number:05}.jpg"
        if single:
            kind, box = found[0]
            drawn, path = cut_out(drawn, box), path.with_stem(f"{number:05}_{NAMES[kind]}")
        else:
            path.with_suffix(".txt").write_text("".join(label(*one) for one in found))
        drawn.save(path, quality=90)
        paths.append(path)
    (folder / f"{part}.txt").write_text("".join(f"{path.as_posix()}\n" for path in paths))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=2000, help="pictures to train on")
    parser.add_argument("--valid", type=int, default=200, help="pictures to measure with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--single", action="store_true", help="one shape a picture, named in its path")
    given = parser.parse_args(arguments)
    for part in ("train", "valid"):
        write(given.folder, part, getattr(given, part), given.seed, single=given.single)
    (given.folder / "shapes.names").write_text("\n".join(NAMES) + "\n")
    place = given.folder.as_posix()
    (given.folder / "shapes.data").write_text(
        f"classes = {len(NAMES)}\ntrain = {place}/train.txt\nvalid = {place}/valid.txt\n"
        f"{'labels' if given.single else 'names'} = {place}/shapes.names\nbackup = {place}/backup\n"
    )


if __name__ == "__main__":
    main()
