"""The files of tables: small ones put together, and those taken away that no version needs any more."""

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from delta import exceptions
from delta.tables import DeltaTable
from pydantic import ByteSize
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import tables
from jobs.crash_points import reached
from jobs.failures import cause
from jobs.locks import alone, writing
from jobs.storage import Location, version_of
from schemas.contract import TableContract
from schemas.events import EVENTS
from schemas.files import FILES

CONFLICTS = (
    exceptions.ConcurrentAppendException,
    exceptions.ConcurrentDeleteDeleteException,
    exceptions.ConcurrentDeleteReadException,
    exceptions.ConcurrentTransactionException,
    exceptions.ConcurrentWriteException,
    exceptions.DeltaConcurrentModificationException,
    exceptions.MetadataChangedException,
    exceptions.ProtocolChangedException,
)
"""What Delta raises if another commit came between; in Python they have no class in common."""
Day = date | None
"""A partition; None is that of rows without a day, and a table that has no partitions."""
_Told = TypeVar("_Told")
_ONLY_ADDED_TO = (EVENTS, FILES)
"""What only adds rows never conflicts with a compaction, so that neither needs to wait for the other."""
_MOST_FILES, _MOST_DAYS = 4, 100
"""What one commit makes at most, so that whoever waits for it waits for seconds and a kill costs no more."""
_ATTEMPTS = 4
PAUSE_SECONDS = 5.0
"""After a commit of another program that got in the way."""
_SAFE_HOURS = 168
"""Below it Delta refuses to remove files while its check is on."""


@dataclass(frozen=True)
class Files:
    """Data files of the newest version."""

    count: int = 0
    size: int = 0
    """Bytes of all."""

    def __add__(self, other: "Files") -> "Files":
        return Files(self.count + other.count, self.size + other.size)

    def fewest(self, target_bytes: int) -> int:
        """How many files of the target size would hold the same."""
        return max(1, math.ceil(self.size / target_bytes))

    def __str__(self) -> str:
        mean = ByteSize(self.size // max(1, self.count)).human_readable()
        return f"{self.count:,} {'file' if self.count == 1 else 'files'} of {mean}"


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """What was done to a table, or would be."""

    table: str
    before: Files
    after: Files
    """Of what would be done, the fewest that there can be."""
    parts: int
    """Partitions whose files were put together; 1 of a table without partitions."""
    removed: int
    """Old files that were taken away."""
    seconds: float
    failure: str | None = None
    """Why not all was done, in one line."""


def files_of(spark: SparkSession, warehouse: Location, contract: TableContract) -> Mapping[Day, Files]:
    """The data files of each partition."""
    found = tables.data_files(spark, warehouse, contract)
    rows = found.groupBy("day").agg(F.count(F.lit(1)).alias("files"), F.sum("size").alias("bytes")).collect()
    return {row.day: Files(row.files, row.bytes) for row in rows}


def scattered(found: Mapping[Day, Files], target_bytes: int) -> Mapping[Day, Files]:
    """The partitions that could do with half their files, newest first.

    Those alone are worth it: each time that a row is written again, the files of its partition are halved.
    """
    worth = {day: files for day, files in found.items() if files.count >= 2 * files.fewest(target_bytes)}
    return dict(sorted(worth.items(), key=lambda item: item[0] or date.min, reverse=True))


def compact(
    spark: SparkSession, warehouse: Location, contract: TableContract, target_bytes: int
) -> Iterator[Collection[Day]]:
    """Put the files of scattered partitions together, newest first; each commit's partitions once they are done.

    Rows stay what they are. Where several files are left, each holds a range of the columns by which queries prune.
    Commits of other programs that get in the way are waited for; raises one of CONFLICTS if they do so again and
    again.
    """
    done: set[Day] = set()
    sizes = ("spark.databricks.delta.optimize.maxFileSize", "spark.databricks.delta.optimize.minFileSize")
    with _configured(spark, {name: str(target_bytes) for name in sizes}):
        is_more = True
        while is_more:
            some, is_more = _insistently(partial(_compact_some, spark, warehouse, contract, target_bytes, done))
            if some:
                reached("table compacted")
                done |= some
                yield some


def _compact_some(
    spark: SparkSession, warehouse: Location, contract: TableContract, target_bytes: int, done: Collection[Day]
) -> tuple[set[Day], bool]:
    """What one commit put together, and whether there was more than it takes."""
    with _writing(warehouse, contract):  # the files are looked at here: who was waited for may have done it
        found = scattered(files_of(spark, warehouse, contract), target_bytes)
        left = [(day, files) for day, files in found.items() if day not in done]
        some = _first(left, target_bytes)
        if not some:
            return set(), False
        command = DeltaTable.forPath(spark, tables.uri(warehouse, contract)).optimize()
        if contract.partitioned_by:
            command = command.where(tables.on_days(contract, some))
        if max(files.fewest(target_bytes) for files in some.values()) > 1:
            command.executeZOrderBy(*contract.statistics)
        else:  # one file each: in whichever order its rows are, it is read or it is not
            command.executeCompaction()
    return set(some), len(some) < len(left)


def _first(left: Iterable[tuple[Day, Files]], target_bytes: int) -> Mapping[Day, Files]:
    """The first partitions, as many as one commit takes; at least one if there is any."""
    some: dict[Day, Files] = {}
    for day, files in left:
        size = files.size + sum(of.size for of in some.values())
        if some and (size > _MOST_FILES * target_bytes or len(some) == _MOST_DAYS):
            break
        some[day] = files
    return some


def _writing(warehouse: Location, contract: TableContract) -> AbstractContextManager[None]:
    if contract in _ONLY_ADDED_TO:
        return alone(warehouse, f"{contract.name}-files")
    return writing(warehouse, contract.name)


def vacuum(
    spark: SparkSession, warehouse: Location, contract: TableContract, retention_hours: int, *, dry_run: bool = False
) -> int:
    """Take away the data files that no version of the last hours has, if it is no `dry_run`; how many they are.

    Among them are those that killed jobs left without a commit.
    """
    conf = {
        # Delta 4.4 would keep to the table's own property, whatever RETAIN says.
        "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",
        "spark.databricks.delta.retentionDurationCheck.enabled": str(retention_hours >= _SAFE_HOURS).lower(),
        # Two commits, which change no row: a look at what is new since would have to read them.
        "spark.databricks.delta.vacuum.logging.enabled": "false",
        # Spark's own is 10,000 tasks for each listing.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": spark.conf.get("spark.sql.shuffle.partitions"),
    }
    command = f"vacuum {tables.quoted_table(tables.uri(warehouse, contract))} retain {retention_hours} hours"
    with _configured(spark, conf):
        found = spark.sql(f"{command} dry run").count()
        if found and not dry_run:
            spark.sql(command)
    return found


def remove_left_over(folder: Location, older_than: datetime, *, dry_run: bool = False) -> int:
    """Take away old temporary files that killed writers left below the folder, if it is no `dry_run`; how many.

    Delta's log and Spark's checkpoints are written under such a name first; in S3 there are none.
    """
    if not isinstance(folder, Path):
        return 0
    limit = older_than.timestamp() * 1_000_000
    left = [file for file in folder.rglob(".*") if file.name.endswith((".tmp", ".tmp.crc"))]
    old = [file for file in left if (found := version_of(file)) and found.modified_micros < limit]
    for file in () if dry_run else old:
        file.unlink(missing_ok=True)
    return len(old)


def compact_and_tell(
    spark: SparkSession, warehouse: Location, contracts: Iterable[TableContract], target_bytes: int, form: str
) -> None:
    """Compact the tables, and tell of those of which there was something to do, or something in the way."""
    for contract in contracts:
        done = maintained(spark, warehouse, contract, target_bytes)
        if done.parts or done.failure:
            tell(done, form)


def maintained(
    spark: SparkSession,
    warehouse: Location,
    contract: TableContract,
    target_bytes: int,
    retention_hours: int | None = None,
    *,
    dry_run: bool = False,
) -> Maintained:
    """Compact a table and, if it says how long they are kept, take away its old files; with `dry_run` only look."""
    began = time.monotonic()
    found = files_of(spark, warehouse, contract)
    before = after = sum(found.values(), Files())
    few = scattered(found, target_bytes)
    parts, removed, failure = 0, 0, None
    if few and not dry_run:
        try:
            for some in compact(spark, warehouse, contract, target_bytes):
                parts += len(some)
        except CONFLICTS as problem:
            failure = f"others changed it {_ATTEMPTS} times meanwhile: {cause(str(problem))}"
        after = sum(files_of(spark, warehouse, contract).values(), Files())
    elif few:
        parts = len(few)
        fewest = {day: Files(files.fewest(target_bytes), files.size) for day, files in few.items()}
        after = sum({**found, **fewest}.values(), Files())
    if retention_hours is not None:
        removed = vacuum(spark, warehouse, contract, retention_hours, dry_run=dry_run)
    seconds = round(time.monotonic() - began, 3)
    return Maintained(
        table=contract.name, before=before, after=after, parts=parts, removed=removed, seconds=seconds, failure=failure
    )


def tell(done: Maintained, form: str, *, dry_run: bool = False) -> None:
    """Print a line on a table to standard output."""
    if form == "json":
        print(json.dumps({"time": datetime.now(UTC).isoformat(), **asdict(done), "dry_run": dry_run}), flush=True)
        return
    would = "would be " if dry_run else ""
    said = [str(done.before)]
    if done.parts:
        said.append(f"{would}put together to {done.after} in {done.parts:,} {'part' if done.parts == 1 else 'parts'}")
    if done.removed:
        said.append(f"{done.removed:,} old files {would}removed")
    if done.failure:
        said.append(f"not all was done: {done.failure}")
    print(f"{datetime.now(UTC):%H:%M:%S} {done.table}: {', '.join(said)} ({done.seconds:.1f} s)", flush=True)


def _insistently(work: Callable[[], _Told]) -> _Told:
    for _ in range(_ATTEMPTS - 1):
        try:
            return work()
        except CONFLICTS:
            time.sleep(PAUSE_SECONDS)
    return work()


@contextmanager
def _configured(spark: SparkSession, values: Mapping[str, str | None]) -> Iterator[None]:
    """Settings of the session, for a while; None is unset."""
    before = {name: spark.conf.get(name, None) for name in values}
    _configure(spark, values)
    try:
        yield
    finally:
        _configure(spark, before)


def _configure(spark: SparkSession, values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, value)
