"""Folders as the stream sees them: which object versions are there, and their bytes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from conf.errors import ConfigurationError


@dataclass(frozen=True, slots=True, order=True)
class FoundFile:
    """One object version: the same URI with another time or length is another version."""

    modified_micros: int
    """Modification time, microseconds since 1970-01-01 UTC."""
    uri: str
    """Decoded, `file:///…`."""
    length: int
    """Bytes as stored."""
    is_hidden: bool = False
    """Whether the name, or a folder's on the way below the root, begins with `.` or `_`."""

    @property
    def key(self) -> str:
        """What makes it this version, as text."""
        return f"{self.uri}\n{self.modified_micros}\n{self.length}"


def local_path(location: str) -> Path:
    """The folder or file that a path or `file:` URI names; other schemes are refused."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if "://" in location:
        raise ConfigurationError(
            f"`{location}`: only folders of this machine can be read and written yet; give a path or a file: URI."
        )
    return Path(location).absolute()


def path_of(uri: str) -> str:
    """The local path of a decoded `file:///…` URI."""
    return uri.removeprefix("file://")


def list_files(root: Path) -> Iterator[FoundFile]:
    """Every file below `root`, hidden ones too; links are followed. What vanishes meanwhile is left out."""

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


def is_still_there(file: FoundFile) -> bool:
    """Whether the URI still holds this very version."""
    try:
        stat = os.stat(path_of(file.uri))
    except OSError:
        return False
    return (stat.st_mtime_ns // 1000, stat.st_size) == (file.modified_micros, file.length)


def head(uri: str, size: int = 10) -> bytes:
    """The first bytes of a file; none if it is gone."""
    try:
        with open(path_of(uri), "rb", buffering=0) as file:
            return file.read(size)
    except OSError:
        return b""


def open_binary(uri: str) -> BinaryIO:
    """The bytes of a file, to be read from the front."""
    return open(path_of(uri), "rb")
