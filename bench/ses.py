"""What exactness costs: `stream_events` against the smallest Spark jobs that write the same rows, as ratios.

    bench/run.sh [events]

Large: plain records in a few large files, in batches as large as users have them. The rival reads lines, parses each as
an event and appends the same columns with the same values (checked), in one go: without wrappers, checks of any kind,
dedupe, ledger or quarantine. Counted is the time of the batches, not that of starting a query.
Small: a stream that takes one file of 1,000 records per batch. The rival does the plain append in `foreachBatch`, once
from the file's lines and once more from rows parsed beforehand. Counted is the time from one batch's end to the next's:
finding files and Spark's own logs are in it.
"""

import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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

LARGE_ROUNDS = 7
"""More than of small batches: Java is still compiling the larger plan in the first ones."""
SMALL_ROUNDS = 3
SMALL_BATCHES = 25
COLD_BATCHES = 10
"""Of the small batches, those left out at the start."""

RECORD = """eventType string, mail struct<timestamp:string,messageId:string,source:string,sendingAccountId:string,
    destination:array<string>,tags:map<string,array<string>>,
    commonHeaders:struct<`from`:array<string>,to:array<string>,messageId:string,subject:string>>,
    send variant, delivery variant, bounce variant, complaint variant, reject variant, open variant, click variant,
    failure variant, deliveryDelay variant, subscription variant"""
BINARY_FILE = "path string, modificationTime timestamp, length long, content binary"
BODY = """struct<timestamp:string,recipients:array<string>,bouncedRecipients:array<struct<emailAddress:string>>,
    complainedRecipients:array<struct<emailAddress:string>>,delayedRecipients:array<struct<emailAddress:string>>,
    bounceType:string,bounceSubType:string,complaintSubType:string,complaintFeedbackType:string,delayType:string,
    feedbackId:string,link:string,userAgent:string,ipAddress:string,isBotEvent:string>"""


def plain_rows(spark: SparkSession, paths: list[str]) -> DataFrame:
    """Every line taken for one plain event: the columns of `events`."""
    bodies = ("send", "delivery", "bounce", "complaint", "reject", "open", "click", "failure", "deliveryDelay")
    lines = spark.read.text(paths, recursiveFileLookup=True).select("value", "_metadata.file_path")
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


@dataclass(frozen=True)
class Batch:
    """When a batch ended, in seconds since 1970, and how long it took."""

    ended: float
    seconds: float


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

    def ours(self, settings: Settings) -> list[Batch]:
        """The product's stream, drained: its batches, as its progress lines tell them."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            stream_events.load(settings, provider="ses", spark=self.spark)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        return [Batch(datetime.fromisoformat(line["time"]).timestamp(), line["seconds"]) for line in lines]

    def plain(self, settings: Settings) -> list[Batch]:
        """One append of everything."""
        began = time.time()
        rows = tables.shaped_as(plain_rows(self.spark, [str(Path(settings.input) / "ses")]), EVENTS)
        rows.write.format("delta").mode("append").save(tables.uri(Path(settings.warehouse), EVENTS))
        return [Batch(time.time(), time.time() - began)]

    def plain_stream(self, source: Settings) -> list[Batch]:
        """The plain append in `foreachBatch`, a file per batch."""
        folder = str(Path(source.input) / "ses")
        found = self.spark.readStream.format("binaryFile").schema(BINARY_FILE).option("recursiveFileLookup", "true")

        def rows(batch: DataFrame) -> DataFrame:
            return plain_rows(self.spark, [row.path for row in batch.select("path").collect()])

        return self.drained(found.option("maxFilesPerTrigger", "1").load(folder), rows, source)

    def bare_stream(self, source: Settings) -> list[Batch]:
        """Rows parsed beforehand, appended in `foreachBatch`, a file per batch."""
        found = self.spark.readStream.schema(EVENTS.stored_schema).option("maxFilesPerTrigger", "1")
        return self.drained(found.parquet(str(self.root / "bare" / "*")), lambda batch: batch, source)

    def drained(self, found: DataFrame, rows: Callable[[DataFrame], DataFrame], settings: Settings) -> list[Batch]:
        """Each batch of `found` as `rows` makes it, appended and nothing else."""
        batches: list[Batch] = []
        warehouse = Path(settings.warehouse)

        def append(batch: DataFrame, _: int) -> None:
            began = time.time()
            shaped = tables.shaped_as(rows(batch), EVENTS)
            shaped.write.format("delta").mode("append").save(tables.uri(warehouse, EVENTS))
            batches.append(Batch(time.time(), time.time() - began))

        writer = found.writeStream.foreachBatch(append).option("checkpointLocation", str(warehouse / "checkpoint"))
        writer.trigger(availableNow=True).start().awaitTermination()
        return batches

    def prepare_bare(self) -> None:
        """The small files' rows as Parquet, a file each."""
        for i, file in enumerate(sorted(f for f in (self.root / "small").rglob("*") if f.is_file())):
            rows = plain_rows(self.spark, [str(file)]).coalesce(1)
            rows.write.mode("overwrite").parquet(str(self.root / f"bare/{i}"))

    def check_same_rows(self) -> None:
        """Refuse to compare what is not the same."""
        ours, plain = self.place("large"), self.place("large")
        self.ours(ours)
        self.plain(plain)
        left, right = (
            tables.read(self.spark, Path(settings.warehouse), EVENTS).drop("etl_time", "batch_id", "tags")
            for settings in (ours, plain)
        )
        if different := left.exceptAll(right).count() + right.exceptAll(left).count():
            raise SystemExit(f"The plain job writes other rows: {different} differ.")


def whole(batches: list[Batch]) -> float:
    """Seconds from the begin of the first batch to the end of the last."""
    return batches[-1].ended - batches[0].ended + batches[0].seconds


def cycle(batches: list[Batch]) -> float:
    """Median seconds from the end of a warm batch to the end of the next."""
    return statistics.median(after.ended - before.ended for before, after in pairwise(batches[COLD_BATCHES:]))


def main() -> None:
    """Print events per second and seconds per small batch of all, and the ratios of their medians."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 800_000
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), events)
        bench.check_same_rows()  # also warms both
        large: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(LARGE_ROUNDS):
            large["ours"].append(whole(bench.ours(bench.place("large"))))
            large["plain"].append(whole(bench.plain(bench.place("large"))))
        a, b = (statistics.median(large[name]) for name in ("ours", "plain"))
        print(f"{events:,} events: ours {events / a:,.0f}/s, plain {events / b:,.0f}/s: {b / a:.3f} (>= 0.65)")
        bench.prepare_bare()
        small: dict[str, list[float]] = {"ours": [], "plain": [], "bare": []}
        for _ in range(SMALL_ROUNDS):
            small["ours"].append(cycle(bench.ours(bench.place("small", 1))))
            small["plain"].append(cycle(bench.plain_stream(bench.place("small"))))
            small["bare"].append(cycle(bench.bare_stream(bench.place("small"))))
        a, b, c = (statistics.median(small[name]) for name in ("ours", "plain", "bare"))
        print(f"a batch of 1,000: ours {a:.2f} s, plain {b:.2f} s: {a / b:.1f} (<= 4)")
        print(f"    the plain one with its rows parsed beforehand: {c:.2f} s: {a / c:.1f}")
        bench.spark.stop()


if __name__ == "__main__":
    main()
