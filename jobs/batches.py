"""One micro-batch: from a list of object versions to committed tables."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from conf.settings import Settings
from jobs import tables
from jobs.crash_points import reached
from jobs.failures import again_if_lost
from jobs.keeping import release
from jobs.ledger import Line, to_ledger
from jobs.locks import writing
from jobs.progress import BatchReport
from jobs.providers import Provider, limits_of
from jobs.reading import lines_of, odd_among
from jobs.recovery import rows_by_file
from jobs.sinks import append_new, keep_newest
from jobs.storage import FoundFile, Location, still_there
from schemas.files import FILES, FileStatus
from schemas.quarantine import QUARANTINE, Reason
from transforms.events import DayRange

_GONE = "gone or replaced before it was read"


@dataclass(kw_only=True)
class BatchLoader:
    """Loads the batches of one provider's query.

    The same batch twice is harmless: Delta skips commits that were made, rows of the batch's own count as new, and
    the rows are the same, for each file is read only while it is the very version that was listed.
    """

    spark: SparkSession
    settings: Settings
    warehouse: Location
    provider: Provider
    checkpoint_id: str
    may_be_begun: bool = True
    """Whether some of the batch may be committed: by a process that ended, or before an executor was lost."""

    def load(self, found: Sequence[Row], number: int) -> BatchReport:
        """Read the files of the batch and commit `events`, `quarantine` and `files`, in this order."""
        return again_if_lost(lambda: self._load(found, number), f"{self.provider.name} batch {number}")

    def _load(self, found: Sequence[Row], number: int) -> BatchReport:
        reached("batch planned")
        began = time.monotonic()
        may_be_begun, self.may_be_begun = self.may_be_begun, True
        batch_id = f"{self.checkpoint_id}-{number}"
        loaded_at = datetime.now(UTC)
        writer = tables.Writer(
            warehouse=self.warehouse, app_id=f"{self.checkpoint_id}-{self.provider.name}", batch=number
        )
        files = [FoundFile(r.modified_micros, r.uri, r.length, r.is_hidden) for r in found]
        lines = {f.uri: Line(f, self.provider.data_set_of(f.uri.rsplit("/", 1)[-1])) for f in files}
        rows, ranges = self._read(lines, loaded_at)
        reached("records parsed")
        try:
            etl = {"etl_time": F.lit(loaded_at), "batch_id": F.lit(batch_id)}
            if rows is not None and ranges:
                events = sum(line.counts["events"] for line in lines.values())
                for filename, count in append_new(rows, ranges, events, writer, batch_id, etl, _gone(lines)).items():
                    lines[filename].counts["duplicate"] = count
            if rows is not None:
                filled = [x.data_set for x in lines.values() if x.data_set and x.counts["accepted"]]
                states, histories = self.provider.states_of(filled), self.provider.histories
                keep_newest(rows, states, histories, self.warehouse, etl)
            if rows is not None and any(line.counts["quarantined"] for line in lines.values()):
                with writing(self.warehouse, QUARANTINE.name):  # replay merges into it
                    writer.append(_quarantined(rows, lines).withColumns(etl), QUARANTINE)
                reached("quarantine committed")
            if may_be_begun:
                self._count_own_rows(lines, batch_id)
            writer.append(to_ledger(self.spark, lines.values(), self.provider.name, batch_id, loaded_at), FILES)
            reached("ledger committed")
        finally:
            if rows is not None:
                release(rows)
        reached("rows released")
        self.may_be_begun = False
        total: Counter[str] = sum((line.counts for line in lines.values()), Counter())
        return BatchReport(
            provider=self.provider.name,
            batch=number,
            files=len(lines),
            records=total["records"],
            new=total["events"] - total["duplicate"],
            duplicate=total["duplicate"],
            quarantined=total["quarantined"],
            control=total["control"],
            reasons=dict(sum((line.reasons for line in lines.values()), Counter())),
            seconds=round(time.monotonic() - began, 3),
            backlog=found[0].backlog if found else 0,
        )

    # -- reading -------------------------------------------------------------------------------------------------

    def _read(self, lines: dict[str, Line], loaded_at: datetime) -> tuple[DataFrame | None, list[DayRange]]:
        """The batch's rows, parsed once and kept, with `lines` counted; None if no file is to be read.

        Odd files show while they are read: the batch is then read again with these given to our own reader.
        """
        for line in lines.values():
            if line.file.is_hidden:
                line.status, line.reason = FileStatus.SKIPPED, "hidden: the name begins with . or _"
            elif line.data_set is None:
                line.status, line.reason = FileStatus.SKIPPED, f"no name of a {self.provider.name} file"
            elif line.file.length == 0:
                line.status, line.reason = FileStatus.EMPTY, "no byte in it"
        odd = odd_among(_wanted(lines))
        while True:
            files = [lines[uri].file for uri in _wanted(lines)]
            for file, is_there in zip(files, still_there(files), strict=True):
                if not is_there:
                    lines[file.uri].status, lines[file.uri].reason = FileStatus.NOT_READABLE, _GONE
            readable = _wanted(lines)
            if not readable:
                return None, []
            rows = self._rows([u for u in readable if u not in odd], [u for u in readable if u in odd], loaded_at)
            try:
                counted = _count(rows)
            except Exception as problem:
                release(rows)
                text = str(problem)
                if isinstance(problem, AnalysisException) and "PATH_NOT_FOUND" in text:
                    continue
                if "FAILED_READ_FILE" not in text or set(readable) <= odd:
                    raise
                # Where one gzip breaks others may: Spark names only the first, and each would cost a reading.
                suspects = {u for u in readable if u.endswith(".gz") or f"reading file {u}." in text} - odd
                odd |= suspects or set(readable)
                continue
            if newly_odd := {r.filename for r in counted if r.odd and r.filename not in odd}:
                release(rows)
                odd |= newly_odd
                continue
            return rows, _take_counts(counted, lines)

    def _rows(self, ordinary: list[str], odd: list[str], loaded_at: datetime) -> DataFrame:
        lines = lines_of(self.spark, ordinary, odd, int(self.settings.max_record_bytes))
        parse = self.provider.parser(self.settings)
        return parse(lines, limits_of(self.settings, loaded_at)).localCheckpoint(eager=False)

    # -- writing -------------------------------------------------------------------------------------------------

    def _count_own_rows(self, lines: dict[str, Line], batch_id: str) -> None:
        """Of a batch that runs again: what was committed of files that have gone since."""
        gone = _gone(lines)
        if not gone:
            return
        own = rows_by_file(self.spark, self.warehouse, batch_id)
        for uri in gone:
            lines[uri].counts.update(own.get(uri, {}))


def _wanted(lines: dict[str, Line]) -> list[str]:
    """The files that are still to be read."""
    return [uri for uri, line in lines.items() if line.status is FileStatus.OK]


def _gone(lines: dict[str, Line]) -> list[str]:
    """The files that were gone or replaced before they were read."""
    return [uri for uri, line in lines.items() if line.reason == _GONE]


def _count(rows: DataFrame) -> list[Row]:
    """Keep the rows, and count them per file, block, outcome and day in the same pass."""
    return (
        rows.groupBy("filename", "block", "outcome", "reason", "event_date", "odd", "failure")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.min("place").alias("start"),
            F.unix_micros(F.min("event_time")).alias("first"),
            F.unix_micros(F.max("event_time")).alias("last"),
        )
        .collect()
    )


def _take_counts(counted: list[Row], lines: dict[str, Line]) -> list[DayRange]:
    """Write the counts into the ledger's lines; the days of the batch's events with their first and last time."""
    days: dict[Any, DayRange] = {}
    sizes: Counter[tuple[str, int]] = Counter()
    starts: dict[tuple[str, int], int] = {}
    for r in counted:
        line = lines[r.filename]
        if r.failure is not None:
            line.status, line.reason = FileStatus.NOT_READABLE, r.failure
            continue
        if r.outcome is not None:  # else one more event of a record counted before
            line.counts["records"] += r.rows
            line.counts[r.outcome] += r.rows
            if r.reason is not None:
                line.reasons[r.reason] += r.rows
        block = (r.filename, r.block)
        sizes[block] += r.rows
        starts[block] = min(starts.get(block, r.start), r.start)
        if r.reason == Reason.CUT_OFF:
            line.status, line.reason = FileStatus.CUT_OFF, "breaks while it is read"
        if r.event_date is not None:
            line.counts["events"] += r.rows
            seen = days.get(r.event_date, DayRange(r.event_date, r.first, r.last))
            days[r.event_date] = DayRange(r.event_date, min(seen.first, r.first), max(seen.last, r.last))
    before: Counter[str] = Counter()
    for filename, block_start in sorted(starts):
        lines[filename].starts[block_start] = (starts[filename, block_start], before[filename])
        before[filename] += sizes[filename, block_start]
    for line in lines.values():
        if line.status is FileStatus.OK and not line.counts["records"]:
            line.status, line.reason = FileStatus.EMPTY, "no record in it"
    return [days[day] for day in sorted(days)]


def _quarantined(rows: DataFrame, lines: dict[str, Line]) -> DataFrame:
    """The batch's rows of `quarantine`, each with its position in the file."""
    table = [
        (uri, block, start, before, line.file.modified_micros, line.file.length)
        for uri, line in lines.items()
        if line.counts["quarantined"]
        for block, (start, before) in line.starts.items()
    ]
    names = ("filename", "block", "start", "before", "file_modified_at", "file_length_bytes")
    places = rows.sparkSession.createDataFrame(
        pa.table(dict(zip(names, (list(c) for c in zip(*table, strict=True)), strict=True)))
    )
    bad = rows.where(F.col("outcome") == "quarantined").where(F.col("failure").isNull())
    return bad.join(F.broadcast(places), ["filename", "block"], "inner").select(
        "record",
        "record_length",
        "record_sha256",
        "filename",
        F.timestamp_micros("file_modified_at").alias("file_modified_at"),
        "file_length_bytes",
        (F.col("place") - F.col("start") + F.col("before")).alias("position"),
        "provider",
        "reason",
        "detail",
        F.lit(None).cast("timestamp").alias("replayed_at"),
        F.lit(None).cast("string").alias("replay_outcome"),
    )
