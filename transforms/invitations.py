"""`invitations`: how the recipients of each campaign answered."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.campaigns import CAMPAIGN_KEY
from schemas.invitations import RECENT
from transforms.campaigns import of_campaign


def to_invitations(journeys: DataFrame, response_days: int, as_of: DataFrame | None = None) -> DataFrame:
    """The rows of `invitations`; recent are the sends of the `response_days` days that end with the newest send.

    The newest send, not the clock, so that the same messages give the same rows whenever they are counted.
    """
    as_of = newest_send(journeys) if as_of is None else as_of
    is_recent = F.col("send_date") > F.date_sub("as_of_date", response_days)
    return (
        of_campaign(journeys)
        .crossJoin(F.broadcast(as_of))
        .groupBy(*CAMPAIGN_KEY, "as_of_date", "recipient")
        .agg(*_of_recipient("", F.lit(True)), *_of_recipient(RECENT, is_recent))
        .groupBy(*CAMPAIGN_KEY, "as_of_date")
        .agg(*_of_campaign(""), *_of_campaign(RECENT))
    )


def newest_send(journeys: DataFrame) -> DataFrame:
    """One row: `as_of_date`, the day of the newest send."""
    return journeys.agg(F.max("send_date").alias("as_of_date"))


def _of_recipient(prefix: str, is_counted: Column) -> list[Column]:
    """What is true of any of a recipient's messages of a campaign, as aggregates over its journeys; never NULL."""
    is_invited = is_counted & F.col("is_sent") & F.col("recipient").isNotNull()
    may_be_own = F.col("message_clicked") | F.col("message_unsubscribed")
    flags = {
        "is_invited": is_invited,
        "got_it": is_invited & F.col("is_delivered"),
        "has_clicked": is_invited & F.col("is_clicked"),
        "has_left": is_invited & F.col("is_unsubscribed"),
        "may_have_answered": is_invited & F.col("is_delivered") & may_be_own,
    }
    return [F.bool_or(flag).alias(prefix + name) for name, flag in flags.items()]


def _of_campaign(prefix: str) -> list[Column]:
    """The columns that count answers, as aggregates over a campaign's recipients."""
    invited, got_it, clicked, left, may_have_answered = (
        F.col(prefix + name) for name in ("is_invited", "got_it", "has_clicked", "has_left", "may_have_answered")
    )
    is_silent = got_it & ~clicked & ~left
    reached, responded = F.count_if(got_it | clicked | left), F.count_if(clicked)
    counts = {
        "invited": F.count_if(invited),
        "reached": reached,
        "responded": responded,
        "declined": F.count_if(left & ~clicked),
        "not_known": F.count_if(is_silent & may_have_answered),
        "not_answered": F.count_if(is_silent & ~may_have_answered),
        "response_rate": responded / F.nullif(reached, F.lit(0)),
    }
    return [counted.alias(prefix + name) for name, counted in counts.items()]
