"""Before a stream starts: whether the warehouse is whole, and what a lost checkpoint has left unaccounted for."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import compress

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.errors import ConfigurationError
from jobs import tables
from jobs.checkpoints import Checkpoint, check_fits
from jobs.ledger import Line, to_ledger
from jobs.locks import writing
from jobs.progress import say
from jobs.providers import Provider
from jobs.storage import FoundFile, Location, still_there
from schemas.events import EVENTS, REPLAYED
from schemas.files import FILES, FileStatus
from schemas.quarantine import QUARANTINE
from schemas.sailthru import VERSIONS_TABLE

_LOADED = (EVENTS, QUARANTINE, FILES)
"""The tables to which each batch appends once."""


def refuse_lost_tables(spark: SparkSession, warehouse: Location, providers: Iterable[Provider]) -> None:
    """Refuse a warehouse that lacks a table of a provider whose files were loaded: they would not be read again.

    One that keeps versions of each file date is not missed by a table of newest versions that never named it.
    """
    for provider in providers:
        own = (*_LOADED, *provider.own_tables)
        found = {contract.name: tables.commits(spark, warehouse, contract) for contract in own}
        gone = [name for name, commits in found.items() if commits is None]
        if gone:
            own_properties = [tables.properties(spark, warehouse, contract) for contract in provider.own_tables]
            named = {properties.get(VERSIONS_TABLE) for properties in own_properties}
            never_made = {history.name for history in provider.histories.values()} - named
            gone = [name for name in gone if name not in never_made]
        if gone and any(_apps(commits, provider) for commits in found.values()):
            raise ConfigurationError(
                f"{warehouse} lacks the table {_listed(gone)}, though {provider.name} files were loaded into it, which "
                "are not read again. Put it back from a copy, or load everything into a new folder: --warehouse."
            )


def refuse_wrong_clock(spark: SparkSession, warehouse: Location, now: datetime, tolerance: timedelta) -> None:
    """Refuse to load at a time long before the newest load: which event times are too late depends on the clock."""
    newest = tables.read(spark, warehouse, FILES).agg(F.max("etl_time").alias("newest")).first()
    if newest and newest.newest and now < newest.newest.replace(tzinfo=UTC) - tolerance:
        raise ConfigurationError(
            f"This machine's clock says {now:%Y-%m-%d %H:%M} UTC, but {warehouse} was loaded at "
            f"{newest.newest:%Y-%m-%d %H:%M} UTC: set the clock, or if it was wrong then, raise clock_tolerance_hours."
        )


def settle(
    spark: SparkSession,
    warehouse: Location,
    provider: Provider,
    checkpoint: Checkpoint | None,
    now: datetime,
    *,
    is_new: bool,
) -> None:
    """Refuse a checkpoint that does not fit the tables; give rows of a lost one their line of the ledger.

    A batch that was killed is run again by its checkpoint. If that is gone, the batch's rows stay in `events` without
    a line in `files`, and its records in `quarantine` would come once more: the former get a line that counts them,
    the latter are taken out if their file can still be read. Killed on the way, it is done again. In tables that this
    start has made, `is_new`, nobody looks.
    """
    commits = {} if is_new else {t.name: tables.commits(spark, warehouse, t) for t in _LOADED}
    batches = {name: found.batches for name, found in commits.items() if found}
    own = f"{checkpoint.id}-{provider.name}" if checkpoint else ""
    check_fits(checkpoint, {name: of[own] for name, of in batches.items() if own in of}, warehouse)
    apps = {app for found in commits.values() for app in _apps(found, provider)} - {own}
    for app in sorted(apps):
        newest = max(of.get(app, -1) for of in batches.values())
        if newest > batches[FILES.name].get(app, -1):
            writer = tables.Writer(warehouse=warehouse, app_id=app, batch=newest)
            _account_for(spark, writer, provider, f"{app.removesuffix(f'-{provider.name}')}-{newest}", now)


def rows_by_file(spark: SparkSession, warehouse: Location, batch_id: str) -> dict[str, Counter[str]]:
    """How many rows a batch has committed, per file: `accepted` events and `quarantined` records."""
    found: dict[str, Counter[str]] = {}
    for contract, outcome in ((EVENTS, "accepted"), (QUARANTINE, "quarantined")):
        own = tables.read(spark, warehouse, contract).where(F.col("batch_id") == batch_id)
        for row in own.groupBy("filename").count().collect():
            counts = found.setdefault(row.filename, Counter())
            counts.update({"records": row["count"], outcome: row["count"]})
            counts["events"] += row["count"] if contract is EVENTS else 0
    return found


def _account_for(spark: SparkSession, writer: tables.Writer, provider: Provider, batch_id: str, now: datetime) -> None:
    with writing(writer.warehouse, QUARANTINE.name):
        mine = F.col("batch_id") == batch_id
        quarantined = tables.read(spark, writer.warehouse, QUARANTINE).where(mine)
        version = ("filename", F.unix_micros("file_modified_at"), "file_length_bytes")
        versions = quarantined.select(*version).distinct().collect()
        files = [FoundFile(micros, uri, size) for uri, micros, size in versions]
        again = [file.uri for file in compress(files, still_there(files))]
        if again:
            table = DeltaTable.forPath(spark, tables.uri(writer.warehouse, QUARANTINE))
            table.delete(mine & F.col("filename").isin(again))
    lines = []
    for uri, counts in rows_by_file(spark, writer.warehouse, batch_id).items():
        line = Line(FoundFile(0, uri, 0), provider.data_set_of(uri.rsplit("/", 1)[-1]), counts)
        line.status, line.reason = FileStatus.NOT_READABLE, "loaded by a batch whose checkpoint was lost on the way"
        lines.append(line)
    writer.append(to_ledger(spark, lines, provider.name, batch_id, now), FILES)
    say(f"The checkpoint of an unfinished {provider.name} batch is gone: its rows of {len(lines)} files are kept.")


def _apps(commits: tables.Commits | None, provider: Provider) -> list[str]:
    """The ids under which the provider's batches were committed."""
    found = commits.batches if commits else {}
    return [app for app in found if app.endswith(f"-{provider.name}") and not app.startswith(REPLAYED)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
