"""`demo`: the sample in `input/` through the stream and the summaries, and what a person wants to see of it."""

import argparse
import shlex

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conf.settings import Settings
from jobs import tables
from jobs.build_summaries import build
from jobs.progress import say
from jobs.requests import read_requests
from jobs.session import build_session
from jobs.storage import local_path
from jobs.story import stories
from jobs.stream_events import Stop, load
from schemas.region_summary import REGION_SUMMARY
from schemas.views import ALL
from transforms.lifecycle import UNKNOWN

_RATES = {
    "delivery": "delivered",
    "bounce": "bounced",
    "open": "opened",
    "click": "clicked",
    "complaint": "spam",
    "unsubscribe": "opted out",
}
_STORIES = (
    "last_state = 'clicked' and provider = 'ses' and size(steps) between 5 and 7",
    "is_bounced and last_bounce_at >= first_delivery_at and size(steps) <= 6",
    "is_opened and not is_clicked and provider = 'sailthru' and size(steps) between 3 and 5",
)
"""Journeys worth telling: read to the end, bounced after all, opened and left at that."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options beside those of every job."""


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Load what is new below the input, build the summaries, and show what happened to the emails."""
    say("Starting Spark …")
    spark = build_session(settings, "demo")
    stop = Stop()
    try:
        with stop.by_signals():
            load_and_show(settings, spark, stop)
    finally:
        spark.stop()


def load_and_show(settings: Settings, spark: SparkSession, stop: Stop) -> None:
    """All that the job does, in a session that is there."""
    if not load(settings, spark=spark, stop=stop):
        print("Nothing new since the last run.")
    build(settings, spark=spark)
    show(spark, settings)


def show(spark: SparkSession, settings: Settings) -> None:
    """Print the state of the tables, within 80 columns."""
    console = Console(width=min(Console().width, 100), highlight=False)
    warehouse = local_path(settings.warehouse)
    tables.register(spark, warehouse, settings.metrics.chosen)
    _what_came_in(console, spark)
    _regions(console, spark)
    told = _stories(console, spark, settings)
    _questions(console, spark)
    _freshness(console, spark)
    _ledger(console, spark.table("files"))
    _quarantine(console, spark.table("quarantine"))
    _where(console, settings, told)


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
    )


def _what_came_in(console: Console, spark: SparkSession) -> None:
    counted = spark.table("events").groupBy("provider", "event_class")
    days = (F.min("event_date").alias("first"), F.max("event_date").alias("last"))
    rows = counted.agg(F.count(F.lit(1)).alias("events"), *days).orderBy(F.desc("events"), "event_class").collect()
    if rows:
        first, last = min(row.first for row in rows), max(row.last for row in rows)
        console.print(f"\n[bold]What came in[/]: events of {first:%d %b %Y} to {last:%d %b %Y} (UTC)")
    for provider in sorted({row.provider for row in rows}, reverse=True):
        own = [row for row in rows if row.provider == provider]
        classes = ", ".join(f"{row.events:,} {row.event_class}" for row in own)
        line = f"{provider}: {sum(row.events for row in own):,} events: {classes}"
        console.print(Padding(line, (0, 0, 0, 2)))


def _regions(console: Console, spark: SparkSession) -> None:
    table = _table("\nSuccess by region (all rates with their counts: table region_summary)")
    table.add_column("region", no_wrap=True)
    total = spark.table("region_summary_total")
    metrics = [name for name in _RATES if f"{name}_rate" in total.columns]
    for heading in ("messages", *(_RATES[name] for name in metrics)):
        table.add_column(heading, justify="right")
    last = {UNKNOWN: 1, ALL: 2}
    rows = total.collect()
    for row in sorted(rows, key=lambda r: (last.get(r.region, 0), r.region)):
        rates = (row[f"{name}_rate"] for name in metrics)
        style = "bold" if row.region == ALL else ""
        table.add_row(row.region, f"{row.messages:,}", *(_percent(rate) for rate in rates), style=style)
    console.print(table)


def _percent(rate: float | None) -> str:
    return "·" if rate is None else f"{rate:.1%}"


def _stories(console: Console, spark: SparkSession, settings: Settings) -> str:
    """Tell some journeys; the message id of the first."""
    told = [
        row
        for condition in _STORIES
        for row in spark.table("journeys").where(condition).where("recipient is not null")
        .orderBy(F.desc(F.size("steps")), "message_id").limit(1).collect()
    ]  # fmt: skip
    if not told:
        return ""
    console.print("[bold]Journeys, step by step[/]")
    for text in stories(spark, told, read_requests(spark, settings)):
        console.print(text)
    return str(told[0].message_id)


def _questions(console: Console, spark: SparkSession) -> None:
    opened = spark.table("journeys").where("is_opened").count()
    parts = [
        f"[bold]{spark.table('opened_not_clicked').count():,}[/] of {opened:,} opened journeys never clicked",
        f"{spark.table('delivered_not_opened').count():,} delivered and not opened",
        f"{spark.table('bounced_after_delivery').count():,} bounced after delivery",
    ]
    console.print(f"{'; '.join(parts)}\n(views opened_not_clicked, delivered_not_opened, bounced_after_delivery).")


def _freshness(console: Console, spark: SparkSession) -> None:
    rows = spark.sql(
        "select provider, max(newest_event_at) newest, max(newest_load_at) loaded from freshness "
        "where newest_event_at is not null group by 1 order by 1 desc"
    ).collect()
    width = max((len(row.provider) for row in rows), default=0)
    console.print("[bold]Freshness[/] (UTC)")
    for row in rows:
        console.print(
            f"  {row.provider:{width}}  newest event {row.newest:%d %b %Y %H:%M}, loaded {row.loaded:%d %b %Y %H:%M}"
        )


def _ledger(console: Console, ledger: DataFrame) -> None:
    names = ["records", "accepted", "quarantined", "control", "events", "events_new", "events_duplicate"]
    count = F.count(F.lit(1)).alias("files")
    sums = ledger.agg(count, *[F.coalesce(F.sum(n), F.lit(0)).alias(n) for n in names]).first()
    assert sums is not None
    odd = ledger.where(F.col("status") != "ok").groupBy("status").count().orderBy("status").collect()
    statuses = ", ".join(f"{row['count']} {row.status}" for row in odd)
    not_ordinary = f" (not ordinary: {statuses})" if odd else ""
    console.print(
        f"\nLedger: {sums.files:,} files{not_ordinary}\n"
        f"        {sums.records:,} records = {sums.accepted:,} accepted + {sums.quarantined:,} quarantined"
        f" + {sums.control:,} control\n"
        f"        {sums.events:,} events = {sums.events_new:,} new + {sums.events_duplicate:,} duplicate",
        soft_wrap=True,
    )


def _quarantine(console: Console, quarantine: DataFrame) -> None:
    start = F.min(F.left(F.col("record").cast("string"), F.lit(48))).alias("one")
    reasons = quarantine.groupBy("reason").agg(F.count(F.lit(1)).alias("records"), start)
    table = _table("\nQuarantine: records that are no event, kept whole")
    table.add_column("reason", no_wrap=True)
    table.add_column("records", justify="right")
    table.add_column("for example", overflow="ellipsis", no_wrap=True, max_width=44)
    for row in reasons.orderBy(F.desc("records"), "reason").collect():
        printable = "".join(c if c.isprintable() else "·" for c in row.one)
        table.add_row(row.reason, f"{row.records:,}", Text(printable))
    console.print(table)


def _where(console: Console, settings: Settings, message_id: str) -> None:
    """Where the tables lie, a line that reads one without Spark, and how to go on."""
    warehouse = local_path(settings.warehouse)
    rate = "sum(open_numerator) / sum(open_denominator)"
    program = (
        "import duckdb; from deltalake import DeltaTable; "
        f't = DeltaTable("{warehouse / REGION_SUMMARY.name}").to_pyarrow_table(); '
        f'duckdb.sql("select region, sum(messages) messages, {rate} opened from t group by 1").show()'
    )
    console.print("The tables are Delta tables in", f"[bold]{warehouse}[/].", soft_wrap=True)
    console.print("With `pip install deltalake duckdb`:\n", soft_wrap=True)
    console.print(f"  python3 -c {shlex.quote(program)}\n", soft_wrap=True, markup=False)
    given = [
        f"--{name} {shlex.quote(getattr(settings, name))}"
        for name in ("input", "warehouse")
        if name in settings.model_fields_set
    ]
    explain = " ".join(["./spark-submit.sh explain", message_id or "MESSAGE_ID", *given])
    console.print(f"The whole story of one message:\n\n  {explain}", soft_wrap=True, markup=False)
