"""The stream's source: the list of new object versions, as a Spark data source.

Spark logs the offset, which carries the list itself, before a batch runs, and hands the same list back after a
crash: that is the exactly-once file log. What was taken before is known from the `files` ledger. How new versions
are come by is left to a reader: this one lists, that of jobs/notifications.py is told.
"""

import hashlib
import json
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSource, SimpleDataSourceStreamReader
from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from jobs.archive import archive_of
from jobs.crash_points import reached
from jobs.storage import FoundFile, list_files, location

if TYPE_CHECKING:  # else each Python process that Spark starts for a stream imports it: see jobs/s3.py
    from conf.settings import DiscoverySettings

Offset = dict[str, Any]
DIGEST_BYTES = 16


def digest(key: str) -> bytes:
    """An object version as 16 bytes, so that millions of them fit in memory (about 120 bytes each)."""
    return hashlib.md5(key.encode(), usedforsecurity=False).digest()


class FoundFiles(DataSource):
    """New object versions below the option `root`, oldest first, a bounded number per batch.

    Options: `root`, a folder; `seen`, a file of 16-byte digests of versions taken before; `max_files` and
    `max_bytes` of a batch (one file is always taken); `start_from`, microseconds since 1970; `date_folders`, `days` and
    `reconcile_hours` as the settings have them, `archive` and `archive_to` too, each empty if there is none.
    """

    @classmethod
    def name(cls) -> str:
        """The name to give to `readStream.format`."""
        return "found_files"

    def schema(self) -> str:
        """One row per object version; `backlog` is the number of versions found but left for later batches."""
        return "uri string, modified_micros long, length long, is_hidden boolean, backlog long"

    def simpleStreamReader(self, schema: StructType) -> "NewFilesReader":
        """The reader, in a Python process of its own beside the driver."""
        return FoundFilesReader(dict(self.options))


class NewFilesReader(SimpleDataSourceStreamReader, SupportsTriggerAvailableNow):
    """Looks when nothing found is left over; a version once handed out is never handed out again.

    Spark sends readers from process to process and calls most of them for nothing but `readBetweenOffsets`.
    """

    def __init__(self, options: dict[str, str]) -> None:
        self.root = location(options["root"])
        self.max_files = int(options["max_files"])
        self.max_bytes = int(options["max_bytes"])
        seen = Path(options["seen"]).read_bytes()
        self.seen = {seen[i : i + DIGEST_BYTES] for i in range(0, len(seen), DIGEST_BYTES)}
        self.start_from = int(options["start_from"])
        self.archive = archive_of(options["archive"], options["archive_to"], self.root)
        self.pending: deque[FoundFile] = deque()
        self.done: int | None = None
        """The newest batch that is known to be done; None: none since this reader was made."""
        self.looks_again = True

    def look(self) -> Iterable[FoundFile]:
        """Versions that may be new, one of each URI; called when all that were handed out are committed."""
        raise NotImplementedError

    def committed(self, files: Collection[FoundFile]) -> None:
        """Told of versions that are in the ledger, and whose batch Spark knows to be done."""

    def initialOffset(self) -> Offset:
        """Before the first batch."""
        return {"batch": 0, "backlog": 0, "files": "[]"}

    def prepareForTriggerAvailableNow(self) -> None:
        """Take what is there now, and nothing that comes later."""
        self.find()
        self.looks_again = False

    def find(self) -> None:
        """Look, and let what is new wait for a batch, oldest first."""
        self.pending = deque(sorted(file for file in self.look() if self.is_wanted(file)))

    def is_wanted(self, file: FoundFile) -> bool:
        """Whether the version is neither left alone for its age nor handed out before."""
        return file.modified_micros >= self.start_from and digest(file.key) not in self.seen

    def read(self, start: Offset) -> tuple[Iterator[tuple[Any, ...]], Offset]:
        """The next batch after `start`; `start` itself if there is nothing new."""
        # Spark asks for what follows a batch only when that is done, in the run before a crash, too. `commit` would
        # come later: when a further batch is planned, which may be never.
        if start["batch"] != self.done:  # the same start comes again at each look until something is new
            files = _files(start)
            self.seen.update(digest(file.key) for file in files)
            self.committed(files)
            if self.archive:
                self.archive.take(files)
            self.done = start["batch"]
        if not self.pending and self.looks_again:
            self.find()
        taken: list[FoundFile] = []
        size = 0
        while self.pending and len(taken) < self.max_files:
            file = self.pending[0]
            if taken and size + file.length > self.max_bytes:
                break
            self.pending.popleft()
            if digest(file.key) in self.seen:  # taken by the batch that Spark ran again after a crash
                continue
            self.seen.add(digest(file.key))
            taken.append(file)
            size += file.length
        if not taken:
            return iter(()), start
        reached("files listed")
        listed = json.dumps([[f.modified_micros, f.uri, f.length, f.is_hidden] for f in taken])
        end = {"batch": int(start["batch"]) + 1, "backlog": len(self.pending), "files": listed}
        return _rows(end), end

    def readBetweenOffsets(self, start: Offset, end: Offset) -> Iterator[tuple[Any, ...]]:
        """The batch that Spark logged before a crash, again."""
        return _rows(end)

    def commit(self, end: Offset) -> None:
        """Called when Spark has written down that a batch is done; the ledger has known it before."""
        reached("checkpoint committed")


class FoundFilesReader(NewFilesReader):
    """Lists at each look: all that is there, or where files lie in folders of days, those of the last days."""

    def __init__(self, options: dict[str, str]) -> None:
        super().__init__(options)
        self.date_folders = options["date_folders"]
        self.days = int(options["days"])
        self.lists_all_after = float(options["reconcile_hours"] or "inf") * 3600
        self.listed_all_at: float | None = None
        """When everything was listed, on the clock of time.monotonic; None: not yet."""

    def look(self) -> Iterator[FoundFile]:
        """Every version below the root, or below the folders of the last days."""
        now, last = time.monotonic(), self.listed_all_at
        if not self.date_folders or last is None or now - last > self.lists_all_after:
            yield from list_files(self.root)
            self.listed_all_at = now  # once it has been listed to its end
            return
        for folder in folders_of(self.date_folders, datetime.now(UTC).date(), self.days):
            yield from list_files(self.root / folder)


def options_of(settings: "DiscoverySettings") -> dict[str, str]:
    """The options of a source that say which files are looked for, and what becomes of them."""
    return {
        "start_from": str(round(settings.start_from.timestamp() * 1_000_000) if settings.start_from else 0),
        "date_folders": settings.date_folders or "",
        "days": str(settings.days),
        "reconcile_hours": str(settings.reconcile_hours or ""),
        "archive": settings.archive or "",
        "archive_to": settings.archive_to or "",
    }


def folders_of(pattern: str, today: date, days: int) -> list[str]:
    """The folders of tomorrow, for clocks differ, of today and of the days before it; each once."""
    dates = [today + timedelta(days=1 - ago) for ago in range(days + 2)]
    return list(dict.fromkeys(day.strftime(pattern) for day in dates))


def _files(offset: Offset) -> list[FoundFile]:
    return [FoundFile(*entry) for entry in json.loads(offset["files"])]


def _rows(offset: Offset) -> Iterator[tuple[Any, ...]]:
    backlog = int(offset["backlog"])  # a list's iterator, for Spark pickles it
    return iter([(f.uri, f.modified_micros, f.length, f.is_hidden, backlog) for f in _files(offset)])
