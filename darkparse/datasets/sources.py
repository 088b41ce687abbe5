"""Resolution of command-line inputs to images and videos."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from darkparse.datasets.data_file import DataFile, read_list
from darkparse.datasets.formats import COCO_SUFFIX, open_dataset
from darkparse.datasets.image_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, find_images
from darkparse.datasets.urls import is_url, redact_message, redact_url
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import DIALECTS
from darkparse.syntax.files import YAML_SUFFIXES

LIST_SUFFIXES = frozenset((".txt", ".list"))


@dataclass(frozen=True, slots=True)
class InputFile:
    """An image or video, and the directory that it was found under."""

    path: Path
    root: Path
    url: str | None = None
    """URL of a remote file; `path` is then its last component."""

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEO_SUFFIXES

    @property
    def name(self) -> str:
        return self.url or str(self.path)

    @property
    def location(self) -> str:
        """Absolute path or URL, which identifies the file however it was named."""
        return locate_input(self.name)


def locate_input(name: str, folder: str | None = None) -> str:
    """Return an image's absolute path, or its URL, which identifies it however it was named.

    Symbolic links are not resolved: a link is a separate image.

    Args:
        name: Path or URL.
        folder: Base directory of a relative path; by default the working directory.
    """
    return name if is_url(name) else os.path.abspath(os.path.join(folder or "", name))  # noqa: PTH100, PTH118


def find_sources(inputs: Iterable[str], *, exclude: Path | None = None) -> list[InputFile]:
    """Return the images and videos that files, directories, patterns and lists refer to, in order, without duplicates.

    Args:
        inputs: Images, videos, directories (searched recursively), patterns such as `shots/**/*.jpg`, `.txt` lists with
            one path per line as in Darknet, or `.data` files, whose `valid` names such a list; or URLs of images,
            directories and patterns.
        exclude: Directory to skip, for example the output directory.

    Raises:
        DarkparseError: An input does not exist, or no image or video is found.
    """
    sources: dict[str, InputFile] = {}
    skipped = None if exclude is None else Path(os.path.realpath(exclude))
    for text in inputs:
        for source in _expand(text):
            if source.url or skipped is None or skipped not in source.path.resolve().parents:
                sources.setdefault(source.location, source)
    if not sources:
        raise DarkparseError(f"no images in {', '.join(map(redact_url, inputs))}")
    return list(sources.values())


def _expand(text: str) -> list[InputFile]:
    if is_url(text):
        return [InputFile(Path(PurePosixPath(url).name), Path(), url) for url in _expand_url(text)]
    path = Path(text)
    if path.is_dir():
        videos = sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        return [InputFile(p, path) for p in (*find_images(path), *videos)]
    if path.is_file() and path.suffix.lower() in (*YAML_SUFFIXES, COCO_SUFFIX):
        images = open_dataset(path).images("valid", next(iter(DIALECTS.values())))
        return [InputFile(Path(image.path), Path(image.path).parent) for image in images]
    if path.is_file() and path.suffix.lower() == ".data":
        path = DataFile.read(path).valid
    if path.is_file() and path.suffix.lower() in LIST_SUFFIXES:
        return [source for _, text, folder in read_list(path) for source in _expand_entry(text, folder)]
    if path.exists():
        return [InputFile(path, path.parent)]
    if glob.has_magic(text):
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207 - absolute patterns too
        files = [match for match in matches if match.is_file()]
        if files:
            return [InputFile(match, Path(os.path.commonpath([f.parent for f in files]) or ".")) for match in files]
        raise DarkparseError(f"{text}: no file matches")
    raise DarkparseError(f"{text}: no such file, directory or pattern")


def _expand_url(text: str) -> list[str]:
    """Return the URLs of the images that a URL of an image, a directory or a pattern refers to."""
    if Path(text).suffix.lower() in IMAGE_SUFFIXES and not glob.has_magic(text):
        return [text]
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(text)
        names = system.glob(path) if glob.has_magic(path) else system.find(path)
    except remote_errors() as problem:
        raise DarkparseError(redact_message(text, problem)) from None
    urls = [system.unstrip_protocol(name) for name in sorted(names) if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    if not urls:
        raise DarkparseError(f"{redact_url(text)}: no images found")
    return urls


def remote_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that fsspec and the storage libraries loaded so far raise.

    Each storage library has its own exception classes.
    """
    library_errors = (
        ("aiohttp", "ClientError"),
        ("azure.core.exceptions", "AzureError"),
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("gcsfs.retry", "HttpError"),
        ("google.auth.exceptions", "GoogleAuthError"),
    )
    loaded = tuple(getattr(sys.modules[library], name) for library, name in library_errors if library in sys.modules)
    return (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError, *loaded)


def _expand_entry(text: str, folder: str) -> list[InputFile]:
    """Return the files that an entry of a list names, a path or a URL."""
    if is_url(text):
        return _expand(text)
    path = Path(folder, text)
    return [InputFile(path, path.parent)]
