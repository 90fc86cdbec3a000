"""`events`: which events of a batch are new, and the rows to add for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_MOST_PARTS = 50
"""Of 70 days, each with its times, Delta 4.4.0 made a condition over statistics of files that Java does not compile."""


@dataclass(frozen=True)
class DayRange:
    """The first and the last event time of a batch within one UTC day, in microseconds since 1970.

    Numbers, for a collected timestamp has no zone: in the hour that comes twice it does not say which one it is.
    """

    day: date
    first: int
    last: int


def within(ranges: Sequence[DayRange]) -> Column:
    """Rows of `events` that could be copies of a batch's: a copy has the same event time.

    Literals per day, so that Delta reads only the files of these days that overlap, however large the table is,
    and an event that is 400 days late widens its own day only. Of many days some that follow one another share theirs.
    """
    ordered = sorted(ranges, key=lambda r: r.day)
    size = -(-len(ordered) // _MOST_PARTS)
    groups = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    times = [F.col("event_time").between(_literal(of[0].first), _literal(of[-1].last)) for of in groups]
    return F.col("event_date").isin([r.day for r in ordered]) & reduce(or_, times)


def _literal(micros: int) -> Column:
    return F.lit(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros))


def repeated(rows: DataFrame, known: DataFrame) -> DataFrame:
    """`event_id` and `is_known` of the events that are known already or come again within the batch.

    `known` holds the `event_id`s of other batches. One shuffle of keys, no join and no sort: most batches repeat
    nothing, and then this is all that dedupe costs.
    """
    own = rows.where(F.col("event_id").isNotNull()).select("event_id", F.lit(1).alias("copies"))
    both = own.unionByName(known.select("event_id", F.lit(0).alias("copies")))
    copies = F.sum("copies").alias("copies")
    counted = both.groupBy("event_id").agg(copies, (F.min("copies") == 0).alias("is_known"))
    is_repeated = (F.col("copies") > 1) | (F.col("is_known") & (F.col("copies") > 0))
    return counted.where(is_repeated).select("event_id", "is_known")


def duplicates(rows: DataFrame, found: DataFrame) -> DataFrame:
    """`filename` and `place` of each event that is not to be added; `found` as `repeated` gives it.

    Within the batch the copy with the least (filename, position) is kept; `block` and `place` order a file's
    records as their positions do.
    """
    order = Window.partitionBy("event_id").orderBy("filename", "block", "place")
    return (
        rows.select("event_id", "filename", "block", "place")
        .join(found, "event_id")
        .withColumn("copy", F.row_number().over(order))
        .where((F.col("copy") > 1) | F.col("is_known"))
        .select("filename", "place")
    )
