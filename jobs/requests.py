"""The team's send requests with their region, read where they lie: CSV files, a Delta table, or PostgreSQL."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.settings import RequestsSettings, Settings
from jobs import csv_files, own_tables, postgresql, tables
from jobs.progress import say
from jobs.rules import made_by
from jobs.storage import Location, each, location, version_of
from schemas.requests import REQUESTS, STATED
from transforms.increments import is_of, with_rows, without_rows
from transforms.requests import changes, made_since, to_requests
from transforms.texts import as_texts


def read_requests(
    spark: SparkSession, settings: Settings, *, tells: bool = False, only: Collection[str] | None = None
) -> DataFrame:
    """The rows of REQUESTS out of the source that the settings name, of CSV files `only` those of these names.

    Columns may stand in any order; others than those of REQUESTS are left alone. Rows without a message id, rows that
    repeat a message and recipient, and rows before `requests.since` are left out; if it `tells`, standard error says
    how many of the first two. No CSV files are no requests.
    """
    raw = _of_files(spark, settings, only) if settings.requests.source == "csv" else _of_table(spark, settings.requests)
    if raw is None:
        if tells:
            say(f"No requests in {_folder(settings)}/*.csv: the region of every message is unknown.")
        return spark.createDataFrame([], REQUESTS.stored_schema)
    latest = datetime.now(UTC) + timedelta(days=settings.latest_event_time_days_after_load)
    raw = made_since(raw, "request_time", settings.requests.since)
    requests = to_requests(raw, settings.earliest_event_time, latest)
    if tells:
        _tell(raw, requests)
    return requests


def _of_table(spark: SparkSession, wanted: RequestsSettings) -> DataFrame:
    """The rows as texts, read once, here and now: others may change the table while summaries are made of it."""
    if wanted.source == "delta":
        assert wanted.path is not None  # or the settings would have been refused
        table = own_tables.delta_table(spark, wanted.path, "requests.path")
        return texts_of(table, wanted, wanted.path).localCheckpoint()
    assert wanted.jdbc_url is not None
    with postgresql.told(wanted.jdbc_url):
        rows = postgresql.read(spark, wanted.jdbc_url, table=wanted.table, query=wanted.query)
        return texts_of(rows, wanted, wanted.table or "requests.query").localCheckpoint()


def texts_of(table: DataFrame, wanted: RequestsSettings, place: str) -> DataFrame:
    """The columns of REQUESTS as texts; what holds the table is asked for no row before `wanted.since`."""
    names = _columns(wanted, table.columns, place)
    if names["request_time"] is not None:
        table = made_since(table, names["request_time"], wanted.since)
    return as_texts(table, names)


def _columns(wanted: RequestsSettings, found: Sequence[str], place: str) -> Mapping[str, str | None]:
    """For each column of REQUESTS the one of `found` that is it; None for those that may be missing and are."""
    called = {name: str(getattr(wanted.columns, name)) for name in STATED}
    needed = {"message_id", "region"} if wanted.since is None else {"message_id", "region", "request_time"}
    return own_tables.mapped(called, found, place, "requests.columns", needed)


# --- The table of them


@dataclass(frozen=True)
class Source:
    """What the source was like when it was read: equal means that there is nothing new to read."""

    read_as: str
    """By which rules and settings."""
    files: Mapping[str, list[int]]
    """Of CSV files, by name: length in bytes and time of change, as the file system tells it."""
    version: int | None
    """Of a Delta table."""

    @property
    def tells(self) -> bool:
        """Whether it can be told without reading that nothing is new: a database does not say."""
        return bool(self.files) or self.version is not None


def snapshot(spark: SparkSession, settings: Settings, *, full: bool) -> None:
    """Bring the table `requests` up to what the source says now, in one commit; in none if nothing is new.

    Of unchanged CSV files nothing is read again, of a Delta table nothing if its version is the same; with `full`
    everything is, and the table made anew.
    """
    warehouse = location(settings.warehouse)
    now = _source(spark, settings)
    note = json.dumps(asdict(now))
    said = None if full else tables.note_of(warehouse, REQUESTS)
    before = Source(**json.loads(said)) if said else None
    if before is None or before.read_as != now.read_as:
        tables.replace(spark, warehouse, read_requests(spark, settings, tells=True), REQUESTS, note)
        return
    if before == now and now.tells:
        return
    is_added_to = bool(now.files) and all(now.files.get(name) == state for name, state in before.files.items())
    only = now.files.keys() - before.files.keys() if is_added_to else None
    read = read_requests(spark, settings, tells=True, only=only).localCheckpoint()
    stored = tables.read(spark, warehouse, REQUESTS)
    near = stored
    if only is not None:
        ids = tables.kept(read.select("message_id").distinct())
        near = with_rows(stored.where(tables.bounds(ids)), ids, ["message_id"])
    changed = changes(near, read, is_whole=only is None).localCheckpoint()
    dates = changed.select(F.explode(F.array("was", "now")).alias("row")).where("row is not null")
    days = [row.day for row in dates.select(F.col("row.request_date").alias("day")).distinct().collect()]
    if not days and before == now:
        return
    kept = without_rows(stored.where(is_of(REQUESTS, days)), changed, REQUESTS.key)
    added = changed.where("now is not null").select(*REQUESTS.key, "now.*")
    tables.replace_parts(spark, warehouse, kept.unionByName(added), REQUESTS, days, note)


def _source(spark: SparkSession, settings: Settings) -> Source:
    wanted = settings.requests
    bounds = [settings.earliest_event_time, settings.latest_event_time_days_after_load]
    read_as = made_by([wanted.model_dump(mode="json"), bounds])
    if wanted.source == "csv":
        files = _files(settings)
        found = zip(files, each(version_of, files), strict=True)
        return Source(read_as, {file.name: [now.length, now.modified_micros] for file, now in found if now}, None)
    if wanted.source == "delta":
        assert wanted.path is not None
        return Source(read_as, {}, tables.newest_version(spark, str(location(wanted.path))))
    return Source(read_as, {}, None)


# --- CSV


def _folder(settings: Settings) -> Location:
    return location(settings.requests.path) if settings.requests.path else location(settings.input) / "requests"


def _files(settings: Settings) -> list[Location]:
    return csv_files.files_in(_folder(settings), "requests.path" if settings.requests.path else None)


def _of_files(spark: SparkSession, settings: Settings, only: Collection[str] | None) -> DataFrame | None:
    """The rows of the files as texts; None if there are no files."""
    files = [file for file in _files(settings) if only is None or file.name in only]
    return csv_files.texts_of_files(spark, files, partial(_columns, settings.requests))


def _tell(raw: DataFrame, requests: DataFrame) -> None:
    has_id = F.trim(F.coalesce("message_id", F.lit(""))) != ""
    counted = raw.agg(F.count(F.lit(1)).alias("rows"), F.count_if(has_id).alias("named")).first()
    assert counted is not None
    without_id, repeated = counted.rows - counted.named, counted.named - requests.count()
    if without_id or repeated:
        say(f"Requests: {without_id:,} rows without a message id and {repeated:,} repeated ones left out.")
