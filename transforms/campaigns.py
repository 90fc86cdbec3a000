"""`campaigns`: totals and rates of each blast, template and configuration set."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.campaigns import CAMPAIGN_KEY
from schemas.messages import MESSAGE_KEY, CampaignKind
from schemas.metrics import DEFAULT_PROFILE, Profile
from transforms.increments import SIGN
from transforms.region_summary import rates, sums

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
    with_revenue = of_campaign(messages).join(revenues, on=list(MESSAGE_KEY), how="left")
    rows = with_revenue.groupBy(*CAMPAIGN_KEY).agg(*_days(), _revenue(), *_counted(profile))
    return told_in_full(rows.join(recipients, on=list(CAMPAIGN_KEY), how="left"), blasts, profile)


def told_in_full(rows: DataFrame, blasts: DataFrame, profile: Profile) -> DataFrame:
    """The rows of `campaigns` out of all that is counted: with the names of blasts, and rates."""
    names = blasts.select(
        F.lit("sailthru").alias("provider"),
        F.col("client_id").alias("account"),
        F.lit(CampaignKind.BLAST.value).alias("campaign_kind"),
        F.col("id").alias("campaign"),
        "name",
    )
    named = rows.fillna(0, RECIPIENTS).join(names, on=list(CAMPAIGN_KEY), how="left")
    return named.withColumns(rates(profile))


def days_of_campaigns(messages: DataFrame) -> DataFrame:
    """CAMPAIGN_KEY and the days of the first and the last send."""
    return of_campaign(messages).groupBy(*CAMPAIGN_KEY).agg(*_days())


def revenues_of_campaigns(messages: DataFrame, revenues: DataFrame) -> DataFrame:
    """CAMPAIGN_KEY and `revenue` of campaigns of Sailthru; NULL, or no row, if none is stated."""
    stated = of_campaign(messages.where("provider = 'sailthru'")).join(revenues, on=list(MESSAGE_KEY))
    return stated.groupBy(*CAMPAIGN_KEY).agg(_revenue())


def moved_days(campaigns: DataFrame, changed: DataFrame) -> DataFrame:
    """CAMPAIGN_KEY, the days of the first and the last send, and whether they are `known`, of campaigns that changed.

    `campaigns` has CAMPAIGN_KEY and those days as they were; `changed` the messages that changed, with SIGN. The days
    are not known where one of those that were has lost messages: it may have had no others.
    """
    of_day = of_campaign(changed).groupBy(*CAMPAIGN_KEY, "send_date").agg(F.sum(SIGN).alias("more"))
    were = campaigns.select(
        *CAMPAIGN_KEY, F.col("first_send_date").alias("first"), F.col("last_send_date").alias("last")
    )
    is_end = F.coalesce(F.col("send_date").isin(F.col("first"), F.col("last")), F.lit(False))
    gained = F.when(F.col("more") > 0, F.col("send_date"))
    return (
        of_day.join(were, on=list(CAMPAIGN_KEY), how="left")
        .groupBy(*CAMPAIGN_KEY)
        .agg(
            F.least(F.min("first"), F.min(gained)).alias("first_send_date"),
            F.greatest(F.max("last"), F.max(gained)).alias("last_send_date"),
            (~F.bool_or(is_end & (F.col("more") < 0))).alias("known"),
        )
    )


def counts_of_campaigns(messages: DataFrame, profile: Profile, *apart: str) -> DataFrame:
    """CAMPAIGN_KEY and what is counted of messages, and the columns `apart`, of which each value is counted alone."""
    return of_campaign(messages).groupBy(*CAMPAIGN_KEY, *apart).agg(*_counted(profile))


def _counted(profile: Profile) -> list[Column]:
    return [F.count(F.lit(1)).alias("messages"), *sums(profile).values()]


def _days() -> list[Column]:
    return [F.min("send_date").alias("first_send_date"), F.max("send_date").alias("last_send_date")]


def _revenue() -> Column:
    """The sum of what is stated, NULL of nothing."""
    return F.sum("revenue").alias("revenue")


def recipients_of_campaigns(journeys: DataFrame, *apart: str) -> DataFrame:
    """CAMPAIGN_KEY and RECIPIENTS, of campaigns with recipients whom an event names, and the columns `apart`.

    Each value of `apart` is counted alone. All journeys of a recipient in a campaign must be among them.
    """
    return (
        of_campaign(journeys)
        .where(F.col("recipient").isNotNull())
        .groupBy(*CAMPAIGN_KEY, *apart, "recipient")
        .agg(F.bool_or("is_opened").alias("is_opened"), F.bool_or("is_clicked").alias("is_clicked"))
        .groupBy(*CAMPAIGN_KEY, *apart)
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
