"""Folders as jobs see them, on a disk or in S3: which object versions are there, and their bytes."""

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit

from conf.errors import ConfigurationError
from jobs import s3
from jobs.s3 import S3Path

Location = Path | S3Path
"""A folder or file; `str` gives it as Spark takes it."""
_Asked = TypeVar("_Asked")
_Told = TypeVar("_Told")


@dataclass(frozen=True, slots=True, order=True)
class FoundFile:
    """One object version: the same URI with another time or length is another version."""

    modified_micros: int
    """Modification time, microseconds since 1970-01-01 UTC; of S3 in whole seconds, as every answer states it."""
    uri: str
    """Decoded, `file:///…` or `s3a://…`."""
    length: int
    """Bytes as stored."""
    is_hidden: bool = False
    """Whether the name, or a folder's on the way below the root, begins with `.` or `_`."""

    @property
    def key(self) -> str:
        """What makes it this version, as text."""
        return f"{self.uri}\n{self.modified_micros}\n{self.length}"


def location(text: str) -> Location:
    """The place that a path, or a URI of `file:` or `s3a:`, names; other schemes are refused."""
    if text.startswith(s3.SCHEMES):
        return S3Path.of(text)
    return local_path(text)


def local_path(text: str) -> Path:
    """The folder or file of this machine that a path or `file:` URI names; other schemes are refused."""
    parts = urlsplit(text)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if "://" in text:
        raise ConfigurationError(f"`{text}`: give a path, a file: URI, or where the job can use S3 an s3a: URI.")
    return Path(text).absolute()


def list_files(root: Location) -> Iterator[FoundFile]:
    """Every file below `root`, hidden ones too; links are followed. What vanishes meanwhile is left out."""
    return _listed_objects(root) if isinstance(root, S3Path) else _listed_files(root)


def _listed_objects(root: S3Path) -> Iterator[FoundFile]:
    start = len(f"{root.key}/") if root.key else 0
    for one in root.objects():
        key = one["Key"]
        if not (key.endswith("/") and one["Size"] == 0):  # else what some programs make for a folder
            yield s3_file(root.bucket, key, one["LastModified"].timestamp(), one["Size"], below=start)


def s3_file(bucket: str, key: str, modified: float, length: int, *, below: int = 0) -> FoundFile:
    """An object as a version; `modified` in seconds since 1970, `below` characters of the key name the root."""
    parts = key[below:].split("/")
    hidden = any(part.startswith((".", "_")) for part in parts)
    return FoundFile(int(modified) * 1_000_000, f"s3a://{bucket}/{key}", length, hidden)


def _listed_files(root: Path) -> Iterator[FoundFile]:
    def walk(folder: str, is_hidden: bool) -> Iterator[FoundFile]:
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except FileNotFoundError:
            return
        for entry in found:
            hidden = is_hidden or entry.name.startswith((".", "_"))
            try:
                if entry.is_dir():
                    yield from walk(entry.path, hidden)
                elif entry.is_file():
                    yield _version(entry.path, entry.stat(), hidden)
            except FileNotFoundError:
                continue

    yield from walk(str(root), False)


def _version(path: str, stat: os.stat_result, is_hidden: bool) -> FoundFile:
    name = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return FoundFile(stat.st_mtime_ns // 1000, f"file://{name}", stat.st_size, is_hidden)


def of_head(place: S3Path, head: Mapping[str, Any], *, below: int = 0) -> FoundFile:
    """The version that the answer to a HEAD of the object tells of; `below` as `s3_file` has it."""
    return s3_file(place.bucket, place.key, head["LastModified"].timestamp(), head["ContentLength"], below=below)


def version_of(place: Location) -> FoundFile | None:
    """The version that is at the place; None if it is gone. One HEAD on S3."""
    if isinstance(place, S3Path):
        head = place.head()
        return None if head is None else of_head(place, head)
    try:
        return _version(str(place), place.stat(), False)
    except OSError:
        return None


def is_still_there(file: FoundFile) -> bool:
    """Whether the URI still holds this very version."""
    now = version_of(place_of(file.uri))
    return now is not None and now.key == file.key


def still_there(files: Collection[FoundFile]) -> list[bool]:
    """The same of each file, in order."""
    return each(is_still_there, files)


def read_first(place: Location, size: int) -> bytes:
    """The first bytes of a file, no more than these from S3; raises OSError if it cannot be read."""
    if isinstance(place, S3Path):
        return place.read_first(size)
    with place.open("rb", buffering=0) as file:
        return file.read(size)


def head(uri: str, size: int = 10) -> bytes:
    """The first bytes of a file; none if it is gone."""
    try:
        return read_first(place_of(uri), size)
    except OSError:
        return b""


def open_binary(uri: str) -> BinaryIO:
    """The bytes of a file, to be read from the front."""
    place = place_of(uri)
    return place.open() if isinstance(place, S3Path) else place.open("rb")


def remove(folder: Location) -> None:
    """Take away the folder and all in it; nothing if it is not there."""
    if isinstance(folder, S3Path):
        folder.remove()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def place_of(uri: str) -> Location:
    """The file that a decoded `file:///…` or `s3a://…` URI names."""
    return S3Path.of_object(uri) if uri.startswith(s3.SCHEMES) else Path(uri.removeprefix("file://"))


def each(asked: Callable[[_Asked], _Told], items: Collection[_Asked]) -> list[_Told]:
    """`asked` of every item, in order, of several at once: on S3 each waits for the network most of its time."""
    with ThreadPoolExecutor(max(1, min(s3.MOST_CONNECTIONS, len(items)))) as pool:
        return list(pool.map(asked, items))
