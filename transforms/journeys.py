"""`journeys`: what each recipient of each message went through."""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.journeys import STATES
from schemas.messages import MESSAGE_KEY, CampaignKind
from schemas.stages import LAST, STAGES
from transforms.lifecycle import HARD, SOFT, UNKNOWN
from transforms.people import mailbox_provider

_USUAL_ORDER = (
    "send",
    "reject",
    "rendering_failure",
    "delivery_delay",
    "delivery",
    "bounce",
    "open",
    "click",
    "complaint",
    "unsubscribe",
)
_ONLY_OF_SENT = ("sent", "delivered", "bounced", "delayed", "opened", "clicked", "complained", "unsubscribed")


def counts_and_firsts() -> list[Column]:
    """The count and the first time of each stage, as aggregates over rows of `to_lifecycle`."""
    return [F.count_if(F.col("stage") == s.event_class).alias(s.count) for s in STAGES] + [
        F.min(_at(s.event_class)).alias(s.first_at) for s in STAGES
    ]


def _at(stage: str) -> Column:
    """The time of an event of the stage; NULL of others."""
    return F.when(F.col("stage") == stage, F.col("event_time"))


def _about_message(of: Callable[[Column], Column]) -> dict[str, Column]:
    """What the events say of their message, as `of` makes it of aggregates over its journeys."""
    timestamp, first, campaign = of(F.min("timestamp")), of(F.min("event_time")), of(F.max("campaign"))
    return {
        "send_date": F.to_date(F.coalesce(timestamp, first)),
        "email_kind": F.coalesce(of(F.max("email_tag")), campaign, F.lit(UNKNOWN)),
        "timestamp": timestamp,
        "profile_id": of(F.max("profile_id")),
        "campaign_kind": _campaign_kind(campaign),
        "campaign": campaign,
    }


def _campaign_kind(campaign: Column) -> Column:
    # Of Sailthru's ids only those of a blast's messages begin with the blast's id and a dot.
    is_of_blast = F.startswith(F.col("message_id"), F.concat(campaign, F.lit(".")))
    return (
        F.when(campaign.isNull(), CampaignKind.UNKNOWN.value)
        .when(F.col("provider") == "ses", CampaignKind.CONFIGURATION_SET.value)
        .when(is_of_blast, CampaignKind.BLAST.value)
        .otherwise(CampaignKind.TEMPLATE.value)
    )


def to_journeys(lifecycle: DataFrame, sailthru_messages: DataFrame | None = None) -> DataFrame:
    """The rows of `journeys` out of those of `to_lifecycle`.

    Whether a bounce of Sailthru is hard or soft only the state `sailthru_messages` says; without it nothing does.
    """
    message = Window.partitionBy(*MESSAGE_KEY)
    is_nobody, is_sailthru = F.col("recipient").isNull(), F.col("provider") == "sailthru"
    is_bounce = (F.col("stage") == "bounce") & ~F.col("is_suppression")
    step = F.struct("event_time", _rank().alias("rank"), "event_class")
    grouped = (
        # One shuffle for both groupings and the join: by message, within which recipients stay together.
        lifecycle.repartition("account", "message_id")
        .withColumn("recipient", F.explode("recipients"))
        .groupBy(*MESSAGE_KEY, "recipient")
        .agg(
            *[F.min(name).alias(name) for name in ("timestamp", "event_time")],
            *[F.max(name).alias(name) for name in ("email_tag", "campaign", "profile_id")],
            *counts_and_firsts(),
            *[F.max(_at(event_class)).alias(f"last_{event_class}_at") for event_class in LAST],
            F.max(F.when(is_bounce, F.col("event_time"))).alias("last_bounce_at"),
            *[F.count_if(_is_bounce_of(kind)).alias(f"{kind}_bounces") for kind in (HARD, SOFT)],
            F.count_if("is_suppression").alias("suppressions"),
            F.count_if("is_report").alias("reports"),
            F.sort_array(F.collect_list(step)).alias("ordered"),
        )
    )
    if sailthru_messages is not None:
        grouped = grouped.join(_stated_bounces(sailthru_messages), on=["account", "message_id"], how="left")
    else:
        grouped = grouped.withColumn("stated_kind", F.lit(None).cast("string"))
    return (
        grouped.withColumn("recipient", F.when(is_sailthru, F.col("profile_id")).otherwise(F.col("recipient")))
        .withColumns({"mailbox_provider": F.when(~is_sailthru, mailbox_provider(F.col("recipient"))), **_flags()})
        .withColumns(
            {
                **_about_message(lambda aggregate: aggregate.over(message)),
                "message_opened": F.max(is_nobody & F.col("is_opened")).over(message),
                "message_clicked": F.max(is_nobody & F.col("is_clicked")).over(message),
                "message_unsubscribed": F.max(is_nobody & F.col("is_unsubscribed")).over(message),
                "steps": F.transform("ordered", lambda s: F.struct(s["event_class"], s["event_time"])),
            }
        )
        .withColumns(
            {
                **_seconds_to(),
                "last_state": _last_state(),
                "path": _path(F.transform("steps", lambda s: s["event_class"])),
            }
        )
    )


def _is_bounce_of(kind: str) -> Column:
    """Whether an event says that it is a bounce of the kind for the row's recipient."""
    return F.exists("bounces", lambda b: b["recipient"].eqNullSafe(F.col("recipient")) & (b["kind"] == kind))


def _stated_bounces(sailthru_messages: DataFrame) -> DataFrame:
    """Per message of Sailthru `stated_kind`, the kind of its bounce; of two rows of a message the hard one counts."""
    status = F.col("delivery_status")
    kind = F.when(status.rlike(r"(?i)^\s*hard"), F.lit(HARD)).when(status.rlike(r"(?i)^\s*soft"), F.lit(SOFT))
    stated = sailthru_messages.select(F.col("client_id").alias("account"), "message_id", kind.alias("kind"))
    return stated.where("kind is not null").groupBy("account", "message_id").agg(F.min("kind").alias("stated_kind"))


def _flags() -> dict[str, Column]:
    counted = {s.count: F.col(s.count) > 0 for s in STAGES}
    is_sent, is_sailthru = F.lit(False), F.col("provider") == "sailthru"
    for name in _ONLY_OF_SENT:
        is_sent = is_sent | counted[name]
    is_bounced = F.col("last_bounce_at").isNotNull()
    stated = F.when(is_sailthru, F.col("stated_kind"))
    is_kind = {
        kind: F.coalesce((F.col(f"{kind}_bounces") > 0) | (stated == kind), F.lit(False)) for kind in (HARD, SOFT)
    }
    stays = ~is_bounced | (F.col("last_delivery_at") > F.col("last_bounce_at"))
    return {
        "is_sent": is_sent,
        "is_suppressed": (F.col("suppressions") > 0) & ~counted["delivered"] & ~is_bounced,
        "is_delivered": F.when(is_sailthru, is_sent & ~is_bounced).otherwise(counted["delivered"] & stays),
        "is_bounced": is_bounced,
        "is_hard_bounced": is_bounced & is_kind[HARD],
        "is_soft_bounced": is_bounced & is_kind[SOFT] & ~is_kind[HARD],
        "is_opened": counted["opened"] | counted["clicked"],
        "is_clicked": counted["clicked"],
        "is_complained": F.col("reports") > 0,
        "is_unsubscribed": counted["unsubscribed"],
    }


def _seconds_to() -> dict[str, Column]:
    sent = F.unix_micros(F.coalesce("first_send_at", "timestamp"))
    times = {"deliver": "first_delivery_at", "open": "first_open_at", "click": "first_click_at"}
    return {f"seconds_to_{name}": (F.unix_micros(first) - sent) / 1_000_000 for name, first in times.items()}


def _last_state() -> Column:
    counted = {name: F.col(name) > 0 for name in ("rejected", "failed", "delayed")}
    *known, unknown = STATES
    state = F.lit(unknown)
    for name in reversed(known):
        state = F.when(counted[name] if name in counted else F.col(f"is_{name}"), F.lit(name)).otherwise(state)
    return state


def _path(classes: Column) -> Column:
    """The classes in a row, those that only repeat the one before left out."""
    turns = F.filter(classes, lambda c, i: (i == 0) | (c != F.get(classes, i - 1)))
    return F.array_join(turns, " > ")


def _rank() -> Column:
    """The usual order of classes, for events of one instant."""
    rank = F.lit(len(_USUAL_ORDER))
    for i, event_class in enumerate(_USUAL_ORDER):
        rank = F.when(F.col("event_class") == event_class, F.lit(i)).otherwise(rank)
    return rank
