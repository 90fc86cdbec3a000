"""`events`: which events of a batch are new, and the rows to add for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


@dataclass(frozen=True)
class DayRange:
    """The first and the last event time of a batch within one UTC day."""

    day: date
    first: datetime
    last: datetime


def within(ranges: Sequence[DayRange]) -> Column:
    """Rows of `events` that could be copies of a batch's: a copy has the same event time.

    Literals per day, so that Delta reads only the files of these days that overlap, however large the table is,
    and an event that is 400 days late widens its own day only.
    """
    parts = [
        (F.col("event_date") == F.lit(r.day)) & F.col("event_time").between(F.lit(r.first), F.lit(r.last))
        for r in ranges
    ]
    condition = parts[0]
    for part in parts[1:]:
        condition = condition | part
    return condition


def duplicates(rows: DataFrame, known: DataFrame) -> DataFrame:
    """`filename` and `place` of each event that is known already or comes again within the batch.

    `known` holds the `event_id`s of other batches. Within the batch the copy with the least (filename, position)
    is kept; `block` and `place` order a file's records as their positions do.
    """
    order = Window.partitionBy("event_id").orderBy("filename", "block", "place")
    ranked = (
        rows.where(F.col("event_id").isNotNull())
        .select("event_id", "filename", "block", "place")
        .withColumn("copy", F.row_number().over(order))
    )
    marked = known.select("event_id", F.lit(True).alias("is_known"))
    return (
        ranked.join(marked, "event_id", "left")
        .where((F.col("copy") > 1) | F.col("is_known"))
        .select("filename", "place")
    )
