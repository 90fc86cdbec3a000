"""`messages`: what became of each message."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.messages import MESSAGE_KEY, about_message
from transforms.journeys import counts_and_firsts


def to_messages(lifecycle: DataFrame, journeys: DataFrame) -> DataFrame:
    """The rows of `messages`: events counted from those of `to_lifecycle`, the rest from `journeys`."""
    counted = lifecycle.groupBy(*MESSAGE_KEY).agg(*counts_and_firsts())
    return counted.join(_outcomes(journeys), on=list(MESSAGE_KEY), how="inner")


def _outcomes(journeys: DataFrame) -> DataFrame:
    """Per message what its journeys say of it, the recipients of each outcome, and whether anybody did what."""
    outcomes = ("sent", "suppressed", "delivered", "bounced", "hard_bounced", "soft_bounced")
    recipients = {f"recipients_{name}": _recipients(F.col(f"is_{name}")) for name in outcomes}
    flags = {name: F.bool_or(name) for name in ("is_opened", "is_clicked", "is_complained", "is_unsubscribed")}
    columns = [column.alias(name) for name, column in {**recipients, **flags}.items()]
    # All journeys of a message say the same of it: as keys these cost no sort, as aggregates of texts they would.
    about = [field.name for field in about_message()]
    each = journeys.groupBy(*MESSAGE_KEY, *about).agg(*columns)
    return each.withColumn("is_delivered", F.col("recipients_delivered") > 0)


def _recipients(outcome: Column) -> Column:
    """How many recipients had the outcome; a message whose events name nobody is one."""
    is_named = F.col("recipient").isNotNull()
    return F.when(F.bool_or(is_named), F.count_if(is_named & outcome)).otherwise(F.count_if(outcome))
