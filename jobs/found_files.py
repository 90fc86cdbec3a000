"""The stream's source: the list of new object versions, as a Spark data source.

Spark logs the offset, which carries the list itself, before a batch runs, and hands the same list back after a
crash: that is the exactly-once file log. What was taken before is known from the `files` ledger.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyspark.sql.datasource import DataSource, SimpleDataSourceStreamReader
from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from jobs.crash_points import reached
from jobs.storage import FoundFile, list_files, location

Offset = dict[str, Any]
DIGEST_BYTES = 16


def digest(key: str) -> bytes:
    """An object version as 16 bytes, so that millions of them fit in memory (about 120 bytes each)."""
    return hashlib.md5(key.encode(), usedforsecurity=False).digest()


class FoundFiles(DataSource):
    """New object versions below the option `root`, oldest first, a bounded number per batch.

    Options: `root`, a folder; `seen`, a file of 16-byte digests of versions taken before; `max_files` and
    `max_bytes` of a batch (one file is always taken); `once`, true to look only at the start.
    """

    @classmethod
    def name(cls) -> str:
        """The name to give to `readStream.format`."""
        return "found_files"

    def schema(self) -> str:
        """One row per object version; `backlog` is the number of versions found but left for later batches."""
        return "uri string, modified_micros long, length long, is_hidden boolean, backlog long"

    def simpleStreamReader(self, schema: StructType) -> "FoundFilesReader":
        """The reader, in a Python process of its own beside the driver."""
        return FoundFilesReader(dict(self.options))


class FoundFilesReader(SimpleDataSourceStreamReader, SupportsTriggerAvailableNow):
    """Lists when nothing found is left over; a version once handed out is never handed out again."""

    def __init__(self, options: dict[str, str]) -> None:
        self.root = location(options["root"])
        self.max_files = int(options["max_files"])
        self.max_bytes = int(options["max_bytes"])
        seen = Path(options["seen"]).read_bytes()
        self.seen = {seen[i : i + DIGEST_BYTES] for i in range(0, len(seen), DIGEST_BYTES)}
        self.pending: deque[FoundFile] = deque()
        self.looks_again = True

    def initialOffset(self) -> Offset:
        """Before the first batch."""
        return {"batch": 0, "backlog": 0, "files": "[]"}

    def prepareForTriggerAvailableNow(self) -> None:
        """Take what is there now, and nothing that comes later."""
        self._look()
        self.looks_again = False

    def read(self, start: Offset) -> tuple[Iterator[tuple[Any, ...]], Offset]:
        """The next batch after `start`; `start` itself if there is nothing new."""
        self.seen.update(digest(file.key) for file in _files(start))
        if not self.pending and self.looks_again:
            self._look()
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

    def _look(self) -> None:
        new = [file for file in list_files(self.root) if digest(file.key) not in self.seen]
        self.pending = deque(sorted(new))


def _files(offset: Offset) -> list[FoundFile]:
    return [FoundFile(*entry) for entry in json.loads(offset["files"])]


def _rows(offset: Offset) -> Iterator[tuple[Any, ...]]:
    backlog = int(offset["backlog"])  # a list's iterator, for Spark pickles it
    return iter([(f.uri, f.modified_micros, f.length, f.is_hidden, backlog) for f in _files(offset)])
