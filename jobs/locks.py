"""Who may write: locks that a crash releases without hand-work.

In a folder of this machine the operating system does it, also after `kill -9`; on S3 they are leases.
"""

import fcntl
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from conf.errors import ConfigurationError
from jobs import s3
from jobs.leases import HeldError, lease
from jobs.s3 import S3Path
from jobs.storage import Location

_of_threads: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def only_loader(warehouse: Location, provider: str) -> AbstractContextManager[None]:
    """Be the only loader of a provider's files into this warehouse; another is refused at once."""
    remedy = "stop it, or give this one another --warehouse"
    return _only(warehouse, f"loader-{provider}", f"Another loader of {provider}", remedy)


def only_replay(warehouse: Location) -> AbstractContextManager[None]:
    """Be the only replay of this warehouse's quarantine; another is refused at once."""
    return _only(warehouse, "replay", "Another replay", "start again when it has ended")


def only_builder(warehouse: Location) -> AbstractContextManager[None]:
    """Be the only one who builds this warehouse's summaries; another is refused at once."""
    return _only(warehouse, "summaries", "Another build_summaries", "start again when it has ended")


def only_maintenance(warehouse: Location) -> AbstractContextManager[None]:
    """Be the only maintain_tables of this warehouse; another is refused at once."""
    return _only(warehouse, "maintenance", "Another maintain_tables", "start again when it has ended")


def writing_events(warehouse: Location) -> AbstractContextManager[None]:
    """Hold back every other writer of `events` from looking for duplicates until the commit.

    Blind appends never conflict in Delta: without this, two writers that look at the same time both add an event.
    """
    return writing(warehouse, "events")


def writing(warehouse: Location, table: str) -> AbstractContextManager[None]:
    """Hold back every other writer of a table of which rows are changed, not only added.

    Delta lets a merge fail if another commit comes between its reading and its own, be it a blind append.
    """
    return alone(warehouse, table)


@contextmanager
def alone(folder: Location, name: str) -> Iterator[None]:
    """Do what nobody else does in the folder under this name meanwhile; wait until they have done it."""
    if isinstance(folder, S3Path):
        # Where only one job may write at all, only its own threads can be in each other's way.
        with lease(_on_s3(folder, name), waits=True) if s3.in_use().conditional_put else _of_threads[name]:
            yield
        return
    with _opened(folder, name) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _only(warehouse: Location, name: str, who: str, remedy: str) -> Iterator[None]:
    if isinstance(warehouse, S3Path):
        s3.refuse_without_conditions(warehouse)
        # Where nothing keeps two writers of a table apart, there is one writer of all of them.
        of = _on_s3(warehouse, name if s3.in_use().conditional_put else "writer")
        with ExitStack() as held:
            try:
                held.enter_context(lease(of, waits=False))
            except HeldError as held_by:
                raise _refused(who, str(held_by), warehouse, remedy) from None
            yield
        return
    with _opened(warehouse, name) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 20, 0).decode() or "unknown"
            raise _refused(who, f"process {holder}", warehouse, remedy) from None
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield


def _refused(who: str, holder: str, warehouse: Location, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"{who} ({holder}) is at work on {warehouse}: {remedy}.")


def _on_s3(folder: S3Path, name: str) -> S3Path:
    return folder / "_locks" / f"{name}.lock"


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[int]:
    locks = folder / "_locks"
    locks.mkdir(parents=True, exist_ok=True)
    file = os.open(locks / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield file
    finally:
        os.close(file)
