"""`requests`: the team's own send requests, one per message and recipient."""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampNTZType, TimestampType

from schemas.requests import REQUESTS
from transforms.identity import address_key
from transforms.instants import instant
from transforms.texts import column, stripped


def made_since(rows: DataFrame, request_time: str, since: datetime | None) -> DataFrame:
    """The rows whose column `request_time` is `since` or later; all of them if that is None.

    On a column of instants, with zone or in UTC without one, this is a condition that a database or Delta takes over.
    """
    if since is None:
        return rows
    stated, kind = column(request_time), rows.schema[request_time].dataType
    if isinstance(kind, TimestampType | TimestampNTZType):
        return rows.where(stated >= F.lit(since).cast(kind))
    return rows.where(instant(stripped(stated)) >= F.lit(since))


def to_requests(raw: DataFrame, earliest: datetime, latest: datetime) -> DataFrame:
    """The rows of `requests` out of texts `message_id`, `recipient`, `request_time`, `region`, any of them NULL.

    Rows without a message id are left out. Of several rows of one message and recipient the earliest is kept (without
    a time: last), then the least region. A time outside of `earliest` to `latest` is none: years that other engines
    cannot read would make a table unreadable.
    """
    at = instant(stripped(F.col("request_time")))
    return with_hash(
        raw.select(
            stripped(F.col("message_id")).alias("message_id"),
            address_key(stripped(F.col("recipient"))).alias("recipient"),
            F.when(at.between(F.lit(earliest), F.lit(latest)), at).alias("request_time"),
            stripped(F.col("region")).alias("region"),
        )
        .where(F.col("message_id").isNotNull())
        .groupBy("message_id", "recipient")
        .agg(F.min(_rank()).alias("kept"))
        .select("message_id", "recipient", F.col("kept.request_time"), F.col("kept.region"))
    )


def with_hash(requests: DataFrame) -> DataFrame:
    """Requests with `request_date` and `row_hash`, which follow from their time and region."""
    micros = F.unix_micros("request_time")
    return requests.withColumns(
        {"request_date": F.to_date("request_time"), "row_hash": F.xxhash64(F.struct(micros, "region"))}
    )


def changes(stored: DataFrame, read: DataFrame, *, is_whole: bool) -> DataFrame:
    """What `read`, rows of `requests`, changes of those `stored`: one row per request that is not what it was.

    Gives the key, `was` and `now`: structs of the other columns, NULL if the request was or is not there. If `read`
    is not the whole source but only rows added to it, the first of equal key counts, as ever, and none is removed.
    """
    others = [F.struct(*[name for name in REQUESTS.columns if name not in REQUESTS.key]).alias("row")]
    both = stored.select(*REQUESTS.key, *others, F.lit(True).alias("is_stored")).unionByName(
        read.select(*REQUESTS.key, *others, F.lit(False).alias("is_stored"))
    )
    is_stored, row = F.col("is_stored"), F.col("row")
    is_candidate = ~is_stored if is_whole else F.lit(True)
    first = F.min_by(row, F.when(is_candidate, _rank("row.")))
    is_same = F.col("was")["row_hash"].eqNullSafe(F.col("now")["row_hash"])
    return (
        both.groupBy(*REQUESTS.key)
        .agg(F.max_by(row, F.when(is_stored, F.lit(1))).alias("was"), first.alias("now"))
        .where(~is_same)
    )


def _rank(of: str = "") -> Column:
    """The least of the requests of one message and recipient is the one that is kept."""
    time, region = F.col(f"{of}request_time"), F.col(f"{of}region")
    return F.struct(time.isNull(), time.alias("request_time"), region.isNull(), region.alias("region"))
