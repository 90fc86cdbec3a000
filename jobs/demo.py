"""`demo`: the sample in `input/` through the stream, and what a person wants to see of it."""

import argparse

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
    counted = events.groupBy("event_class", "event_date").count().collect()
    days = sorted({row.event_date for row in counted})
    shown = days[-6:]
    table = Table(title="Events by class and day (UTC)", title_justify="left")
    table.add_column("class")
    for heading in [*(["before"] if len(days) > 6 else []), *(f"{day:%b %d}" for day in shown), "all"]:
        table.add_column(heading, justify="right")
    by_class: dict[str, dict[object, int]] = {}
    for row in counted:
        by_class.setdefault(row.event_class, {})[row.event_date] = row["count"]
    for name, by_day in sorted(by_class.items(), key=lambda item: -sum(item[1].values())):
        total = sum(by_day.values())
        recent = [by_day.get(day, 0) for day in shown]
        before = [total - sum(recent)] if len(days) > 6 else []
        table.add_row(name, *(f"{n:,}" if n else "·" for n in [*before, *recent]), f"{total:,}")
    console.print(table)


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
    odd = ledger.where(F.col("status") != "ok").groupBy("status").count().orderBy("status").collect()
    if odd:
        console.print("        not ordinary: " + ", ".join(f"{row['count']} {row.status}" for row in odd))


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
