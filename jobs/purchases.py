"""What people bought, read where it is told: the purchase log, profiles, and a table of the team's own."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce

from pyspark.sql import DataFrame, SparkSession

from conf.settings import PurchaseColumns, PurchasesSettings, Settings
from jobs import csv_files, own_tables
from jobs.progress import say
from jobs.storage import location
from schemas.purchases import STATED
from transforms.people import AddressRules
from transforms.purchases import is_purchase, of_log, of_profiles, of_table, to_purchases
from transforms.texts import as_texts


def read_purchases(
    spark: SparkSession, settings: Settings, profiles: DataFrame, known: DataFrame, rules: AddressRules
) -> DataFrame:
    """The rows of PURCHASES that all sources tell.

    `profiles` are rows of `profiles`, or versions of them with the columns `client_id`, `id`, `version`, `record`,
    `email`, `purchases` and `purchase_incomplete`; `known` is what `known_hashes` gives. Standard error says how many
    rows of files or table are left out, because they state no date, no price and no items.
    """
    told = reduce(DataFrame.unionByName, _told(spark, settings, profiles, rules))
    latest = datetime.now(UTC) + timedelta(days=settings.latest_event_time_days_after_load)
    return to_purchases(told, known, _zone(settings), settings.earliest_event_time, latest)


def _told(spark: SparkSession, settings: Settings, profiles: DataFrame, rules: AddressRules) -> Iterator[DataFrame]:
    """What each source that is there tells."""
    wanted = settings.purchases
    zone = _zone(settings)
    yield of_profiles(profiles, wanted.profile_unit, zone, rules)
    if (log := _log(spark, settings)) is not None:
        _tell(log, "the purchase log")
        yield of_log(log, wanted.log_unit, zone, rules)
    if wanted.table:
        table = _table(spark, wanted, wanted.table)
        _tell(table, wanted.table)
        yield of_table(table, wanted.table_unit, rules)


def _zone(settings: Settings) -> str:
    """Of times that state none."""
    return settings.purchases.time_zone or settings.sailthru.time_zone


def _log(spark: SparkSession, settings: Settings) -> DataFrame | None:
    """The rows of the files as texts of the columns STATED; None if there are no files."""
    stated = settings.purchases.path
    folder = location(stated) if stated else location(settings.input) / "purchases"
    files = csv_files.files_in(folder, "purchases.path" if stated else None)
    return csv_files.texts_of_files(spark, files, _columns_of_log)


def _columns_of_log(header: Sequence[str], place: str) -> Mapping[str, str | None]:
    return _names(PurchaseColumns(), header, place)


def _table(spark: SparkSession, wanted: PurchasesSettings, path: str) -> DataFrame:
    """The same of the table, read once, here and now: others may change it while summaries are made of it."""
    table = own_tables.delta_table(spark, path, "purchases.table")
    return as_texts(table, _names(wanted.columns, table.columns, path)).localCheckpoint()


def _names(called: PurchaseColumns, found: Sequence[str], place: str) -> Mapping[str, str | None]:
    names = {name: str(getattr(called, name)) for name in STATED}
    return own_tables.mapped(names, found, place, "purchases.columns")


def _tell(rows: DataFrame, place: str) -> None:
    if left_out := rows.where(~is_purchase()).count():
        say(f"Purchases: {left_out:,} rows of {place} without date, price and items left out.")
