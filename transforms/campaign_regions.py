"""`campaign_regions`: how many people of which region a campaign was sent to."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.campaign_regions import CAMPAIGN_REGIONS
from transforms.campaigns import of_campaign
from transforms.lifecycle import UNKNOWN
from transforms.region_summary import requests_by_region, with_order_in_id


def to_campaign_regions(requests: DataFrame, messages: DataFrame, journeys: DataFrame) -> DataFrame:
    """The rows of `campaign_regions`.

    Messages and requests count as in `region_summary`; requests without events are of no campaign. A recipient is of
    the region of the own request, and only without one of all regions of the message: Sailthru's recipients are
    profile ids, which requests seldom name.
    """
    key, unknown = list(CAMPAIGN_REGIONS.key), F.lit(UNKNOWN)
    asked = requests_by_region(requests)
    region = F.coalesce("region", unknown).alias("region")
    counted = (
        of_campaign(with_order_in_id(messages))
        .join(asked, on="message_id", how="left")
        .withColumn("region", region)
        .groupBy(*key)
        .agg(
            F.coalesce(F.sum(F.when(F.col("of_id") == 1, F.col("requests"))), F.lit(0)).alias("requests"),
            F.count(F.lit(1)).alias("messages"),
        )
    )
    own = requests.select("message_id", "recipient", F.array(region).alias("own"))
    of_message = asked.groupBy("message_id").agg(F.collect_list("region").alias("all"))
    recipients = (
        of_campaign(journeys)
        .where(F.col("recipient").isNotNull())
        .join(own, on=["message_id", "recipient"], how="left")
        .join(of_message, on="message_id", how="left")
        .withColumn("region", F.explode(F.coalesce("own", "all", F.array(unknown))))
        .groupBy(*key)
        .agg(F.count_distinct("recipient").alias("recipients"))
    )
    return counted.join(recipients, on=key, how="left").withColumn("recipients", F.coalesce("recipients", F.lit(0)))
