"""One micro-batch: from a list of object versions to committed tables."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from conf.settings import Settings
from jobs import tables
from jobs.crash_points import reached
from jobs.locks import writing_events
from jobs.odd_files import GZIP_MAGIC, ODD_LINES, read_files
from jobs.providers import Provider
from jobs.storage import FoundFile, head, is_still_there, open_binary
from schemas.events import EVENTS
from schemas.files import FILES, FileStatus
from schemas.quarantine import QUARANTINE, Reason
from transforms.events import DayRange, duplicates, repeated, within
from transforms.records import Limits, is_foreign, raw_lines
from transforms.states import newest

_OTHER_FORMATS = (".zip", ".snappy", ".parquet", ".orc", ".avro", ".bz2", ".zst", ".lz4", ".deflate", ".xz")
"""Names of which Spark would decompress or refuse the content: our reader looks at the bytes instead."""
_GLOB_CHARACTERS = set("{}[]*?\\")
_MANY_DUPLICATES = 2000
_MANY_DAYS = 14


@dataclass(slots=True)
class Line:
    """A file's line of the ledger while it is made."""

    file: FoundFile
    data_set: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    status: FileStatus = FileStatus.OK
    reason: str | None = None
    starts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Per block of the file: its least `place`, and how many rows lie in the blocks before."""


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """What a batch did, for the operator."""

    provider: str
    batch: int
    files: int
    records: int
    new: int
    duplicate: int
    quarantined: int
    control: int
    seconds: float
    backlog: int


@dataclass(kw_only=True)
class BatchLoader:
    """Loads the batches of one provider's query.

    The same batch twice is harmless: Delta skips commits that were made, rows of the batch's own count as new, and
    the rows are the same, for each file is read only while it is the very version that was listed.
    """

    spark: SparkSession
    settings: Settings
    warehouse: Path
    provider: Provider
    checkpoint_id: str
    is_first: bool = True

    def load(self, found: Sequence[Row], number: int) -> BatchReport:
        """Read the files of the batch and commit `events`, `quarantine` and `files`, in this order."""
        reached("files listed")
        began = time.monotonic()
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
                with writing_events(self.warehouse):
                    self._append_new(rows, ranges, lines, writer, batch_id, etl)
            if rows is not None:
                self._keep_newest(rows, ranges, lines, etl)
            if rows is not None and any(line.counts["quarantined"] for line in lines.values()):
                writer.append(_quarantined(rows, lines).withColumns(etl), QUARANTINE)
                reached("quarantine committed")
            if self.is_first:
                self._count_own_rows(lines, batch_id)
            writer.append(self._ledger(lines, batch_id, loaded_at), FILES)
            reached("ledger committed")
        finally:
            if rows is not None:
                _release(rows)
        self.is_first = False
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
            seconds=round(time.monotonic() - began, 3),
            backlog=found[0].backlog if found else 0,
        )

    # -- reading -------------------------------------------------------------------------------------------------

    def _read(self, lines: dict[str, Line], loaded_at: datetime) -> tuple[DataFrame | None, list[DayRange]]:
        """The batch's rows, parsed once and kept, with `lines` counted; None if no file is to be read.

        Odd files show while they are read: the batch is then read again with these given to our own reader.
        """
        odd: set[str] = set()
        for line in lines.values():
            if line.file.is_hidden:
                line.status, line.reason = FileStatus.SKIPPED, "hidden: the name begins with . or _"
            elif line.data_set is None:
                line.status, line.reason = FileStatus.SKIPPED, f"no name of a {self.provider.name} file"
            elif line.file.length == 0:
                line.status, line.reason = FileStatus.EMPTY, "no byte in it"
            elif _looks_odd(line.file.uri):
                odd.add(line.file.uri)
        while True:
            for line in lines.values():
                if line.status is FileStatus.OK and not is_still_there(line.file):
                    line.status = FileStatus.NOT_READABLE
                    line.reason = "gone or replaced before it was read"
            readable = [uri for uri, line in lines.items() if line.status is FileStatus.OK]
            if not readable:
                return None, []
            rows = self._rows([u for u in readable if u not in odd], [u for u in readable if u in odd], loaded_at)
            try:
                counted = _count(rows)
            except Exception as problem:
                _release(rows)
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
                _release(rows)
                odd |= newly_odd
                continue
            return rows, _take_counts(counted, lines)

    def _rows(self, ordinary: list[str], odd: list[str], loaded_at: datetime) -> DataFrame:
        # To the hour: a literal that changed with every batch would make Spark compile the plan's code anew.
        latest = loaded_at.replace(minute=0, second=0, microsecond=0) + timedelta(
            hours=1, days=self.settings.latest_event_time_days_after_load
        )
        limits = Limits(
            max_record_bytes=int(self.settings.max_record_bytes),
            earliest=self.settings.earliest_event_time,
            latest=latest,
        )
        parts: list[DataFrame] = []
        if ordinary:
            parts.extend(raw_lines(text) for text in read_text(self.spark, ordinary))
        if odd:
            uris = self.spark.createDataFrame(pa.table({"uri": odd})).repartition(min(len(odd), 16))
            read = read_files(open_binary, int(self.settings.max_record_bytes))
            parts.append(uris.mapInArrow(read, ODD_LINES).withColumn("value", F.col("value").cast("string")))
        lines = reduce(DataFrame.unionByName, parts)
        return self.provider.parser(self.settings)(lines, limits).localCheckpoint(eager=False)

    # -- writing -------------------------------------------------------------------------------------------------

    def _append_new(
        self,
        rows: DataFrame,
        ranges: list[DayRange],
        lines: dict[str, Line],
        writer: tables.Writer,
        batch_id: str,
        etl: dict[str, Any],
    ) -> None:
        """Add the events that are not there yet, and count those that are."""
        events = tables.read(self.spark, self.warehouse, EVENTS)
        known = events.where(within(ranges) & (F.col("batch_id") != batch_id)).select("event_id")
        found = repeated(rows, known).toArrow()
        again = pa.table({"filename": [], "place": []})
        if found.num_rows:
            again = duplicates(rows, self.spark.createDataFrame(found)).toArrow()
        for filename, count in Counter(again.column("filename").to_pylist()).items():
            lines[filename].counts["duplicate"] = count
        reached("duplicates found")
        new = rows.where(F.col("event_id").isNotNull())
        total = sum(line.counts["events"] for line in lines.values())
        if again.num_rows == total:
            return
        if again.num_rows > _MANY_DUPLICATES:
            places = self.spark.createDataFrame(pa.table({"place": again.column("place")}))
            new = new.join(F.broadcast(places), "place", "left_anti")
        elif again.num_rows:
            new = new.where(~F.col("place").isin(again.column("place").to_pylist()))
        if len(ranges) > _MANY_DAYS:  # else each task would leave a small file per day
            new = new.repartition("event_date")
        writer.append(new.withColumns(etl), EVENTS)
        reached("events committed")

    def _keep_newest(
        self, rows: DataFrame, ranges: list[DayRange], lines: dict[str, Line], etl: dict[str, Any]
    ) -> None:
        """Bring the provider's tables of newest versions up to date; the same versions again change nothing."""
        filled = {line.data_set for line in lines.values() if line.data_set and line.counts["accepted"]}
        for contract in {table.name: table for name, table in self.provider.states.items() if name in filled}.values():
            versions = rows.where(F.col(contract.name).isNotNull()).select(f"{contract.name}.*").withColumns(etl)
            days = [r.day for r in ranges] if contract.partitioned_by else []
            tables.upsert(self.spark, self.warehouse, newest(versions, contract), contract, days)
            reached(f"{contract.name} committed")

    def _count_own_rows(self, lines: dict[str, Line], batch_id: str) -> None:
        """Of a batch that runs again: what was committed of files that have gone since."""
        gone = [u for u, line in lines.items() if line.reason and line.reason.startswith("gone")]
        if not gone:
            return
        for contract, outcome in ((EVENTS, "accepted"), (QUARANTINE, "quarantined")):
            own = tables.read(self.spark, self.warehouse, contract).where(F.col("batch_id") == batch_id)
            for row in own.where(F.col("filename").isin(gone)).groupBy("filename").count().collect():
                counts = lines[row.filename].counts
                counts["records"] += row["count"]
                counts[outcome] += row["count"]
                counts["events"] += row["count"] if contract is EVENTS else 0

    def _ledger(self, lines: dict[str, Line], batch_id: str, loaded_at: datetime) -> DataFrame:
        def row(line: Line) -> dict[str, Any]:
            c = line.counts
            return {
                "filename": line.file.uri,
                "provider": self.provider.name,
                "data_set": line.data_set or None,
                "modified_at": line.file.modified_micros,
                "length_bytes": line.file.length,
                "records": c["records"],
                "accepted": c["accepted"],
                "quarantined": c["quarantined"],
                "control": c["control"],
                "events": c["events"],
                "events_new": c["events"] - c["duplicate"],
                "events_duplicate": c["duplicate"],
                "status": line.status.value,
                "reason": line.reason,
                "batch_id": batch_id,
                "etl_time": int(loaded_at.timestamp() * 1_000_000),
            }

        return self.spark.createDataFrame(pa.Table.from_pylist([row(x) for x in lines.values()], _arrow_ledger()))


def _release(rows: DataFrame) -> None:
    """Give back the memory of rows kept by `localCheckpoint`, for which PySpark has no call of its own."""
    rows._jdf.queryExecution().analyzed().rdd().unpersist(False)


def _looks_odd(uri: str) -> bool:
    """Whether Spark's own reader would misread the file: name and first bytes disagree, or it is no text."""
    start = head(uri)
    is_gzip = start.startswith(GZIP_MAGIC)
    return uri.lower().endswith(_OTHER_FORMATS) or is_gzip != uri.endswith(".gz") or (is_foreign(start) and not is_gzip)


def _arrow_ledger() -> pa.Schema:
    kinds = {"string": pa.string(), "bigint": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
    return pa.schema([(f.name, kinds[f.dataType.simpleString()]) for f in FILES.schema.fields])


def read_text(spark: SparkSession, uris: Sequence[str]) -> list[DataFrame]:
    """Spark's text source over files named one by one, split at LF only; names are no globs.

    Names that look like globs are read apart: told not to expand them, Spark reads every other path of the same call
    twice (seen with 4.2.0).
    """
    like_globs = [uri for uri in uris if _GLOB_CHARACTERS & set(uri)]
    others = [uri for uri in uris if not _GLOB_CHARACTERS & set(uri)]
    reader = spark.read.format("text").option("lineSep", "\n").option("__globPaths__", "false")
    return [reader.load([uri.replace("file://", "file:", 1) for uri in part]) for part in (others, like_globs) if part]


def _count(rows: DataFrame) -> list[Row]:
    """Keep the rows, and count them per file, block, outcome and day in the same pass."""
    cut_off = F.col("reason") == Reason.CUT_OFF.value
    return (
        rows.groupBy("filename", "block", "outcome", "event_date", "odd", "failure", cut_off.alias("cut_off"))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.min("place").alias("start"),
            F.min("event_time").alias("first"),
            F.max("event_time").alias("last"),
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
        block = (r.filename, r.block)
        sizes[block] += r.rows
        starts[block] = min(starts.get(block, r.start), r.start)
        if r.cut_off:
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
