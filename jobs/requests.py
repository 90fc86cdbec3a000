"""The team's send requests with their region, read from CSV files where they lie."""

import csv
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs.progress import say
from jobs.storage import local_path
from schemas.requests import REQUESTS
from transforms.requests import to_requests

_NEEDED = ("message_id", "region")
_LONGEST_HEADER = 100_000


def read_requests(spark: SparkSession, settings: Settings, *, tells: bool = False) -> DataFrame:
    """The rows of REQUESTS out of `<input>/requests/*.csv`; none if there are no files.

    Each file names its columns in its first line, in any order; other columns are left alone. Rows without a message
    id, and rows that repeat a message and recipient, are left out; if it `tells`, standard error says how many.
    """
    folder = local_path(settings.input) / "requests"
    files = sorted(file for file in folder.glob("*.csv") if file.is_file())
    by_header: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for file in files:
        if header := _header(file):
            by_header[header].append(file)
    if not by_header:
        if tells:
            say(f"No requests in {folder}/*.csv: the region of every message is unknown.")
        return spark.createDataFrame([], REQUESTS.stored_schema)
    # Spark takes one header for all files of a call: files of another order would be read into wrong columns.
    raw = reduce(DataFrame.unionByName, [_read(spark, header, paths) for header, paths in by_header.items()])
    latest = datetime.now(UTC) + timedelta(days=settings.latest_event_time_days_after_load)
    requests = to_requests(raw, settings.earliest_event_time, latest)
    if tells:
        _tell(raw, requests)
    return requests


def _header(file: Path) -> tuple[str, ...]:
    """The names of the file's columns; none if it is empty."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            first = lines.readline(_LONGEST_HEADER)
    except OSError as problem:
        raise ConfigurationError(f"{file}: cannot be read: {problem.strerror}.") from None
    if not first:
        return ()
    header = tuple(name.strip().lower() for name in next(csv.reader([first]), []))
    if missing := [name for name in _NEEDED if name not in header]:
        raise ConfigurationError(
            f"{file}: the first line names no column {' or '.join(f'`{name}`' for name in missing)}; wanted are "
            f"{', '.join(REQUESTS.columns)}."
        )
    return header


def _read(spark: SparkSession, header: tuple[str, ...], files: list[Path]) -> DataFrame:
    # A row is a line: else a quote that never closes would take the rest of its file along.
    reader = spark.read.option("header", "true").option("escape", '"')
    names = [f"column_{i}" for i in range(len(header))]
    rows = reader.schema(", ".join(f"{name} string" for name in names)).csv([file.as_uri() for file in files])
    columns = [
        F.col(names[header.index(name)]).alias(name) if name in header else F.lit(None).cast("string").alias(name)
        for name in REQUESTS.columns
    ]
    return rows.select(*columns)


def _tell(raw: DataFrame, requests: DataFrame) -> None:
    has_id = F.trim(F.coalesce("message_id", F.lit(""))) != ""
    counted = raw.agg(F.count(F.lit(1)).alias("rows"), F.count_if(has_id).alias("named")).first()
    assert counted is not None
    without_id, repeated = counted.rows - counted.named, counted.named - requests.count()
    if without_id or repeated:
        say(f"Requests: {without_id:,} rows without a message id and {repeated:,} repeated ones left out.")
