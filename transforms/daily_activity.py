"""`daily_activity`: how many people were there on each day, and whether they come back."""

from dataclasses import replace
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.daily_activity import ALL, DAILY_ACTIVITY
from transforms.lifecycle import UNKNOWN
from transforms.people import AddressRules, person_key
from transforms.region_summary import with_regions
from transforms.sessions import Key, SessionRules, engagements, to_sessions

_GROUP = ("region", "provider")
_PEOPLE = ("active_people", "new_people", "returning_people", "reactivated_people", "lapsed_people")
_COUNTS = (*_PEOPLE, "sessions", "single_event_sessions", "active_senders", "active_campaigns")


def to_daily_activity(
    person_events: DataFrame,
    requests: DataFrame,
    session_rules: SessionRules,
    address_rules: AddressRules,
    lapsed_days: int,
) -> DataFrame:
    """The rows of `daily_activity`; sessions are made by the rules of the table `sessions`, of each group's events."""
    is_send = F.col("event_class") == "send"
    events = _in_groups(engagements(person_events), requests, address_rules)
    sends = _in_groups(person_events.where(is_send), requests, address_rules)
    newest = person_events.agg(F.max("event_date").alias("newest"))
    parts = [
        *_people(events, newest, lapsed_days),
        _each_and_all(to_sessions(events, _of_group(session_rules)), "started_at", _of_sessions()),
        _each_and_all(sends, "event_time", _of_sends()),
    ]
    both = reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), parts)
    sums = [F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in (*_COUNTS, "seconds")]
    mean, rate = F.col("seconds") / F.col("sessions"), F.col("single_event_sessions") / F.col("sessions")
    has_sessions = F.col("sessions") > 0
    return (
        both.groupBy(*DAILY_ACTIVITY.key)
        .agg(*sums)
        .withColumns(
            {
                "single_event_session_rate": F.when(has_sessions, rate),
                "mean_session_seconds": F.when(has_sessions, mean),
            }
        )
    )


def _in_groups(person_events: DataFrame, requests: DataFrame, rules: AddressRules) -> DataFrame:
    """Each event once for every row of regions and providers that looks at it."""
    region = F.coalesce("region", F.lit(UNKNOWN))
    asked = requests.withColumn("person_key", person_key(F.col("recipient"), rules)).where("person_key is not null")
    own = asked.groupBy("message_id", "person_key").agg(F.collect_set(region).alias("own"))
    return (
        with_regions(person_events, own, requests)
        .withColumn("campaign_key", F.struct("provider", "account", "campaign"))
        .withColumn("region", F.explode(F.array_union("regions", F.array(F.lit(ALL)))))
        .withColumn("provider", F.explode(F.array_compact(F.array("provider", F.lit(ALL)))))
    )


def _of_group(rules: SessionRules) -> SessionRules:
    """The rules for sessions of each group's events; milestones and counts are not asked for."""
    return replace(rules, keys=[*rules.keys, *[Key(name) for name in _GROUP]], milestones=(), counts=())


def _people(events: DataFrame, newest: DataFrame, lapsed_days: int) -> list[DataFrame]:
    """The counts of people, in parts: of each day, and of all days."""
    of_person = Window.partitionBy(*_GROUP, "person_key").orderBy("event_date")
    since = F.date_diff("event_date", F.lag("event_date").over(of_person))
    until = F.date_diff(F.lead("event_date").over(of_person), "event_date")
    days = (
        events.select(*_GROUP, "person_key", "event_date")
        .distinct()
        .withColumns({"since": since, "until": until, "lapses": F.date_add("event_date", lapsed_days)})
        .crossJoin(F.broadcast(newest))
    )
    is_new, is_reactivated = F.col("since").isNull(), F.coalesce(F.col("since") > lapsed_days, F.lit(False))
    has_lapsed = F.coalesce(F.col("until") > lapsed_days, F.lit(True)) & (F.col("lapses") <= F.col("newest"))
    active = {
        "active_people": F.lit(True),
        "new_people": is_new,
        "returning_people": ~is_new & ~is_reactivated,
        "reactivated_people": is_reactivated,
    }
    told = F.array(_told("event_date", **active), F.when(has_lapsed, _told("lapses", lapsed_people=F.lit(True))))
    of_days = days.select(*_GROUP, F.explode(F.array_compact(told)).alias("told")).select(*_GROUP, "told.*")
    people = days.groupBy(*_GROUP, "person_key").agg(
        F.count(F.lit(1)).alias("days"),
        F.bool_or(is_reactivated).alias("is_reactivated"),
        F.bool_or(F.col("until").isNull() & has_lapsed).alias("has_lapsed"),
    )
    in_all = people.groupBy(*_GROUP).agg(
        F.count(F.lit(1)).alias("active_people"),
        F.count(F.lit(1)).alias("new_people"),
        F.count_if(F.col("days") > 1).alias("returning_people"),
        F.count_if("is_reactivated").alias("reactivated_people"),
        F.count_if("has_lapsed").alias("lapsed_people"),
    )
    counts = [F.count_if(name).alias(name) for name in _PEOPLE]
    return [of_days.groupBy(*_GROUP, "activity_date").agg(*counts), in_all]


def _told(day: str, **is_counted: Column) -> Column:
    """What a day of a person says of a day: as whom the person is counted there."""
    counted = [is_counted.get(name, F.lit(False)).alias(name) for name in _PEOPLE]
    return F.struct(F.col(day).alias("activity_date"), *counted)


def _of_sessions() -> list[Column]:
    length = F.unix_micros("ended_at") - F.unix_micros("started_at")
    return [
        F.count(F.lit(1)).alias("sessions"),
        F.count_if(F.col("events") == 1).alias("single_event_sessions"),
        (F.sum(length) / F.lit(1_000_000)).alias("seconds"),
    ]


def _of_sends() -> list[Column]:
    named = F.when(F.col("campaign").isNotNull(), F.col("campaign_key"))
    # Sets, for several `count_distinct` would multiply the rows.
    return [
        F.size(F.collect_set("sender")).alias("active_senders"),
        F.size(F.collect_set(named)).alias("active_campaigns"),
    ]


def _each_and_all(rows: DataFrame, at: str, counts: list[Column]) -> DataFrame:
    """The counts of each day, and of all days."""
    dated = rows.withColumn("activity_date", F.to_date(at))
    return dated.groupingSets([[*_GROUP, "activity_date"], [*_GROUP]], *_GROUP, "activity_date").agg(*counts)
