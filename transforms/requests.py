"""`requests`: the team's own send requests, one per message and recipient."""

from collections.abc import Mapping
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampNTZType, TimestampType

from transforms.identity import address_key
from transforms.instants import instant

_BLANKS = r"^[\s\u00a0]+|[\s\u00a0]+$"


def as_texts(rows: DataFrame, names: Mapping[str, str | None]) -> DataFrame:
    """The columns that `names` gives to columns of `rows`, as texts; NULL where it gives none.

    A time without a zone is UTC, as the session is.
    """
    texts = {name: F.lit(None) if own is None else _column(own) for name, own in names.items()}
    return rows.select(*[text.cast("string").alias(name) for name, text in texts.items()])


def made_since(rows: DataFrame, request_time: str, since: datetime | None) -> DataFrame:
    """The rows whose column `request_time` is `since` or later; all of them if that is None.

    On a column of instants, with zone or in UTC without one, this is a condition that a database or Delta takes over.
    """
    if since is None:
        return rows
    stated, kind = _column(request_time), rows.schema[request_time].dataType
    if isinstance(kind, TimestampType | TimestampNTZType):
        return rows.where(stated >= F.lit(since).cast(kind))
    return rows.where(instant(_stripped(stated)) >= F.lit(since))


def to_requests(raw: DataFrame, earliest: datetime, latest: datetime) -> DataFrame:
    """The rows of `requests` out of texts `message_id`, `recipient`, `request_time`, `region`, any of them NULL.

    Rows without a message id are left out. Of several rows of one message and recipient the earliest is kept (without
    a time: last), then the least region. A time outside of `earliest` to `latest` is none: years that other engines
    cannot read would make a table unreadable.
    """
    at = instant(_stripped(F.col("request_time")))
    kept = F.min(
        F.struct(F.col("request_time").isNull(), F.col("request_time"), F.col("region").isNull(), F.col("region"))
    )
    return (
        raw.select(
            _stripped(F.col("message_id")).alias("message_id"),
            address_key(_stripped(F.col("recipient"))).alias("recipient"),
            F.when(at.between(F.lit(earliest), F.lit(latest)), at).alias("request_time"),
            _stripped(F.col("region")).alias("region"),
        )
        .where(F.col("message_id").isNotNull())
        .groupBy("message_id", "recipient")
        .agg(kept.alias("kept"))
        .select("message_id", "recipient", F.col("kept.request_time"), F.col("kept.region"))
    )


def _column(name: str) -> Column:
    return F.col(f"`{name.replace('`', '``')}`")


def _stripped(stated: Column) -> Column:
    text = F.regexp_replace(stated.cast("string"), _BLANKS, "")
    return F.when(text != "", text)
