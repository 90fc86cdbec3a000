"""Where parsed rows go, whoever read them: the events that are new, and the newest versions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs import tables
from jobs.crash_points import reached
from jobs.locks import writing_events
from jobs.storage import Location
from schemas.contract import TableContract
from schemas.events import EVENTS
from transforms.events import DayRange, duplicates, repeated, within
from transforms.states import newest

_MANY_DUPLICATES = 2000
_MANY_DAYS = 14


def append_new(
    rows: DataFrame,
    ranges: Sequence[DayRange],
    events: int,
    writer: tables.Writer,
    batch_id: str,
    stamp: Mapping[str, Column],
    gone: Sequence[str] = (),
) -> Counter[str]:
    """Add those of the `events` events in `rows` that are not there yet; per file how many were there or came twice.

    Rows of this `batch_id` do not count as being there, but for those of files that are `gone` since it committed them:
    nothing in `rows` is the copy that was kept. Other writers of `events` wait until the commit.
    """
    with writing_events(writer.warehouse):
        spark = rows.sparkSession
        there = tables.read(spark, writer.warehouse, EVENTS)
        is_known = F.col("batch_id") != batch_id
        if gone:
            is_known = is_known | F.col("filename").isin(list(gone))
        known = there.where(within(ranges) & is_known).select("event_id")
        found = repeated(rows, known).toArrow()
        again = pa.table({"filename": [], "place": []})
        if found.num_rows:
            again = duplicates(rows, spark.createDataFrame(found)).toArrow()
        reached("duplicates found")
        if again.num_rows < events:
            new = rows.where(F.col("event_id").isNotNull())
            if again.num_rows > _MANY_DUPLICATES:
                places = spark.createDataFrame(pa.table({"place": again.column("place")}))
                new = new.join(F.broadcast(places), "place", "left_anti")
            elif again.num_rows:
                new = new.where(~F.col("place").isin(again.column("place").to_pylist()))
            if len(ranges) > _MANY_DAYS:  # else each task would leave a small file per day
                new = new.repartition("event_date")
            writer.append(new.withColumns(dict(stamp)), EVENTS)
            reached("events committed")
    return Counter(again.column("filename").to_pylist())


def keep_newest(
    rows: DataFrame,
    states: Iterable[TableContract],
    histories: Mapping[str, TableContract],
    warehouse: Location,
    stamp: Mapping[str, Column],
) -> None:
    """Bring tables of newest versions up to date with those in `rows`; the same versions again change nothing.

    Before a table whose name is in `histories` comes the one that keeps its versions.
    """
    for state in states:
        versions = rows.where(F.col(state.name).isNotNull()).select(f"{state.name}.*").withColumns(dict(stamp))
        for contract in filter(None, (histories.get(state.name), state)):
            days = [row[0] for name in contract.partitioned_by for row in versions.select(name).distinct().collect()]
            tables.upsert(rows.sparkSession, warehouse, newest(versions, contract), contract, days)
            reached(f"{contract.name} committed")
