"""`requests`: the team's own send requests, one per message and recipient."""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from transforms.identity import address_key
from transforms.instants import instant

_BLANKS = r"^[\s\u00a0]+|[\s\u00a0]+$"


def to_requests(raw: DataFrame, earliest: datetime, latest: datetime) -> DataFrame:
    """The rows of `requests` out of texts `message_id`, `recipient`, `request_time`, `region`, any of them NULL.

    Rows without a message id are left out. Of several rows of one message and recipient the earliest is kept (without
    a time: last), then the least region. A time outside of `earliest` to `latest` is none: years that other engines
    cannot read would make a table unreadable.
    """

    def stated(name: str) -> Column:
        text = F.regexp_replace(name, _BLANKS, "")
        return F.when(text != "", text)

    at = instant(stated("request_time"))
    kept = F.min(
        F.struct(F.col("request_time").isNull(), F.col("request_time"), F.col("region").isNull(), F.col("region"))
    )
    return (
        raw.select(
            stated("message_id").alias("message_id"),
            address_key(stated("recipient")).alias("recipient"),
            F.when(at.between(F.lit(earliest), F.lit(latest)), at).alias("request_time"),
            stated("region").alias("region"),
        )
        .where(F.col("message_id").isNotNull())
        .groupBy("message_id", "recipient")
        .agg(kept.alias("kept"))
        .select("message_id", "recipient", F.col("kept.request_time"), F.col("kept.region"))
    )
