"""What exactness costs: ours against the smallest plain Spark job, in one run, as ratios.

    PYTHONPATH=. .venv/bin/python -m bench.ses [events]      (after ./run-tests.sh has made the environment)

Plain: lines to the same columns by the same expressions, appended; no dedupe, ledger, quarantine or wrappers.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from conf.settings import Settings, load_settings
from jobs import tables
from jobs.batches import BatchLoader, read_text
from jobs.generator import Forms, generate_ses
from jobs.session import build_session
from jobs.storage import FoundFile, list_files
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quarantine import QUARANTINE
from transforms import ses
from transforms.records import raw_lines

ROUNDS = 3


def plain_rows(spark: SparkSession, files: list[FoundFile], settings: Settings) -> DataFrame:
    """Every line taken for one plain event: the same columns, nothing checked."""
    limits = ses.Limits(
        max_record_bytes=int(settings.max_record_bytes),
        earliest=settings.earliest_event_time,
        latest=datetime(2100, 1, 1, tzinfo=UTC),
    )
    no_text = F.lit(None).cast("string")
    no_problem = F.lit(None).cast("struct<reason:string,detail:string>")
    record = F.from_json("value", f"struct<{ses.RECORD}>")
    rows = raw_lines(read_text(spark, [f.uri for f in files])[0]).select(
        *(F.col(name) for name in ("path", "block", "cut_off", "failure", "full_length", "full_sha256")),
        F.col("value").alias("raw"),
        F.explode(F.array(record)).alias("record"),
        no_text.alias("text"),
        no_text.alias("detail_type"),
        no_text.alias("account"),
        F.lit(False).alias("odd"),
        F.lit(0).alias("place"),
    )
    for step in ses.event_steps(limits, is_control=F.lit(False), problem=no_problem):
        rows = rows.select(*step)
    return rows.withColumns({"etl_time": F.current_timestamp(), "batch_id": F.lit("plain")})


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main() -> None:
    """Print events per second and seconds per small batch of both, and the ratios of their medians."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generate_ses(root / "large", events=events, seed=1, forms=Forms.plain(), events_per_file=20_000)
        generate_ses(root / "small", events=20_000, seed=2, forms=Forms.plain(), events_per_file=1_000)
        settings = load_settings(None, ["spark.driver_memory=4g"], warehouse=str(root / "unused"), master="local[2]")
        spark = build_session(settings, "bench")
        large, small = (sorted(list_files(root / name)) for name in ("large", "small"))
        ours, plain = Ours(spark, settings, root), Plain(spark, settings, root)
        for job in (ours, plain):  # warm
            job.run(small[:1])
        fast: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(ROUNDS):
            fast["ours"].append(timed(lambda: Ours(spark, settings, root).run(large)))
            fast["plain"].append(timed(lambda: Plain(spark, settings, root).run(large)))
        little: dict[str, list[float]] = {"ours": [], "plain": []}
        for file in small[1:]:
            little["ours"].append(timed(lambda f=file: ours.run([f])))  # type: ignore[misc]
            little["plain"].append(timed(lambda f=file: plain.run([f])))  # type: ignore[misc]
        a, b = (statistics.median(fast[name]) for name in ("ours", "plain"))
        print(f"{events:,} events: ours {events / a:,.0f}/s, plain {events / b:,.0f}/s, ratio {b / a:.2f} (>= 0.65)")
        a, b = (statistics.median(little[name][5:]) for name in ("ours", "plain"))
        print(f"batch of 1,000: ours {a:.2f} s, plain {b:.2f} s, ratio {a / b:.1f} (<= 4)")
        spark.stop()


class Plain:
    """The smallest job: parse and append."""

    def __init__(self, spark: SparkSession, settings: Settings, root: Path) -> None:
        self.spark, self.settings = spark, settings
        self.warehouse = Path(tempfile.mkdtemp(dir=root))
        tables.create(spark, self.warehouse, EVENTS)

    def run(self, files: list[FoundFile]) -> None:
        """One append."""
        rows = tables.shaped_as(plain_rows(self.spark, files, self.settings), EVENTS)
        rows.write.format("delta").mode("append").save(tables.uri(self.warehouse, EVENTS))


class Ours:
    """The product's own batch."""

    def __init__(self, spark: SparkSession, settings: Settings, root: Path) -> None:
        self.warehouse = Path(tempfile.mkdtemp(dir=root))
        for contract in (EVENTS, QUARANTINE, FILES):
            tables.create(spark, self.warehouse, contract)
        self.loader = BatchLoader(
            spark=spark,
            settings=settings,
            warehouse=self.warehouse,
            provider="ses",
            checkpoint_id="bench",
            parse=ses.to_events,
        )
        self.number = 0

    def run(self, files: list[FoundFile]) -> None:
        """One batch."""
        rows = [
            Row(uri=f.uri, modified_micros=f.modified_micros, length=f.length, is_hidden=False, backlog=0)
            for f in files
        ]
        self.loader.load(rows, self.number)
        self.number += 1


if __name__ == "__main__":
    main()
