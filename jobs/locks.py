"""Who may write: locks on files of the warehouse that the operating system releases, also after `kill -9`."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conf.errors import ConfigurationError


@contextmanager
def only_loader(warehouse: Path, provider: str) -> Iterator[None]:
    """Be the only loader of a provider's files into this warehouse; another is refused at once."""
    with _opened(warehouse, f"loader-{provider}") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 20, 0).decode() or "unknown"
            raise ConfigurationError(
                f"Another loader of {provider} (process {holder}) is at work on {warehouse}: stop it, "
                "or give this one another --warehouse."
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield


@contextmanager
def writing_events(warehouse: Path) -> Iterator[None]:
    """Hold back every other writer of `events` from looking for duplicates until the commit.

    Blind appends never conflict in Delta: without this, two writers that look at the same time both add an event.
    """
    with _opened(warehouse, "events") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(warehouse: Path, name: str) -> Iterator[int]:
    folder = warehouse / "_locks"
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield file
    finally:
        os.close(file)
