"""`demo`: the sample in `input/` through the stream, and what a person wants to see of it."""

import argparse
from collections import Counter
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table

from conf.settings import Settings
from jobs import tables
from jobs.progress import say
from jobs.session import build_session
from jobs.storage import local_path
from jobs.stream_events import Stop, load
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quarantine import QUARANTINE
from schemas.sailthru import BLASTS, PROFILES, SAILTHRU_MESSAGES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options beside those of every job."""


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Load what is new below the input, then show events, ledger and quarantine."""
    say("Starting Spark …")
    spark = build_session(settings, "demo")
    stop = Stop()
    try:
        with stop.by_signals():
            reports = load(settings, available_now=True, spark=spark, stop=stop)
        if not reports:
            print("Nothing new since the last run.")
        show(spark, settings)
    finally:
        spark.stop()


def show(spark: SparkSession, settings: Settings) -> None:
    """Print the state of the tables, within 80 columns."""
    console = Console(width=min(Console().width, 100), highlight=False)
    warehouse = local_path(settings.warehouse)
    events, quarantine, ledger = (tables.read(spark, warehouse, c) for c in (EVENTS, QUARANTINE, FILES))
    _events_by_day(console, events)
    _ledger(console, ledger)
    _states(console, spark, warehouse)
    _quarantine(console, quarantine)
    path = warehouse / "events"
    console.print("\nThe tables are Delta tables in", f"[bold]{warehouse}[/]", soft_wrap=True)
    console.print("Ask them from Spark, or in Python with `pip install deltalake duckdb`:")
    for line in (
        "from deltalake import DeltaTable; import duckdb",
        f'events = DeltaTable("{path}").to_pyarrow_table()',
        'duckdb.sql("select event_class, count(*) from events group by 1").show()',
    ):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def _events_by_day(console: Console, events: DataFrame) -> None:
    counted = events.groupBy("provider", "event_class", "event_date").count().collect()
    for provider in sorted({row.provider for row in counted}, reverse=True):
        by_class: dict[str, Counter[date]] = {}
        for row in counted:
            if row.provider == provider:
                by_class.setdefault(row.event_class, Counter())[row.event_date] += row["count"]
        console.print(_by_day(f"{provider}: events by class and day (UTC)", by_class))


def _by_day(title: str, by_class: dict[str, Counter[date]]) -> Table:
    days = sorted({day for by_day in by_class.values() for day in by_day})
    shown = days[-6:]
    table = Table(title=title, title_justify="left")
    table.add_column("class", no_wrap=True)
    for heading in [*(["before"] if len(days) > 6 else []), *(f"{day:%b %d}" for day in shown), "all"]:
        table.add_column(heading, justify="right")
    for name, by_day in sorted(by_class.items(), key=lambda item: -item[1].total()):
        recent = [by_day[day] for day in shown]
        before = [by_day.total() - sum(recent)] if len(days) > 6 else []
        table.add_row(name, *(f"{n:,}" if n else "·" for n in [*before, *recent]), f"{by_day.total():,}")
    return table


def _ledger(console: Console, ledger: DataFrame) -> None:
    names = ["records", "accepted", "quarantined", "control", "events", "events_new", "events_duplicate"]
    sums = ledger.agg(
        F.count(F.lit(1)).alias("files"), *[F.coalesce(F.sum(n), F.lit(0)).alias(n) for n in names]
    ).first()
    assert sums is not None
    console.print(
        f"\nLedger: {sums.files:,} files, {sums.records:,} records"
        f" = {sums.accepted:,} accepted + {sums.quarantined:,} quarantined + {sums.control:,} control"
        f"\n        {sums.events:,} events = {sums.events_new:,} new + {sums.events_duplicate:,} duplicate",
        soft_wrap=True,
    )
    for row in (
        ledger.groupBy("provider")
        .agg(F.count(F.lit(1)).alias("files"), F.sum("events_new").alias("new"))
        .orderBy(F.desc("provider"))
        .collect()
    ):
        console.print(f"        {row.provider}: {row.files:,} files, {row.new:,} new events")
    odd = ledger.where(F.col("status") != "ok").groupBy("status").count().orderBy("status").collect()
    if odd:
        console.print("        not ordinary: " + ", ".join(f"{row['count']} {row.status}" for row in odd))


def _states(console: Console, spark: SparkSession, warehouse: Path) -> None:
    """How many messages, campaigns and profiles of Sailthru are known, each in its newest version."""
    present = [table for table in (SAILTHRU_MESSAGES, BLASTS, PROFILES) if (warehouse / table.name).exists()]
    counts = [f"{tables.read(spark, warehouse, table).count():,} {table.name}" for table in present]
    if counts:
        console.print("Newest versions: " + ", ".join(counts))


def _quarantine(console: Console, quarantine: DataFrame) -> None:
    rows = (
        quarantine.groupBy("reason")
        .agg(
            F.count(F.lit(1)).alias("records"),
            F.min(F.left(F.col("record").cast("string"), F.lit(48))).alias("one"),
        )
        .orderBy(F.desc("records"), "reason")
        .collect()
    )
    table = Table(title="\nQuarantine: records that are no event, kept whole", title_justify="left")
    table.add_column("reason", no_wrap=True)
    table.add_column("records", justify="right")
    table.add_column("for example", overflow="ellipsis", no_wrap=True, max_width=44)
    for row in rows:
        printable = "".join(c if c.isprintable() else "·" for c in row.one)
        table.add_row(row.reason, f"{row.records:,}", printable.replace("[", r"\["))
    console.print(table)
