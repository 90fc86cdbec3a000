"""`region_summary`: success by region, kind of email and day of the send."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.metrics import Profile
from schemas.region_summary import PERCENTILES, REGION_SUMMARY, WAITS
from schemas.stages import STAGES
from transforms.lifecycle import UNKNOWN


def to_region_summary(requests: DataFrame, messages: DataFrame, profile: Profile) -> DataFrame:
    """The rows of `region_summary` with the metrics of a profile.

    A message enters each region it was asked for once, however many of its recipients are there; without a request it
    is of region unknown. Requests without events count as requests only. A request knows no provider or account: of
    several messages of its id it is counted with the first.
    """
    is_counted, is_message = F.coalesce("of_id", F.lit(1)) == 1, F.col("provider").isNotNull()
    sent_at = F.coalesce("timestamp", "request_time")
    return (
        requests_by_region(requests)
        .join(with_order_in_id(messages), on="message_id", how="full_outer")
        .withColumns(
            {
                "region": F.coalesce("region", F.lit(UNKNOWN)),
                "email_kind": F.coalesce("email_kind", F.lit(UNKNOWN)),
                "send_date": F.coalesce(F.to_date(sent_at), "send_date"),
            }
        )
        .groupBy(*REGION_SUMMARY.key)
        .agg(
            F.coalesce(F.sum(F.when(is_counted, F.col("requests"))), F.lit(0)).alias("requests"),
            F.count_if(is_message).alias("messages"),
            *sums(profile).values(),
            *_waits(),
        )
        .withColumns(rates(profile))
    )


def requests_by_region(requests: DataFrame, *apart: str) -> DataFrame:
    """Per message id, region and values of `apart` how many requests there are, and the time of the first."""
    region = F.coalesce("region", F.lit(UNKNOWN)).alias("region")
    return requests.groupBy("message_id", region, *apart).agg(
        F.count(F.lit(1)).alias("requests"), F.min("request_time").alias("request_time")
    )


def with_regions(rows: DataFrame, own: DataFrame, requests: DataFrame, *apart: str) -> DataFrame:
    """`rows` of people with the array `regions`: of the own request for the message, without one all of the message's.

    `own` has the column of that name, an array, for each `message_id` and what says of rows whose they are. Rows and
    requests meet only with the same values of `apart`.
    """
    key = ["message_id", *apart]
    of_message = requests_by_region(requests, *apart).groupBy(*key).agg(F.collect_list("region").alias("all"))
    return (
        rows.join(own, on=[name for name in own.columns if name != "own"], how="left")
        .join(of_message, on=key, how="left")
        .withColumn("regions", F.coalesce("own", "all", F.array(F.lit(UNKNOWN))))
    )


def with_order_in_id(messages: DataFrame, *apart: str) -> DataFrame:
    """`messages` with `of_id`, their number among those with one message id and values of `apart`.

    Requests count with number 1.
    """
    same_id = Window.partitionBy("message_id", *apart).orderBy("provider", "account")
    return messages.withColumn("of_id", F.row_number().over(same_id))


def sums(profile: Profile) -> dict[str, Column]:
    """The counts, and what the profile's metrics count, as aggregates over rows of `messages`; 0 of none."""
    counts = {s.count: F.sum(s.count) for s in STAGES}
    metrics = {name: F.expr(sql) for metric in profile for name, sql in metric.sums.items()}
    return {name: F.coalesce(total, F.lit(0)).alias(name) for name, total in {**counts, **metrics}.items()}


def rates(profile: Profile) -> dict[str, Column]:
    """The profile's rates, of a row with its sums."""
    return {f"{metric.name}_rate": F.expr(metric.rate) for metric in profile}


def _waits() -> list[Column]:
    """Percentiles of the times from a message's send to its first events, as aggregates over messages."""
    sent = F.unix_micros(F.coalesce("first_send_at", "timestamp"))
    return [
        F.percentile((F.unix_micros(f"first_{event_class}_at") - sent) / 1_000_000, F.lit(share)).alias(
            f"seconds_to_{name}_{suffix}"
        )
        for name, event_class in WAITS.items()
        for suffix, (share, _) in PERCENTILES.items()
    ]
