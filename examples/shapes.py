"""Draw images of colored shapes in Darknet's layout, to train and test a detector: python examples/shapes.py pictures

Writes FOLDER/train and FOLDER/valid with a label file beside each image, the lists, the names and shapes.data.
With --single, writes small images of one shape each for a classifier; the class is part of the file name.
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
MIN_DIAMETER, MAX_DIAMETER = 28, 120
OVERSAMPLING = 2
"""Factor by which images are drawn larger and then scaled down, for smooth edges."""
SINGLE = 96
"""Width and height of an image of a single shape."""
MAX_COVERED = 0.35
"""Largest share of a box that another may cover."""

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


def sample_color(rng: random.Random, saturation: tuple[float, float], value: tuple[float, float]) -> Color:
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return round(r * 255), round(g * 255), round(b * 255)


def sample_pale_color(rng: random.Random) -> Color:
    return sample_color(rng, (0, 0.3), (0.1, 1))


def draw_background(rng: random.Random) -> Image.Image:
    """Draw a plain, shaded or busy background in pale colors; shapes have saturated ones."""
    size = WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING
    image = Image.new("RGB", size, sample_pale_color(rng))
    kind = rng.choice(("plain", "shaded", "busy"))
    if kind != "plain":
        cells = (2, 2) if kind == "shaded" else (rng.randint(4, 24), rng.randint(4, 24))
        patches = Image.new("RGB", cells)
        patches.putdata([sample_pale_color(rng) for _ in range(cells[0] * cells[1])])
        image = patches.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(5, 40) if kind == "busy" else 0):
        ends = [(rng.uniform(0, size[0]), rng.uniform(0, size[1])) for _ in range(2)]
        draw.line(ends, sample_pale_color(rng), rng.randint(1, 6))
    return image


def compute_outline(shape: str, radius: float, angle: float) -> list[tuple[float, float]]:
    """Return the corners of a shape around the origin, rotated by an angle in radians."""
    corners, inner = {"circle": (48, 1.0), "square": (4, 1.0), "triangle": (3, 1.0), "star": (10, 0.42)}[shape]
    radii = [radius * (inner if i % 2 else 1) for i in range(corners)]
    angles = [angle + 2 * math.pi * i / corners for i in range(corners)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


def covers_too_much(box: Box, others: list[Box]) -> bool:
    for other in others:
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
        if min(width, height) > 0 and width * height > MAX_COVERED * smaller:
            return True
    return False


def draw_image(rng: random.Random, classes: int, *, single: bool) -> tuple[Image.Image, list[tuple[int, Box]]]:
    """Draw an image; return it with the class and the box of each shape."""
    image = draw_background(rng)
    draw = ImageDraw.Draw(image)
    objects: list[tuple[int, Box]] = []
    for _ in range(1 if single else rng.randint(1, 7)):
        number = rng.randrange(classes)
        radius = math.exp(rng.uniform(math.log(MIN_DIAMETER), math.log(MAX_DIAMETER))) / 2
        corners = compute_outline(NAMES[number], radius, rng.uniform(0, 2 * math.pi))
        xs, ys = zip(*corners, strict=True)
        x = rng.uniform(-min(xs), WIDTH - max(xs))
        y = rng.uniform(-min(ys), HEIGHT - max(ys))
        box = (x + min(xs), y + min(ys), x + max(xs), y + max(ys))
        if covers_too_much(box, [other for _, other in objects]):
            continue
        points = [((x + dx) * OVERSAMPLING, (y + dy) * OVERSAMPLING) for dx, dy in corners]
        draw.polygon(points, fill=sample_color(rng, (0.65, 1), (0.55, 1)))
        objects.append((number, box))
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), objects


def crop_square(image: Image.Image, box: Box) -> Image.Image:
    """Crop a square around a shape, within the image."""
    side = 1.5 * max(box[2] - box[0], box[3] - box[1])
    left = min(max(0, (box[0] + box[2] - side) / 2), WIDTH - side)
    top = min(max(0, (box[1] + box[3] - side) / 2), HEIGHT - side)
    return image.resize((SINGLE, SINGLE), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def format_label(number: int, box: Box) -> str:
    left, top, right, bottom = box
    values = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT
    return f"{number} {' '.join(f'{value:.6f}' for value in values)}\n"


def write_images(folder: Path, part: str, count: int, seed: int, classes: int, *, single: bool) -> None:
    """Write the images of a part, their labels and the list of their paths."""
    (folder / part).mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        image, objects = draw_image(random.Random(f"{seed} {part} {number}"), classes, single=single)
        path = folder / part / f"{number:05}.jpg"
        if single:
            class_index, box = objects[0]
            image, path = crop_square(image, box), path.with_stem(f"{number:05}_{NAMES[class_index]}")
        else:
            path.with_suffix(".txt").write_text("".join(format_label(*entry) for entry in objects))
        image.save(path, quality=90)
        paths.append(path)
    (folder / f"{part}.txt").write_text("".join(f"{path.as_posix()}\n" for path in paths))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=2000, help="number of training images (default: %(default)s)")
    parser.add_argument("--valid", type=int, default=200, help="number of validation images (default: %(default)s)")
    parser.add_argument(
        "--classes", type=int, default=len(NAMES), choices=range(1, len(NAMES) + 1), help="number of kinds of shapes"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--single", action="store_true", help="one shape per image, named in its path")
    options = parser.parse_args(arguments)
    for part, count in (("train", options.train), ("valid", options.valid)):
        write_images(options.folder, part, count, options.seed, options.classes, single=options.single)
    (options.folder / "shapes.names").write_text("".join(f"{name}\n" for name in NAMES[: options.classes]))
    folder = options.folder.as_posix()
    (options.folder / "shapes.data").write_text(
        f"classes = {options.classes}\ntrain = {folder}/train.txt\nvalid = {folder}/valid.txt\n"
        f"{'labels' if options.single else 'names'} = {folder}/shapes.names\nbackup = {folder}/backup\n"
    )


if __name__ == "__main__":
    main()
