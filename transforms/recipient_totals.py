"""`recipient_totals`: all that a recipient ever got and did."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.messages import MESSAGE_KEY, CampaignKind
from schemas.recipient_totals import RECIPIENT_KEY
from schemas.stages import DATED, STAGES


def to_recipient_totals(journeys: DataFrame, revenues: DataFrame, many: int) -> DataFrame:
    """The rows of `recipient_totals`; more than `many` is many, `revenues` are those of `message_revenues`."""
    is_campaign = F.col("campaign_kind").isin(CampaignKind.BLAST.value, CampaignKind.CONFIGURATION_SET.value)
    campaign = F.when(is_campaign, F.col("campaign"))
    opened, clicked = F.col("is_opened"), F.col("is_clicked")
    return (
        journeys.where(F.col("recipient").isNotNull())
        .join(revenues, on=list(MESSAGE_KEY), how="left")
        .groupBy(*RECIPIENT_KEY)
        .agg(
            F.count(F.lit(1)).alias("messages"),
            F.count_if(opened).alias("messages_opened"),
            F.count_if(clicked).alias("messages_clicked"),
            _distinct(campaign).alias("campaigns"),
            _distinct(F.when(opened, campaign)).alias("campaigns_opened"),
            _distinct(F.when(clicked, campaign)).alias("campaigns_clicked"),
            *[F.sum(s.count).alias(s.count) for s in STAGES],
            *[F.min(name).alias(name) for name in (f"first_{event_class}_at" for event_class in DATED)],
            *[F.max(name).alias(name) for name in (f"last_{event_class}_at" for event_class in DATED)],
            F.sum("revenue").alias("revenue"),
        )
        .withColumns({"has_many_campaigns": F.col("campaigns") > many, "has_many_clicks": F.col("clicked") > many})
    )


def _distinct(campaign: Column) -> Column:
    """How many different ones, as one aggregate beside others: several `count_distinct` would multiply the rows."""
    return F.size(F.collect_set(campaign))
