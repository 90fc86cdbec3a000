"""`quarantine`: its records as lines to be read again, and what came of each."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.quarantine import QUARANTINE, SETTLED_OUTCOMES, STILL, Reason, ReplayOutcome
from transforms.records import CONTROL, path_of


def is_unsettled() -> Column:
    """Whether a quarantined record is yet to be tried, or may be tried again."""
    return F.coalesce(~F.col("replay_outcome").isin(*SETTLED_OUTCOMES), F.lit(True))


def is_whole() -> Column:
    """Whether all of the record was kept, so that it can be read again."""
    return F.col("record_length") == F.octet_length("record")


def numbered(quarantined: DataFrame) -> DataFrame:
    """What a replay needs of its records, each with a `number` that follows their order in their files.

    The numbers hold only for rows that are kept after this: computed again they may be others.
    """
    needed = (*QUARANTINE.key, "record", "record_length", "reason")
    ordered = quarantined.select(*needed).orderBy(*QUARANTINE.key)
    return ordered.withColumn("number", F.monotonically_increasing_id())


def lines_again(tried: DataFrame) -> DataFrame:
    """Records as RAW_LINES, with the record's `number` as `block`. A tail that was cut off stays one."""
    return tried.where(is_whole()).select(
        path_of(F.col("filename")).alias("path"),
        F.col("number").alias("block"),
        F.col("record").cast("string").alias("value"),
        F.lit(None).cast("long").alias("full_length"),
        F.lit(None).cast("string").alias("full_sha256"),
        (F.col("reason") == Reason.CUT_OFF.value).alias("cut_off"),
        F.lit(None).cast("string").alias("failure"),
    )


def outcomes(tried: DataFrame, rows: DataFrame, brought: DataFrame, states: Sequence[str]) -> DataFrame:
    """Of each record of `tried` its key, its `reason`, the `replay_outcome`, and how many `events` it brought.

    `rows` is what the provider's parser made of `lines_again`, with a version in one of the columns `states` if the
    record is one. `brought` holds `event_id` and `filename` of the rows of `events` that replay added: of several
    records of a file that state the same event, the first brought it.
    """
    is_version = F.lit(False)
    for name in states:
        is_version = is_version | F.col(name).isNotNull()
    parsed = rows.groupBy(F.col("block").alias("number")).agg(
        F.count("event_id").alias("events"),
        F.count_if(is_version).alias("versions"),
        F.count_if(F.col("outcome") == CONTROL).alias("controls"),
        F.min("reason").alias("reason_now"),
    )
    claimed = rows.select("event_id", "filename", "block").join(brought, ["event_id", "filename"], "inner")
    by_record = claimed.groupBy("event_id").agg(F.min("block").alias("number")).groupBy("number")
    found = (
        tried.join(parsed, "number", "left")
        .join(by_record.agg(F.count(F.lit(1)).alias("brought")), "number", "left")
        .withColumn("brought", F.coalesce("brought", F.lit(0)))
    )
    return found.select(*QUARANTINE.key, "reason", _outcome().alias("replay_outcome"), F.col("brought").alias("events"))


def _outcome() -> Column:
    """One of ReplayOutcome, or `still_` and the reason of today."""
    brought, events, versions, controls = (F.col(name) for name in ("brought", "events", "versions", "controls"))
    bad = F.col("reason_now")
    return (
        F.when(~is_whole(), F.lit(ReplayOutcome.NOT_WHOLE.value))
        .when(bad.isNotNull() & (events + versions + controls > 0), F.lit(ReplayOutcome.PARTLY.value))
        .when(bad.isNotNull(), F.concat(F.lit(STILL), bad))
        .when(brought > 0, F.lit(ReplayOutcome.EVENT.value))
        .when(events > 0, F.lit(ReplayOutcome.DUPLICATE.value))
        .when(versions > 0, F.lit(ReplayOutcome.VERSION.value))
        .when(controls > 0, F.lit(ReplayOutcome.CONTROL.value))
        .otherwise(F.concat(F.lit(STILL), F.col("reason")))  # no word about it: nothing may vanish
    )
