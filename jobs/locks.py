"""Who may write: locks on files of a folder that the operating system releases, also after `kill -9`."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from conf.errors import ConfigurationError


def only_loader(warehouse: Path, provider: str) -> AbstractContextManager[None]:
    """Be the only loader of a provider's files into this warehouse; another is refused at once."""
    remedy = "stop it, or give this one another --warehouse"
    return _only(warehouse, f"loader-{provider}", f"Another loader of {provider}", remedy)


def only_replay(warehouse: Path) -> AbstractContextManager[None]:
    """Be the only replay of this warehouse's quarantine; another is refused at once."""
    return _only(warehouse, "replay", "Another replay", "start again when it has ended")


def only_builder(warehouse: Path) -> AbstractContextManager[None]:
    """Be the only one who builds this warehouse's summaries; another is refused at once."""
    return _only(warehouse, "summaries", "Another build_summaries", "start again when it has ended")


def writing_events(warehouse: Path) -> AbstractContextManager[None]:
    """Hold back every other writer of `events` from looking for duplicates until the commit.

    Blind appends never conflict in Delta: without this, two writers that look at the same time both add an event.
    """
    return writing(warehouse, "events")


def writing(warehouse: Path, table: str) -> AbstractContextManager[None]:
    """Hold back every other writer of a table of which rows are changed, not only added.

    Delta lets a merge fail if another commit comes between its reading and its own, be it a blind append.
    """
    return alone(warehouse, table)


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Do what nobody else does in the folder under this name meanwhile; wait until they have done it."""
    with _opened(folder, name) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _only(warehouse: Path, name: str, who: str, remedy: str) -> Iterator[None]:
    with _opened(warehouse, name) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 20, 0).decode() or "unknown"
            raise ConfigurationError(f"{who} (process {holder}) is at work on {warehouse}: {remedy}.") from None
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[int]:
    locks = folder / "_locks"
    locks.mkdir(parents=True, exist_ok=True)
    file = os.open(locks / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield file
    finally:
        os.close(file)
