"""The summaries that follow people, not messages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.parts import Part, Since, Summary, anew_if_changed, with_keys_anew
from jobs.providers import limits_of
from jobs.sources import Sources
from jobs.tables import kept
from schemas.attribution import ATTRIBUTION
from schemas.contract import TableContract
from schemas.daily_activity import DAILY_ACTIVITY
from schemas.events import EVENTS
from schemas.journeys import JOURNEYS
from schemas.person_events import PERSON_EVENTS, PersonEventClass
from schemas.profile_children import PROFILE_BROWSER, PROFILE_GEO, PROFILE_LISTS, PROFILE_VARS
from schemas.profiles_history import PROFILES_HISTORY
from schemas.purchases import PURCHASES
from schemas.recipient_features import RECIPIENT_FEATURES, RECIPIENT_FEATURES_WIDE
from schemas.requests import REQUESTS
from schemas.sailthru import PROFILE_VERSIONS, PROFILES
from schemas.sessions import SESSIONS
from transforms.attribution import to_attribution
from transforms.daily_activity import to_daily_activity
from transforms.increments import is_of, with_rows, without_rows
from transforms.lifecycle import account_of_message
from transforms.person_events import people_of_profiles
from transforms.profile_children import to_profile_browser, to_profile_geo, to_profile_lists, to_profile_vars
from transforms.profiles_history import to_profiles_history
from transforms.recipient_features import to_long, to_recipient_features
from transforms.sessions import SessionRules, engagement, engagements, to_sessions

_ROW = [*PERSON_EVENTS.key, "row_hash"]
_OF_FEATURES = (PURCHASES, PERSON_EVENTS, PROFILE_VERSIONS, PROFILES)


def _purchases_part(sources: Sources, _: Since) -> Part:
    """All of them, or none if they are as they are stored: their source does not say what is new."""
    now, stored = sources.of(PURCHASES).localCheckpoint(), sources.stored(PURCHASES)
    is_same = now.exceptAll(stored).isEmpty() and stored.exceptAll(now).isEmpty()
    return Part(now, frozenset() if is_same else None)


def _person_events_part(sources: Sources, since: Since) -> Part | None:
    """The rows of new events, of profiles that are of another person now, and of purchases as far as they changed."""
    new, relinked = sources.new_events(since), _relinked(sources, since)
    if new is None or relinked is None:
        return None
    there = sources.stored(EVENTS).withColumn("message_account", account_of_message())
    of_profiles = with_rows(there, relinked, ("message_account", "profile_id"), ("client_id", "profile_id"))
    events = new.unionByName(without_rows(of_profiles.drop("message_account"), new, ["event_id"]))
    rows = kept(sources.person_events(events))
    stored = sources.stored(PERSON_EVENTS)
    were = kept(stored.where(F.col("event_class").isin(*PersonEventClass)))
    bought = kept(sources.bought)
    gone, added = without_rows(were, bought, _ROW), without_rows(bought, were, _ROW)
    days = sources.days_of(*[of.select("event_date") for of in (rows, added, gone)])
    ids = rows.select("event_id").unionByName(gone.select("event_id"))
    same = without_rows(stored.where(is_of(PERSON_EVENTS, days)), ids, ["event_id"])
    return Part(same.unionByName(rows).unionByName(added), days)


def _relinked(sources: Sources, since: Since) -> DataFrame | None:
    """The profiles that are of another person than then: client_id, profile_id; None if that cannot be told."""
    people = people_of_profiles(sources.state(PROFILES), sources.address_rules)
    if sources.is_as_it_was(PROFILES, since):
        return people.limit(0)
    if sources.difference(PROFILES, since) is None:
        return None  # there were none, or their table cannot be read any more
    were = people_of_profiles(sources.before(PROFILES, since), sources.address_rules)
    return kept(without_rows(people, were, people.columns))


def _rules(sources: Sources) -> SessionRules:
    of = sources.settings.sessions
    return engagement(timedelta(minutes=of.gap_minutes), of.success)


def _sessions(sources: Sources) -> DataFrame:
    return to_sessions(engagements(sources.of(PERSON_EVENTS)), _rules(sources))


def _sessions_part(sources: Sources, since: Since) -> Part | None:
    """All sessions of those people of whom an event is new, changed or gone: it may join or begin any of theirs."""
    if not sources.is_fresh(PERSON_EVENTS):
        return None
    events = engagements(sources.of(PERSON_EVENTS))
    changed = sources.changed_rows(PERSON_EVENTS, since, "event_class")
    if changed is None:
        return None
    people = kept(engagements(changed).select("person_key").distinct())
    rows = to_sessions(with_rows(events, people, ["person_key"]), _rules(sources))
    return with_keys_anew(sources.stored(SESSIONS), rows, people, ["person_key"])


def _daily_activity(sources: Sources) -> DataFrame:
    return to_daily_activity(
        sources.of(PERSON_EVENTS),
        sources.requests,
        _rules(sources),
        sources.address_rules,
        sources.settings.activity.lapsed_days,
    )


def _attribution(sources: Sources) -> DataFrame:
    windows = sources.settings.attribution.window_days
    return to_attribution(sources.of(PURCHASES), sources.of(PERSON_EVENTS), windows)


def _profiles_history(sources: Sources) -> DataFrame:
    zone = sources.settings.sailthru.time_zone
    return to_profiles_history(sources.state(PROFILE_VERSIONS), sources.state(PROFILES), zone)


def _profile_lists(sources: Sources) -> DataFrame:
    limits = limits_of(sources.settings, sources.as_of)
    return to_profile_lists(sources.state(PROFILES), sources.settings.sailthru.time_zone, limits)


def _profile_vars(sources: Sources) -> DataFrame:
    return to_profile_vars(sources.state(PROFILES))


def _profile_geo(sources: Sources) -> DataFrame:
    return to_profile_geo(sources.state(PROFILES))


def _profile_browser(sources: Sources) -> DataFrame:
    return to_profile_browser(sources.state(PROFILES))


def _as_of(sources: Sources) -> datetime:
    """The instant that features look back from: that of the newest event, so that the same events give the same."""
    stated = sources.settings.features.as_of
    if stated is not None:
        return stated
    newest = sources.of(PERSON_EVENTS).agg(F.unix_micros(F.max("event_time")).alias("micros")).first()
    if newest is None or newest.micros is None:
        return sources.as_of
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=newest.micros)


def _features_wide(sources: Sources) -> DataFrame:
    of, as_of = sources.settings.features, _as_of(sources)
    day = F.to_date(F.lit(as_of))
    has_begun, has_ended = F.col("valid_from") <= day, F.col("valid_to") <= day
    was_so = F.coalesce(has_begun, F.lit(True)) & ~F.coalesce(has_ended, F.lit(False))
    history = _made(sources, PROFILES_HISTORY, _profiles_history)
    of_then = history.where(was_so).select("client_id", F.col("id").alias("profile_id"), "vars")
    people = people_of_profiles(sources.state(PROFILES), sources.address_rules)
    return to_recipient_features(
        sources.of(PERSON_EVENTS),
        _made(sources, SESSIONS, _sessions),
        sources.of(PURCHASES),
        people.join(of_then, on=["client_id", "profile_id"], how="inner"),
        as_of,
        of.wanted,
        time_zone=of.time_zone,
        variables=of.vars.model_dump(),
    )


def _features(sources: Sources) -> DataFrame:
    return to_long(_made(sources, RECIPIENT_FEATURES_WIDE, _features_wide), sources.settings.features.wanted)


def _made(sources: Sources, contract: TableContract, rows: Callable[[Sources], DataFrame]) -> DataFrame:
    """A summary that another is made of: as this run stored it, else computed."""
    return sources.stored(contract) if sources.is_fresh(contract) else rows(sources)


PEOPLE = (
    Summary(PURCHASES, (), lambda sources: sources.of(PURCHASES), _purchases_part, uses=(JOURNEYS,)),
    Summary(
        PERSON_EVENTS,
        (EVENTS, PROFILES, PURCHASES),
        lambda sources: sources.of(PERSON_EVENTS),
        _person_events_part,
    ),
    Summary(SESSIONS, (PERSON_EVENTS,), _sessions, _sessions_part),
    Summary(DAILY_ACTIVITY, (PERSON_EVENTS, REQUESTS), _daily_activity, anew_if_changed),
    Summary(ATTRIBUTION, (PURCHASES, PERSON_EVENTS), _attribution, anew_if_changed),
    Summary(PROFILES_HISTORY, (PROFILE_VERSIONS, PROFILES), _profiles_history, anew_if_changed),
    Summary(PROFILE_LISTS, (PROFILES,), _profile_lists, anew_if_changed),
    Summary(PROFILE_VARS, (PROFILES,), _profile_vars, anew_if_changed),
    Summary(PROFILE_GEO, (PROFILES,), _profile_geo, anew_if_changed),
    Summary(PROFILE_BROWSER, (PROFILES,), _profile_browser, anew_if_changed),
    Summary(RECIPIENT_FEATURES_WIDE, _OF_FEATURES, _features_wide, anew_if_changed, uses=(PROFILES_HISTORY, SESSIONS)),
    Summary(RECIPIENT_FEATURES, _OF_FEATURES, _features, anew_if_changed, uses=(RECIPIENT_FEATURES_WIDE,)),
)
