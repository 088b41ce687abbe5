"""Check of a dataset for errors that would spoil training."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from darkparse._utils.text import pluralize
from darkparse.datasets.data_file import MAX_LIST_BYTES
from darkparse.datasets.dataset import Dataset, DatasetImage
from darkparse.datasets.image_files import read_image_size
from darkparse.datasets.labels import Box, label_candidates
from darkparse.detect.images import open_image
from darkparse.diagnostics.codes import DATA_CODES
from darkparse.diagnostics.diagnostic import Diagnostic, Note, Severity
from darkparse.diagnostics.source import Source, Span, escape_control, quote_safe
from darkparse.errors import CfgError, DarkparseError, ImageError
from darkparse.layers.dialect import Dialect
from darkparse.network.training_schedule import TrainingLength, count_classes
from darkparse.syntax.files import is_file, read_text, split_lines

if TYPE_CHECKING:
    from darkparse.network.network import Network

MAX_PLACES = 3
"""Maximum number of locations shown per finding; the others are only counted."""
SLACK = 0.01
"""Tolerance for boxes outside the image, as a fraction of its size: labeling programs round."""
OBJECT_CODES = frozenset({"label-class", "box-outside", "box-size", "box-tiny"})
WARNING_CODES = frozenset({"box-outside", "box-tiny", "box-size", "overlap"})

Progress = Callable[[Sequence[DatasetImage]], Iterable[DatasetImage]]


@dataclass
class DatasetReport:
    """A dataset and the findings about it.

    Attributes:
        files: The data set.
        dialect: Darknet fork that the dataset was checked for.
        is_decoded: Whether images were decoded completely, rather than only their headers read.
        diagnostics: Errors and warnings, one per kind of finding, with the first locations.
        images: Number of images in the lists.
        objects: Number of labeled objects.
        length: Length of training that the network's schedule results in for the data set.
    """

    files: Dataset
    dialect: Dialect
    is_decoded: bool = False
    diagnostics: list[Diagnostic] = field(default_factory=list)
    images: int = 0
    objects: int = 0
    length: TrainingLength | None = None


class _Tally:
    """Findings by code: their number and first locations."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.places: dict[str, list[tuple[Path, int, str]]] = defaultdict(list)

    def add(self, code: str, path: str | Path, line: int, detail: str = "") -> None:
        self.counts[code] += 1
        if len(self.places[code]) < MAX_PLACES:
            self.places[code].append((Path(path), line, detail))

    def findings(self, totals: dict[str, tuple[int, str]], warnings: frozenset[str]) -> Iterator[Diagnostic]:
        """Yield one diagnostic per code, with its locations, its count and the total."""
        source = lru_cache(2 * MAX_PLACES)(_source)  # many findings are in the same list
        for code, count in self.counts.items():
            total, noun = totals.get(code, totals["object" if code in OBJECT_CODES else "image"])
            spans = [_locate(source, *place) for place in self.places[code]]
            message = f"{count:,} of {pluralize(total, noun)}{spans[0][1]}: {remedy(code)}"
            notes = tuple(Note(f"also here{said}", span) for span, said in spans[1:])
            severity: Severity = "warning" if code in warnings else "error"
            yield Diagnostic(severity, code, message, spans[0][0], notes)


def remedy(code: str) -> str:
    """Return the meaning and the remedy of a finding, to continue a sentence with."""
    return DATA_CODES[code][0].lower() + DATA_CODES[code][1:]


def _locate(source: Callable[[Path], Source], path: Path, line: int, detail: str) -> tuple[Span | None, str]:
    """Return the span of a line and what to say about it; a file without lines is named in what is said."""
    if line:
        return _line(source(path), line), detail and f" ({detail})"
    return None, f" ({', '.join(filter(None, (escape_control(str(path)), detail)))})"


def _source(path: Path) -> Source:
    return Source(str(path), read_text(path, MAX_LIST_BYTES), path)


def _line(source: Source, number: int) -> Span:
    """Return the location of a line."""
    start = sum(len(line) for line in split_lines(source.text)[: number - 1])
    return Span(source, start, start + len(source.get_line(start)))


def check_data(
    files: Dataset,
    dialect: Dialect | None = None,
    network: Network | None = None,
    progress: Progress = list,
    *,
    decode: bool = False,
) -> DatasetReport:
    """Check a dataset for errors that would spoil training: read all labels and all image headers.

    Args:
        files: The data set.
        dialect: Darknet fork to train with; by default the network's, or the fork that finds most labels.
        network: Network to train, for its classes and its input size.
        progress: Iterates over the images; may report progress.
        decode: Decode each image completely, which detects truncated files.
    """
    report = DatasetReport(files, dialect or (network.dialect if network else files.guess_dialect()), decode)
    lists: dict[str, list[DatasetImage]] = {}
    for key in ("train", *({"valid"} & files.keys)):
        try:
            lists[key] = files.images(key, report.dialect)
        except DarkparseError as problem:
            report.diagnostics.append(_file_diagnostic(files, key, problem))
    classes = _find_classes(report, network)
    _check_images(report, lists, classes, network, progress)
    if network and lists.get("train"):
        _check_length(report, TrainingLength(network, len(lists["train"]), count_classes(network)))
    return report


def _check_length(report: DatasetReport, length: TrainingLength) -> None:
    """Add the length of training that the schedule results in, and warnings about it."""
    try:
        report.diagnostics += length.lint()
        report.length = length if length.end else None
    except CfgError as problem:
        report.diagnostics += problem.diagnostics


def _file_diagnostic(files: Dataset, key: str, problem: DarkparseError) -> Diagnostic:
    """Return a diagnostic for a `.data` key that is missing or whose file does not exist."""
    span = files.options.get(key)
    return Diagnostic("error", "data-file", str(problem).removeprefix(f"{span or files.path}: "), span)


def _find_classes(report: DatasetReport, network: Network | None) -> tuple[str, ...] | int | None:
    """Return the number of classes if known, or a classifier's labels; add a diagnostic if numbers disagree."""
    files, numbers = report.files, {}
    key = "labels" if "labels" in files.keys and not (network and network.heads) else "names"
    names: tuple[str, ...] = ()
    try:
        if key in files.keys:
            names = files.labels if key == "labels" else files.names
            numbers[f"{key} ="] = len(names)
    except DarkparseError as problem:
        report.diagnostics.append(_file_diagnostic(files, key, problem))
    try:
        if files.classes is not None:
            numbers["classes ="] = files.classes
    except DarkparseError as problem:
        report.diagnostics.append(_file_diagnostic(files, "classes", problem))
    if network:
        numbers[network.config.source.name] = count_classes(network)
    if len(set(numbers.values())) > 1:
        counts = ", ".join(f"{number:,} from {name}" for name, number in numbers.items())
        span = files.options.get("classes") or files.options.get(key)
        report.diagnostics.append(Diagnostic("error", "class-names", f"{counts}: {remedy('class-names')}", span))
    if key == "labels":
        return names
    return list(numbers.values())[-1] if numbers else None


def _check_images(
    report: DatasetReport,
    lists: dict[str, list[DatasetImage]],
    classes: tuple[str, ...] | int | None,
    network: Network | None,
    progress: Progress,
) -> None:
    tally, first_list = _Tally(), dict[str, str]()
    min_sides = (0.0, 0.0)
    if network and network.input_shape.is_map:
        min_sides = (1 / network.net.width, 1 / network.net.height)
    num_labels = 0
    for key, images in lists.items():
        path = report.files.file(key)
        faults = _decode_all(images) if report.is_decoded else map(_read_head, images)
        for image, fault in zip(progress(images), faults, strict=True):
            location, place = os.path.abspath(image.path), path if image.line else Path(image.path)  # noqa: PTH100
            report.images += 1
            if first_list.setdefault(location, key) != key:
                tally.add("overlap", place, image.line)
                continue
            if fault is not None:
                tally.add(fault.code, place, image.line, fault.reason)
                continue
            if isinstance(classes, tuple):
                count = sum(label in image.path for label in classes)
                if count != 1:
                    tally.add("path-label", path, image.line, f"{pluralize(count, 'label')} in it")
            elif not image.has_label:
                _add_missing_label(tally, path, image)
            else:
                num_labels += 1
                try:
                    report.objects += _check_labels(tally, image, classes, min_sides)
                except DarkparseError as problem:
                    tally.add("label-line", path, image.line, str(problem))
        if num_labels and not report.objects and key == "train" and "label-line" not in tally.counts:
            tally.add("no-object", path, images[0].line)
    totals = {"object": (report.objects, "object"), "image": (report.images, "image"), "no-object": (1, "list")}
    warnings = WARNING_CODES if report.dialect.training.needs_labels else WARNING_CODES | {"no-label"}
    report.diagnostics += tally.findings(totals, warnings)


class _Fault(NamedTuple):
    """A problem with an image file."""

    code: str
    reason: str = ""


def _read_head(image: DatasetImage) -> _Fault | None:
    """Check an image file's header."""
    if not is_file(image.path):
        return _Fault("no-image")
    return None if read_image_size(Path(image.path)) is not None else _Fault("bad-image")


def _decode(image: DatasetImage) -> _Fault | None:
    """Decode an image file completely."""
    if not is_file(image.path):
        return _Fault("no-image")
    try:
        open_image(image.path, None, apply_exif=False)
    except ImageError as problem:
        return _Fault("bad-image", str(problem))
    return None


def _decode_all(images: Sequence[DatasetImage]) -> Iterator[_Fault | None]:
    """Decode images in threads; Pillow's decoders run in parallel."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from pool.map(_decode, images)
    finally:
        pool.shutdown(cancel_futures=True)


def _add_missing_label(tally: _Tally, path: Path, image: DatasetImage) -> None:
    other = next(filter(is_file, label_candidates(Path(image.path))), None)
    if other is None:
        tally.add("no-label", path, image.line, quote_safe(image.label))
    else:
        tally.add("label-elsewhere", path, image.line, f"{quote_safe(str(other))}, not {quote_safe(image.label)}")


def _check_labels(
    tally: _Tally, image: DatasetImage, classes: tuple[str, ...] | int | None, min_sides: tuple[float, float]
) -> int:
    """Check the labels of an image; return its number of objects."""
    count, path = 0, image.label
    detail = "" if image.objects is None else escape_control(image.path)
    for line, label in image.label_lines():
        if isinstance(label, str):
            tally.add("label-line", path, line)
            continue
        count += 1
        if label.number < 0 or (isinstance(classes, int) and label.number >= classes):
            tally.add("label-class", path, line, detail)
        elif code := _find_box_fault(label.box, min_sides):
            tally.add(code, path, line, detail)
    return count


def _find_box_fault(box: Box, min_sides: tuple[float, float]) -> str | None:
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return "box-size"
    extent = max(abs(x - 0.5) + w / 2, abs(y - 0.5) + h / 2)
    if extent > 0.5 + SLACK or not (0 < x <= 1 and 0 < y <= 1):
        return "box-outside"
    return "box-tiny" if w < min_sides[0] or h < min_sides[1] else None
