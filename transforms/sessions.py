"""Sessions out of any table of events: runs of one person's events with no long pause between them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.person_events import ENGAGEMENTS, PersonEventClass
from transforms.identity import content_key


@dataclass(frozen=True)
class Key:
    """A column that says, alone or with others, whose an event is."""

    column: str
    normaliser: Callable[[Column], Column] | None = None
    """What makes spellings of one key alike, such as `F.lower`."""

    @property
    def value(self) -> Column:
        """The key as it is compared, and as the sessions carry it."""
        stated = F.col(self.column)
        return (self.normaliser(stated) if self.normaliser else stated).alias(self.column)


@dataclass(frozen=True)
class Milestone:
    """A stretch of a session, in the column `<name>_minutes`: from its first event of one kind to its first of another.

    NULL if the session lacks one of the two, or if the second came first.
    """

    name: str
    start: Collection[str]
    end: Collection[str]


@dataclass(frozen=True)
class RunningCount:
    """How many events of a kind a person has had up to the end of a session, in a column of this name."""

    name: str
    events: Collection[str]


@dataclass(frozen=True, kw_only=True)
class SessionRules:
    """What a table of events calls its columns, and what makes a session of its rows."""

    keys: Sequence[Key]
    """All of them together name a person; a row in which all are NULL is nobody's and left out."""
    time: str
    """The column of the instant; a row without one is left out."""
    event: str
    """The column of what happened, a text."""
    gap: timedelta = timedelta(minutes=15)
    """A pause of this length, or a longer one, ends a session."""
    starts: Collection[str] = ()
    """Events that begin a session however short the pause before them."""
    success: Collection[str] = ()
    """Events that make a session a success."""
    milestones: Sequence[Milestone] = ()
    counts: Sequence[RunningCount] = ()


def to_sessions(events: DataFrame, rules: SessionRules) -> DataFrame:
    """One row per session: the keys, session_id, started_at, ended_at, events, is_success, milestones and counts.

    Times are instants. Events of one instant are of one session. The same events in any order give the same rows.
    The cost is that of sorting the events by person and time; no person's events need fit into memory.
    """
    names = [key.column for key in rules.keys]
    at, before = F.col("_at"), F.col("_before")
    by_time = Window.partitionBy(*names).orderBy(at, F.col("_starts").desc())
    up_to_here = (Window.unboundedPreceding, Window.currentRow)
    so_far = Window.partitionBy(*names).orderBy("started_at").rowsBetween(*up_to_here)
    is_first_of_instant = before.isNull() | (at > before)
    is_start = before.isNull() | (at - before >= F.lit(rules.gap)) | (F.col("_starts") & is_first_of_instant)
    return (
        events.select(
            *[key.value for key in rules.keys],
            F.col(rules.time).alias("_at"),
            F.col(rules.event).alias("_event"),
            _is(rules.event, rules.starts).alias("_starts"),
        )
        .where(at.isNotNull() & reduce(or_, [F.col(name).isNotNull() for name in names]))
        .withColumn("_before", F.lag("_at").over(by_time))
        .withColumn("_session", F.count_if(is_start).over(by_time.rowsBetween(*up_to_here)))
        .groupBy(*names, "_session")
        .agg(
            F.min(at).alias("started_at"),
            F.max(at).alias("ended_at"),
            F.count(F.lit(1)).alias("events"),
            F.bool_or(_is("_event", rules.success)).alias("is_success"),
            *[_minutes(milestone).alias(f"{milestone.name}_minutes") for milestone in rules.milestones],
            *[F.count_if(_is("_event", of.events)).alias(of.name) for of in rules.counts],
        )
        .select(
            *names,
            content_key([*[F.col(n).cast("string") for n in names], _micros("started_at")]).alias("session_id"),
            *("started_at", "ended_at", "events", "is_success"),
            *[f"{milestone.name}_minutes" for milestone in rules.milestones],
            *[F.sum(of.name).over(so_far).alias(of.name) for of in rules.counts],
        )
    )


def _is(name: str, events: Collection[str]) -> Column:
    """Whether the column names one of the events; never NULL."""
    return F.coalesce(F.col(name).isin(sorted(events)), F.lit(False)) if events else F.lit(False)


def _minutes(milestone: Milestone) -> Column:
    start, end = (F.min(F.when(_is("_event", of), F.col("_at"))) for of in (milestone.start, milestone.end))
    return F.when(end >= start, (F.unix_micros(end) - F.unix_micros(start)) / F.lit(60_000_000))


def _micros(name: str) -> Column:
    return F.unix_micros(name).cast("string")


def engagement(gap: timedelta, success: Collection[str]) -> SessionRules:
    """What makes a session of rows of `person_events` (see `engagements`)."""
    purchase = PersonEventClass.PURCHASE.value
    return SessionRules(
        keys=[Key("person_key")],
        time="event_time",
        event="event_class",
        gap=gap,
        success=success,
        milestones=[
            Milestone("open_to_click", ["open"], ["click"]),
            Milestone("click_to_purchase", ["click"], [purchase]),
        ],
        counts=[RunningCount("purchases_so_far", [purchase])],
    )


def engagements(person_events: DataFrame) -> DataFrame:
    """Those of `person_events` that say that the person was there."""
    return person_events.where(F.col("event_class").isin(*ENGAGEMENTS))
