"""What the notebook shows: small tables out of large ones, each the answer to one question."""

from functools import reduce
from itertools import pairwise
from operator import add

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.messages import MESSAGE_KEY
from schemas.metrics import DEFAULT_PROFILE
from transforms.identity import address_key
from transforms.lifecycle import UNKNOWN

OTHERS = "all others"
"""The kinds of email that are too many for a picture, together."""
WAIT_BOUNDS = (
    (60, "1 min"),
    (300, "5 min"),
    (900, "15 min"),
    (3_600, "1 h"),
    (4 * 3_600, "4 h"),
    (12 * 3_600, "12 h"),
    (86_400, "1 day"),
    (2 * 86_400, "2 days"),
    (7 * 86_400, "7 days"),
)
"""Seconds at which one span of waiting ends and the next begins."""
WAITS = ("open", "click")


def came_in(events: DataFrame) -> DataFrame:
    """Events by provider and class, with the first and last day (UTC) that has one."""
    days = (F.min("event_date").alias("first_day"), F.max("event_date").alias("last_day"))
    counted = events.groupBy("provider", "event_class").agg(F.count(F.lit(1)).alias("events"), *days)
    return counted.orderBy("provider", F.desc("events"), "event_class")


def events_per_day(events: DataFrame) -> DataFrame:
    """Events by day (UTC) and provider."""
    counted = events.groupBy("event_date", "provider").agg(F.count(F.lit(1)).alias("events"))
    return counted.orderBy("event_date", "provider")


def how_fresh(freshness: DataFrame) -> DataFrame:
    """Per data set its newest event, file date and load (UTC), hours from that event to that load, and missing days."""
    lag = (F.unix_micros("newest_load_at") - F.unix_micros("newest_event_at")) / F.lit(3_600_000_000)
    times = [F.date_trunc("second", f"{name}_at").alias(name) for name in ("newest_event", "newest_load")]
    missing = F.array_join(F.col("missing_dates").cast("array<string>"), ", ").alias("missing_dates")
    key = ("provider", "client_id", "data_set")
    rows = freshness.select(*key, "files", *times, F.round(lag, 1).alias("lag_hours"), "newest_file_date", missing)
    return rows.orderBy(*key)


def rates_of_kinds(messages: DataFrame, most: int) -> DataFrame:
    """Messages and all metrics by kind of email; see `rates_by` for `most`."""
    counts = [
        F.expr(sql).alias(name)
        for metric in DEFAULT_PROFILE
        for name, sql in metric.columns.items()
        if not name.endswith("_rate")
    ]
    parts = messages.groupBy("email_kind").agg(F.count(F.lit(1)).alias("messages"), *counts)
    return rates_by(parts, "email_kind", most=most)


def rates_by(parts: DataFrame, *by: str, most: int) -> DataFrame:
    """Messages and all metrics by some columns, one of which is `email_kind`, from the counts of their parts.

    The `most` kinds with the most messages stand alone, the rest is `all others`, so that nothing is left out.
    """
    sums = [F.sum("messages").alias("messages")]
    rates = []
    for metric in DEFAULT_PROFILE:
        numerator, denominator, rate = metric.columns
        sums += [F.sum(numerator).alias(numerator), F.sum(denominator).alias(denominator)]
        rates.append(F.try_divide(F.sum(numerator), F.sum(denominator)).alias(rate))
    in_kind = F.sum("messages").over(Window.partitionBy("email_kind"))
    place = F.dense_rank().over(Window.orderBy(F.desc("in_kind"), "email_kind"))
    is_large = F.col("place") <= most
    ranked = parts.groupBy(*by).agg(*sums).withColumn("in_kind", in_kind).withColumn("place", place)
    named = ranked.withColumn("email_kind", F.when(is_large, F.col("email_kind")).otherwise(F.lit(OTHERS)))
    return named.groupBy(*by).agg(*sums, *rates).orderBy(F.col("email_kind") == OTHERS, F.desc("messages"), *by)


def funnel(messages: DataFrame) -> DataFrame:
    """Per provider how many messages were sent, of these delivered, of these opened, of these clicked."""
    is_delivered = F.col("is_delivered")
    steps = {
        "sent": F.col("recipients_sent") > 0,
        "delivered": is_delivered,
        "opened": is_delivered & F.col("is_opened"),
        "clicked": is_delivered & F.col("is_clicked"),
    }
    counts = [F.count_if(reached).alias(step) for step, reached in steps.items()]
    return messages.groupBy("provider").agg(*counts).orderBy("provider")


def flows(journeys: DataFrame) -> DataFrame:
    """How many journeys went from one state to the next: step (from 0), source, target, journeys.

    Every recipient of a message is one journey, and a message of which no recipient is known is one. Only the first
    step's source is a provider. A state's journeys come in from the step before and go out in the next, if any.
    """
    of_message = Window.partitionBy(*MESSAGE_KEY)
    is_unit = F.col("recipient").isNotNull() | (F.count("recipient").over(of_message) == 0)
    arrived = F.col("is_delivered") | (F.col("delivered") > 0)
    outcome = (
        F.when(arrived, F.lit("delivered"))
        .when(F.col("is_bounced"), F.lit("bounced"))
        .when(F.col("is_suppressed"), F.lit("suppressed"))
        .when(F.col("is_sent"), F.lit("no word yet"))
        .otherwise(F.lit("no send seen"))
    )
    reading = F.when(
        arrived,
        F.when(~F.col("is_delivered"), F.lit("bounced later"))
        .when(F.col("is_opened"), F.lit("opened"))
        .when(F.col("message_opened"), F.lit("opened by one of several"))
        .otherwise(F.lit("not opened")),
    )
    clicking = F.when(
        reading == "opened", F.when(F.col("is_clicked"), F.lit("clicked")).otherwise(F.lit("not clicked"))
    )
    states = [F.col("provider"), outcome, reading, clicking]
    steps = [
        F.struct(F.lit(i).alias("step"), source.alias("source"), target.alias("target"))
        for i, (source, target) in enumerate(pairwise(states))
    ]
    taken = (
        journeys.withColumn("is_unit", is_unit)
        .where("is_unit")
        .select(F.inline(F.array(*steps)))
        .where(F.col("target").isNotNull())
    )
    counted = taken.groupBy("step", "source", "target").agg(F.count(F.lit(1)).alias("journeys"))
    return counted.orderBy("step", "source", "target")


def waits(journeys: DataFrame) -> DataFrame:
    """How many journeys waited how long from the send to the first open or click: wait, span, journeys.

    Span n ends before `WAIT_BOUNDS[n]`, the last one has no end. A wait below 0, where clocks differ, is of span 0.
    """
    span: Column = reduce(add, [(F.col("seconds") >= bound).cast("int") for bound, _ in WAIT_BOUNDS])
    counted = _waited(journeys).groupBy("wait", span.alias("span")).agg(F.count(F.lit(1)).alias("journeys"))
    return counted.orderBy(F.desc("wait"), "span")


def typical_waits(journeys: DataFrame) -> DataFrame:
    """Exact median and 95th percentile of the seconds from the send to the first open or click."""
    typical = _waited(journeys).groupBy("wait").agg(
        F.count(F.lit(1)).alias("journeys"),
        F.percentile("seconds", F.lit(0.5)).alias("median_seconds"),
        F.percentile("seconds", F.lit(0.95)).alias("p95_seconds"),
    )  # fmt: skip
    return typical.orderBy(F.desc("wait"))


def _waited(journeys: DataFrame) -> DataFrame:
    each = [F.struct(F.lit(w).alias("wait"), F.col(f"seconds_to_{w}").alias("seconds")) for w in WAITS]
    return journeys.select(F.inline(F.array(*each))).where(F.col("seconds").isNotNull())


def journeys_of(journeys: DataFrame, who: str) -> DataFrame:
    """The journeys of a recipient (an address in any case of its domain, or a profile id) or a message id."""
    asked = F.lit(who)
    is_asked = (F.col("message_id") == asked) | F.col("recipient").isin(asked, address_key(asked))
    return journeys.where(is_asked).orderBy("timestamp", "message_id", "recipient")


def reminders(opened_not_clicked: DataFrame, requests: DataFrame) -> DataFrame:
    """Whom to write to again: one row per journey of the view `opened_not_clicked` that names its recipient.

    `region` are the regions the message was asked for, comma-separated, `unknown` if none. `may_have_clicked`: somebody
    clicked the message, and SES does not say which of its recipients. `last_state` tells who opted out or complained.
    """
    regions = requests.groupBy("message_id").agg(F.array_join(F.sort_array(F.collect_set("region")), ", ").alias("r"))
    named = opened_not_clicked.where(F.col("recipient").isNotNull()).join(regions, on="message_id", how="left")
    region = F.when(F.col("r") != "", F.col("r")).otherwise(F.lit(UNKNOWN))
    return named.select(
        "recipient",
        region.alias("region"),
        "email_kind",
        "send_date",
        "opened",
        "first_open_at",
        F.col("message_clicked").alias("may_have_clicked"),
        "last_state",
        "provider",
        "account",
        "message_id",
    ).orderBy("recipient", "first_open_at", "message_id")
