"""`drift`: the files that the stream has read, read again to see what in them is not as the formats' pages say."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import compress

import pyarrow as pa
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from conf.settings import Settings
from jobs import tables
from jobs.providers import PROVIDERS, Provider, limits_of
from jobs.reading import lines_of, odd_among
from jobs.storage import FoundFile, location, still_there
from schemas.drift import DRIFT
from schemas.files import FILES, FileStatus
from transforms.drift import to_drift, to_shapes, together

_MOST_ROWS = 10_000
"""Rows of one look: free keys where none should be must not fill the table."""


def read_drift(spark: SparkSession, settings: Settings, files_version: int, known_version: int | None) -> DataFrame:
    """The rows of `drift` for all files of the ledger as of `files_version`.

    Only those are read that the ledger did not hold as of `known_version`, for which the table `drift` stands; with
    None all are. Files that are gone or were replaced say nothing any more.
    """
    warehouse = location(settings.warehouse)
    ledger = tables.read(spark, warehouse, FILES, files_version)
    if known_version is not None:
        before = tables.read(spark, warehouse, FILES, known_version).select(*FILES.key)
        ledger = ledger.join(before, on=list(FILES.key), how="left_anti")
    read = ledger.where(F.col("status").isin(FileStatus.OK.value, FileStatus.CUT_OFF.value))
    version = ("filename", F.unix_micros("modified_at").alias("micros"), "length_bytes", "status", "provider")
    rows = read.select(*version).orderBy("micros", "filename").collect()
    versions = [FoundFile(row.micros, row.filename, row.length_bytes) for row in rows]
    there = list(compress(rows, still_there(versions)))
    found = [spark.createDataFrame([], DRIFT.schema)]
    if known_version is not None:
        found.append(tables.read(spark, warehouse, DRIFT))
    size = settings.max_files_per_batch
    for provider in PROVIDERS.values():
        own = [row for row in there if row.provider == provider.name]
        for some in (own[i : i + size] for i in range(0, len(own), size)):
            modified = pa.array([r.micros for r in some], pa.timestamp("us", "UTC"))
            columns = {"filename": [r.filename for r in some], "modified_at": modified, "number": range(len(some))}
            files = spark.createDataFrame(pa.table(columns))
            shapes = to_shapes(_records(spark, settings, provider, some), files, provider.shape)
            part = to_drift(shapes, files, provider.name, provider.shape)
            found.append(part.orderBy(F.desc("records")).limit(_MOST_ROWS).localCheckpoint())
    return together(found)


def _records(spark: SparkSession, settings: Settings, provider: Provider, files: Sequence[Row]) -> DataFrame:
    odd = {file.filename for file in files if file.status != FileStatus.OK} | odd_among([f.filename for f in files])
    ordinary = [file.filename for file in files if file.filename not in odd]
    lines = lines_of(spark, ordinary, sorted(odd), int(settings.max_record_bytes))
    return provider.records(lines, limits_of(settings, datetime.now(UTC)))
