"""What sessions cost against sorting the same events, how that grows, and that one person's events may be a fifth.

    bench/run.sh sessions [events]

Made-up opens, clicks and purchases of a year, a fifth of them one person's, in Parquet; driver's memory 2 GB, 2 cores.
The rival writes the same columns sorted by person and time, which nothing that looks for pauses can go without.
"""

import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.settings import load_settings
from jobs.session import build_session
from transforms.sessions import engagement, to_sessions

ROUNDS = 3
RULES = engagement(timedelta(minutes=15), ["click", "purchase"])


def made_up(spark: SparkSession, events: int) -> DataFrame:
    """Events of 1 person in 25 events, but for every fifth, which is of one and the same."""
    whose = F.when(F.col("id") % 5 == 0, F.lit("one@example.com")).otherwise(
        F.concat(F.pmod(F.xxhash64(F.col("id") % F.lit(events // 25)), F.lit(10**12)), F.lit("@example.com"))
    )
    second = F.pmod(F.xxhash64("id"), F.lit(365 * 86_400))
    kind = F.element_at(F.array(*map(F.lit, ("open", "open", "click", "purchase"))), (F.col("id") % 4 + 1).cast("int"))
    return spark.range(events).select(
        whose.alias("person_key"),
        F.timestamp_seconds(second + 1_730_000_000).alias("event_time"),
        kind.alias("event_class"),
    )


def seconds_of(rows: DataFrame, place: Path) -> float:
    """Write the rows; how long that took."""
    began = time.monotonic()
    rows.write.mode("overwrite").parquet(str(place))
    return time.monotonic() - began


def measured(spark: SparkSession, root: Path, events: int) -> float:
    """Print what the sessions of so many events cost; the median of seconds."""
    source = root / f"events-{events}"
    made_up(spark, events).write.parquet(str(source))
    rows = spark.read.parquet(str(source))
    ours, plain = [], []
    for _ in range(ROUNDS):
        ours.append(seconds_of(to_sessions(rows, RULES), root / "sessions"))
        by_person = rows.repartition("person_key").sortWithinPartitions("person_key", "event_time")
        plain.append(seconds_of(by_person, root / "sorted"))
    sessions = spark.read.parquet(str(root / "sessions")).agg(F.count("*").alias("n"), F.sum("events").alias("e"))
    counted = sessions.first()
    assert counted is not None
    if counted.e != events:
        raise SystemExit(f"{events:,} events, but {counted.e:,} in sessions.")
    a, b = statistics.median(ours), statistics.median(plain)
    print(f"{events:,} events: {counted.n:,} sessions in {a:.1f} s, sorted {b:.1f} s: {a / b:.2f}", flush=True)
    return a


def main() -> None:
    """Print seconds and ratios for a fifth of the events, and for all."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    spark = build_session(load_settings(None, ["spark.driver_memory=2g"], master="local[2]"), "bench")
    with tempfile.TemporaryDirectory() as folder:
        few, many = (measured(spark, Path(folder), size) for size in (events // 5, events))
        print(f"5 times the events: {many / few:.1f} times the seconds")
    spark.stop()


if __name__ == "__main__":
    main()
