"""What exactness costs: `stream_events` against the smallest Spark jobs that write the same rows, as ratios.

    PYTHONPATH=. .venv/bin/python -m bench.ses [events]      (after ./run-tests.sh has made the environment)

Large: one batch of plain records in a few large files. The rival reads lines, parses each as an event and appends
the same columns with the same values (checked once), without wrappers, checks of any kind, dedupe, ledger or
quarantine. Small: a stream that takes one file of 1,000 records per batch. The rival appends the same rows, parsed
beforehand, in `foreachBatch`; what is taken is the time from one batch's end to the next's, so that finding files and
Spark's own logs are in it.
"""

import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from itertools import count, pairwise
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.settings import Settings, load_settings
from jobs import stream_events, tables
from jobs.generator import Forms, generate_ses
from jobs.session import build_session
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quarantine import QUARANTINE
from transforms.identity import as_text, content_key, recipients_key

ROUNDS = 3
SMALL_BATCHES = 30
COLD_BATCHES = 10
"""Of the small batches, those left out at the start."""

RECORD = """eventType string, mail struct<timestamp:string,messageId:string,source:string,sendingAccountId:string,
    destination:array<string>,tags:map<string,array<string>>,
    commonHeaders:struct<`from`:array<string>,to:array<string>,messageId:string,subject:string>>,
    send variant, delivery variant, bounce variant, complaint variant, reject variant, open variant, click variant,
    failure variant, deliveryDelay variant, subscription variant"""
BODY = """struct<timestamp:string,recipients:array<string>,bouncedRecipients:array<struct<emailAddress:string>>,
    complainedRecipients:array<struct<emailAddress:string>>,delayedRecipients:array<struct<emailAddress:string>>,
    bounceType:string,bounceSubType:string,complaintSubType:string,complaintFeedbackType:string,delayType:string,
    feedbackId:string,link:string,userAgent:string,ipAddress:string,isBotEvent:string>"""


def plain_rows(spark: SparkSession, folder: Path) -> DataFrame:
    """Every line taken for one plain event: the columns of `events`."""
    bodies = ("send", "delivery", "bounce", "complaint", "reject", "open", "click", "failure", "deliveryDelay")
    lines = spark.read.text(str(folder), recursiveFileLookup=True).select("value", "_metadata.file_path")
    # Both generators keep Spark from copying a parse into every column that reads from it.
    records = lines.select("file_path", F.explode(F.array(F.from_json("value", RECORD))).alias("r")).select(
        "file_path",
        "r.eventType",
        "r.mail",
        F.coalesce(*[F.col(f"r.{b}") for b in (*bodies, "subscription")]).alias("v"),
    )
    body = F.array(F.try_variant_get("v", "$", BODY))
    steps = records.select("*", F.explode(body).alias("body"), F.to_json("v").alias("event_data"))
    steps = steps.select(
        "*", F.lower(F.regexp_replace("eventType", "(?<=[a-z])[ ]?(?=[A-Z])", "_")).alias("event_class")
    )
    steps = steps.select(
        "*",
        F.col("body.timestamp").try_cast("timestamp").alias("own_time"),
        F.col("mail.timestamp").try_cast("timestamp").alias("timestamp"),
        recipients_key(_recipients()).alias("event_recipients"),
    ).select("*", F.coalesce("own_time", "timestamp").alias("event_time"))
    mail, of = F.col("mail"), F.col("body")
    key = [F.lit("ses"), F.col("event_class"), mail["messageId"], F.unix_micros("event_time").cast("string")]
    key += [as_text(F.col("event_recipients")), of["feedbackId"], of["link"], of["ipAddress"], of["userAgent"]]
    no_text = F.lit(None).cast("string")
    is_complaint = F.col("event_class") == "complaint"
    return steps.select(
        "event_class",
        "timestamp",
        mail["source"].alias("source"),
        mail["sendingAccountId"].alias("account"),
        mail["messageId"].alias("message_id"),
        *[mail["commonHeaders"][name].alias(name) for name in ("from", "to", "messageId", "subject")],
        "event_time",
        F.lower(F.coalesce(of["bounceType"], of["complaintSubType"], of["delayType"])).alias("event_type"),
        F.lower(F.when(is_complaint, of["complaintFeedbackType"]).otherwise(of["bounceSubType"])).alias(
            "event_subclass"
        ),
        "event_recipients",
        "event_data",
        F.lit("").alias("bucket"),
        F.concat(F.lit("file://"), F.substring("file_path", len("file:") + 1, 10_000)).alias("filename"),
        F.col("own_time").alias("completion_time"),
        F.current_timestamp().alias("etl_time"),
        content_key([*key, no_text]).alias("event_id"),
        F.to_date("event_time").alias("event_date"),
        F.lit("plain").alias("batch_id"),
        F.lit("ses").alias("provider"),
        no_text.alias("profile_id"),
        F.get(mail["tags"]["ses:configuration-set"], F.lit(0)).alias("campaign"),
        of["link"].alias("link"),
        of["userAgent"].alias("user_agent"),
        of["ipAddress"].alias("ip_address"),
        mail["tags"].alias("tags"),
        mail["destination"].alias("destination"),
        of["feedbackId"].alias("feedback_id"),
        F.lower(of["isBotEvent"]).alias("bot_likelihood"),
    )


def _recipients() -> Column:
    of, destination, event_class = F.col("body"), F.col("mail.destination"), F.col("event_class")
    return (
        F.when(event_class == "delivery", of["recipients"])
        .when(event_class == "bounce", of["bouncedRecipients"]["emailAddress"])
        .when(event_class == "complaint", of["complainedRecipients"]["emailAddress"])
        .when(event_class == "delivery_delay", of["delayedRecipients"]["emailAddress"])
        .when(~event_class.isin("open", "click") | (F.size(destination) == 1), destination)
    )


def timed(way: Callable[[Settings], object], settings: Settings) -> float:
    """Seconds that `way` takes."""
    began = time.monotonic()
    way(settings)
    return time.monotonic() - began


class Bench:
    """Both ways on one session; every run into a new warehouse."""

    def __init__(self, root: Path, events: int) -> None:
        self.root = root
        self.numbers = count()
        self.settings = load_settings(None, [], master="local[2]")
        self.spark = build_session(self.settings, "bench")
        generate_ses(root / "large", events=events, seed=1, forms=Forms.plain(), events_per_file=events // 8)
        generate_ses(root / "small", events=SMALL_BATCHES * 1000, seed=2, forms=Forms.plain(), events_per_file=1000)

    def place(self, source: str, files_per_batch: int = 1000) -> Settings:
        """Settings of a run of its own, in a warehouse that is made and empty; all others as users find them."""
        warehouse = self.root / f"w{next(self.numbers)}"
        for contract in (EVENTS, QUARANTINE, FILES):
            tables.create(self.spark, warehouse, contract)
        new = {"input": str(self.root / source), "warehouse": str(warehouse), "max_files_per_batch": files_per_batch}
        return self.settings.model_copy(update={**new, "progress": "json"})

    def ours(self, settings: Settings) -> Path:
        """The product's stream, drained."""
        stream_events.load(settings, provider="ses", spark=self.spark)
        return Path(settings.warehouse)

    def plain(self, settings: Settings) -> Path:
        """One append of everything."""
        warehouse = Path(settings.warehouse)
        rows = tables.shaped_as(plain_rows(self.spark, Path(settings.input) / "ses"), EVENTS)
        rows.write.format("delta").mode("append").save(tables.uri(warehouse, EVENTS))
        return warehouse

    def prepare_bare(self) -> None:
        """The small files' rows as Parquet, a file each."""
        for i, file in enumerate(sorted(f for f in (self.root / "small").rglob("*") if f.is_file())):
            rows = plain_rows(self.spark, file).coalesce(1)
            rows.write.mode("overwrite").parquet(str(self.root / f"bare/{i}"))

    def bare(self) -> list[float]:
        """The same rows in as many batches, appended by a stream that does nothing else; when each ended."""
        warehouse = Path(self.place("small").warehouse)
        ends: list[float] = []

        def append(rows: DataFrame, _: int) -> None:
            rows.write.format("delta").mode("append").save(tables.uri(warehouse, EVENTS))
            ends.append(time.time())

        reader = self.spark.readStream.schema(EVENTS.stored_schema).option("maxFilesPerTrigger", "1")
        writer = reader.parquet(str(self.root / "bare" / "*")).writeStream.foreachBatch(append)
        writer = writer.option("checkpointLocation", str(warehouse / "checkpoint"))
        writer.trigger(availableNow=True).start().awaitTermination()
        return ends

    def exact(self) -> list[float]:
        """The small files by the product's stream, one per batch; when each batch ended."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.ours(self.place("small", 1))
        return [datetime.fromisoformat(json.loads(line)["time"]).timestamp() for line in out.getvalue().splitlines()]

    def same_rows(self, ours: Path, plain: Path) -> None:
        """Refuse to compare what is not the same."""
        left, right = (
            tables.read(self.spark, warehouse, EVENTS).drop("etl_time", "batch_id", "tags").distinct()
            for warehouse in (ours, plain)
        )
        if different := left.exceptAll(right).count() + right.exceptAll(left).count():
            raise SystemExit(f"The plain job writes other rows: {different} differ.")


def cycle(ends: list[float]) -> float:
    """Median seconds from the end of a warm batch to the end of the next."""
    return statistics.median(after - before for before, after in pairwise(ends[COLD_BATCHES:]))


def main() -> None:
    """Print events per second and seconds per small batch of both, and the ratios of their medians."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 800_000
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), events)
        bench.same_rows(bench.ours(bench.place("large")), bench.plain(bench.place("large")))  # also warms both
        fast: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(ROUNDS):
            for name, way in (("ours", bench.ours), ("plain", bench.plain)):
                fast[name].append(timed(way, bench.place("large")))
        a, b = (statistics.median(fast[name]) for name in ("ours", "plain"))
        print(f"{events:,} events: ours {events / a:,.0f}/s, plain {events / b:,.0f}/s, ratio {b / a:.2f} (>= 0.65)")
        bench.prepare_bare()
        a, b = cycle(bench.exact()), cycle(bench.bare())
        print(f"batch of 1,000: ours {a:.2f} s, bare append {b:.2f} s, ratio {a / b:.1f} (<= 4)")
        bench.spark.stop()


if __name__ == "__main__":
    main()
