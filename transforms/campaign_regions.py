"""`campaign_regions`: how many people of which region a campaign was sent to."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.campaign_regions import CAMPAIGN_REGIONS
from transforms.campaigns import of_campaign
from transforms.increments import summed
from transforms.lifecycle import UNKNOWN
from transforms.region_summary import requests_by_region, with_order_in_id, with_regions

COUNTS = tuple(name for name in CAMPAIGN_REGIONS.columns if name not in CAMPAIGN_REGIONS.key)


def to_campaign_regions(requests: DataFrame, messages: DataFrame, journeys: DataFrame) -> DataFrame:
    """The rows of `campaign_regions`.

    Messages and requests count as in `region_summary`; requests without events are of no campaign. A recipient is of
    the region of the own request, and only without one of all regions of the message: Sailthru's recipients are
    profile ids, which requests seldom name.
    """
    counted = [messages_by_region(requests, messages), recipients_by_region(requests, journeys)]
    return summed(CAMPAIGN_REGIONS.key, COUNTS, counted)


def messages_by_region(requests: DataFrame, messages: DataFrame, *apart: str) -> DataFrame:
    """CAMPAIGN_REGIONS.key, `requests` and `messages`, and the columns `apart`, of which each value is counted alone.

    All messages of a message id must be among them, and all its requests.
    """
    return (
        of_campaign(with_order_in_id(messages, *apart))
        .join(requests_by_region(requests, *apart), on=["message_id", *apart], how="left")
        .withColumn("region", F.coalesce("region", F.lit(UNKNOWN)))
        .groupBy(*CAMPAIGN_REGIONS.key, *apart)
        .agg(
            F.coalesce(F.sum(F.when(F.col("of_id") == 1, F.col("requests"))), F.lit(0)).alias("requests"),
            F.count(F.lit(1)).alias("messages"),
        )
    )


def recipients_by_region(requests: DataFrame, journeys: DataFrame, *apart: str) -> DataFrame:
    """CAMPAIGN_REGIONS.key and `recipients`, and the columns `apart`, of which each value is counted alone.

    All journeys of a recipient in a campaign must be among them, and all requests of their messages.
    """
    region = F.array(F.coalesce("region", F.lit(UNKNOWN)))
    own = requests.select("message_id", "recipient", *apart, region.alias("own"))
    return (
        with_regions(of_campaign(journeys).where(F.col("recipient").isNotNull()), own, requests, *apart)
        .withColumn("region", F.explode("regions"))
        .groupBy(*CAMPAIGN_REGIONS.key, *apart)
        .agg(F.count_distinct("recipient").alias("recipients"))
    )
