"""The project's code as one zip, for executors and platforms that have no copy of it."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

PACKAGES = ("conf", "jobs", "schemas", "transforms")
_KINDS = (".py", ".yaml")
_SAME_FOR_ALL = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can state: its bytes are then the same whoever makes it, whenever."""


def zip_of(project: Path, folder: Path) -> Path:
    """The zip of the code of `project`, made below `folder` if it is not there: its name is the checksum of the code.

    So a job at work keeps the code that it began with, whatever is changed meanwhile.
    """
    code = dict(_code(project))
    checksum = hashlib.sha256()
    for name, content in code.items():
        checksum.update(f"{name}\0{len(content)}\0".encode() + content)
    path = folder / f"emailevents-{checksum.hexdigest()[:16]}.zip"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, suffix=".partial", delete=False) as partial:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in code.items():
                    entry = zipfile.ZipInfo(name, _SAME_FOR_ALL)
                    entry.external_attr = 0o644 << 16
                    archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
            Path(partial.name).chmod(0o644)
        os.replace(partial.name, path)  # another job may make the same one
    return path


def _code(project: Path) -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in sorted((project / package).rglob("*")):
            if path.suffix in _KINDS and path.is_file():
                yield path.relative_to(project).as_posix(), path.read_bytes()
