"""`invitations`: how the recipients of each campaign answered."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.campaigns import CAMPAIGN_KEY
from schemas.invitations import RECENT
from transforms.campaigns import of_campaign


def to_invitations(journeys: DataFrame, response_days: int) -> DataFrame:
    """The rows of `invitations`; recent are the sends of the `response_days` days that end with the newest send.

    The newest send, not the clock, so that the same messages give the same rows whenever they are counted.
    """
    as_of = F.broadcast(newest_send(journeys))
    dated = journeys.crossJoin(as_of)
    counted = _answers(dated, {"": F.lit(True), RECENT: is_recent(F.col("as_of_date"), response_days)})
    return with_rates(counted.crossJoin(as_of))


def is_recent(as_of: Column, response_days: int) -> Column:
    """Whether a send is one of the `response_days` days that end with `as_of`."""
    return F.col("send_date") > F.date_sub(as_of, response_days)


def answers(journeys: DataFrame, *apart: str) -> DataFrame:
    """CAMPAIGN_KEY and ANSWERS, and the columns `apart`, of which each value is counted alone.

    All journeys of a recipient in a campaign must be among them.
    """
    return _answers(journeys, {"": F.lit(True)}, *apart)


def with_rates(counted: DataFrame) -> DataFrame:
    """Rows with the counts of `invitations`, and its rates."""
    rates = {
        f"{prefix}response_rate": F.col(f"{prefix}responded") / F.nullif(f"{prefix}reached", F.lit(0))
        for prefix in ("", RECENT)
    }
    return counted.withColumns(rates)


def newest_send(journeys: DataFrame) -> DataFrame:
    """One row: `as_of_date`, the day of the newest send."""
    return journeys.agg(F.max("send_date").alias("as_of_date"))


def _answers(journeys: DataFrame, is_counted: Mapping[str, Column], *apart: str) -> DataFrame:
    """CAMPAIGN_KEY and ANSWERS with each prefix, of those journeys alone of which its condition is true."""
    of_recipient = [flag for prefix, condition in is_counted.items() for flag in _of_recipient(prefix, condition)]
    of_campaigns = [counted for prefix in is_counted for counted in _of_campaign(prefix)]
    return (
        of_campaign(journeys)
        .groupBy(*CAMPAIGN_KEY, *apart, "recipient")
        .agg(*of_recipient)
        .groupBy(*CAMPAIGN_KEY, *apart)
        .agg(*of_campaigns)
    )


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
    counts = {
        "invited": F.count_if(invited),
        "reached": F.count_if(got_it | clicked | left),
        "responded": F.count_if(clicked),
        "declined": F.count_if(left & ~clicked),
        "not_known": F.count_if(is_silent & may_have_answered),
        "not_answered": F.count_if(is_silent & ~may_have_answered),
    }
    return [counted.alias(prefix + name) for name, counted in counts.items()]
