"""`campaigns`: totals and rates of each blast, template and configuration set."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.campaigns import CAMPAIGN_KEY
from schemas.messages import MESSAGE_KEY, CampaignKind
from schemas.metrics import DEFAULT_PROFILE, Profile
from transforms.region_summary import sums_and_metrics

RECIPIENTS = ("recipients", "recipients_opened", "recipients_clicked")
"""What is counted once per campaign and recipient."""


def to_campaigns(
    messages: DataFrame,
    recipients: DataFrame,
    revenues: DataFrame,
    blasts: DataFrame,
    profile: Profile = DEFAULT_PROFILE,
) -> DataFrame:
    """The rows of `campaigns`; of the rows of `recipients_of_campaigns` and `message_revenues`."""
    key = list(CAMPAIGN_KEY)
    names = blasts.select(
        F.lit("sailthru").alias("provider"),
        F.col("client_id").alias("account"),
        F.lit(CampaignKind.BLAST.value).alias("campaign_kind"),
        F.col("id").alias("campaign"),
        "name",
    )
    return (
        of_campaign(messages)
        .join(revenues, on=list(MESSAGE_KEY), how="left")
        .groupBy(*key)
        .agg(
            F.count(F.lit(1)).alias("messages"),
            F.min("send_date").alias("first_send_date"),
            F.max("send_date").alias("last_send_date"),
            F.sum("revenue").alias("revenue"),
            *sums_and_metrics(profile),
        )
        .join(recipients.select(*key, *RECIPIENTS), on=key, how="left")
        .fillna(0, RECIPIENTS)
        .join(names, on=key, how="left")
    )


def recipients_of_campaigns(journeys: DataFrame) -> DataFrame:
    """CAMPAIGN_KEY and RECIPIENTS, of campaigns with recipients whom an event names.

    All journeys of a recipient in a campaign must be among them.
    """
    return (
        of_campaign(journeys)
        .where(F.col("recipient").isNotNull())
        .groupBy(*CAMPAIGN_KEY, "recipient")
        .agg(F.bool_or("is_opened").alias("is_opened"), F.bool_or("is_clicked").alias("is_clicked"))
        .groupBy(*CAMPAIGN_KEY)
        .agg(
            F.count(F.lit(1)).alias("recipients"),
            F.count_if("is_opened").alias("recipients_opened"),
            F.count_if("is_clicked").alias("recipients_clicked"),
        )
    )


def of_campaign(rows: DataFrame) -> DataFrame:
    """`messages` or `journeys` with `campaign` as in the key of `campaigns`: `unknown` where none is stated."""
    return rows.withColumn("campaign", F.coalesce("campaign", F.lit(CampaignKind.UNKNOWN.value)))


def message_revenues(sailthru_messages: DataFrame) -> DataFrame:
    """The key of `messages` and `revenue`, of every message in the table of newest versions.

    That table has a row for each day on which a message says that it was sent: the newest version counts.
    """
    return sailthru_messages.groupBy(
        F.lit("sailthru").alias("provider"), F.col("client_id").alias("account"), "message_id"
    ).agg(F.max_by("message_revenue", "version").alias("revenue"))
