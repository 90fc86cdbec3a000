"""The tables about people are those of the truth, counted in plain Python."""

from collections import defaultdict
from datetime import UTC
from typing import Any

from tests.jobs.conftest import Built
from tests.summaries import Fact, facts
from tests.tables import micros, same_bag

GAP_MICROS = 15 * 60_000_000
ENGAGEMENTS = ("open", "click")


def _people(built: Built) -> dict[tuple[str, str], str]:
    """The person of each profile, by client and id."""
    return {
        (str(row["client_id"]), str(row["id"])): str(row["email"]).lower()
        for row in built.sailthru.profiles
        if row["email"]
    }


def _persons(fact: Fact, people: dict[tuple[str, str], str]) -> set[str]:
    provider, account, _ = fact.key
    named = {person for person in fact.people if person is not None}
    if provider == "ses":
        return {address.lower() for address in named}
    return {people.get((account, profile), f"profile:{account}/{profile}") for profile in named}


def _told(built: Built) -> list[tuple[Any, ...]]:
    people = _people(built)
    return [
        (person, fact.at, fact.counts_as, *fact.key)
        for fact in facts(built.ses, built.sailthru)
        if fact.counts_as
        for person in _persons(fact, people)
    ]


def test_each_event_is_told_of_each_person_it_is_about(built: Built) -> None:
    found = [
        (
            row["person_key"],
            micros(row["event_time"]),
            *(row[n] for n in ("event_class", "provider", "account", "message_id")),
        )
        for row in built.rows("person_events")
        if row["provider"]
    ]
    same_bag(found, _told(built))
    persons = {provider: {row[0] for row in found if row[3] == provider} for provider in ("ses", "sailthru")}
    assert persons["ses"] & persons["sailthru"], "somebody is known to both providers"


def test_what_is_told_of_an_event_is_what_events_tell(built: Built) -> None:
    events = {row["event_id"]: row for row in built.rows("events")}
    for row in built.rows("person_events"):
        if row["provider"]:
            event = events[row["event_id"]]
            reads = event["event_class"] in ENGAGEMENTS
            assert row["link"] == event["link"]
            assert row["campaign"] == event["campaign"]
            assert row["sender"] == (event["from"] or [None])[0]
            assert row["user_agent"] == (event["user_agent"] if reads else None)
            assert row["event_date"] == event["event_date"]


def test_sessions_are_those_of_the_truth(built: Built) -> None:
    times: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in built.rows("person_events"):
        if row["event_class"] in (*ENGAGEMENTS, "purchase"):
            times[row["person_key"]].append((micros(row["event_time"]) or 0, row["event_class"]))
    expected = []
    for person, events in times.items():
        events.sort()
        session: list[tuple[int, str]] = []
        for i, event in enumerate(events):
            session.append(event)
            if i + 1 == len(events) or events[i + 1][0] - event[0] >= GAP_MICROS:
                is_success = any(what != "open" for _, what in session)
                expected.append((person, session[0][0], event[0], len(session), is_success))
                session = []
    found = [
        (row["person_key"], micros(row["started_at"]), micros(row["ended_at"]), row["events"], row["is_success"])
        for row in built.rows("sessions")
    ]
    same_bag(found, expected)
    assert any(row[3] > 1 for row in found)


def test_a_day_counts_its_people_and_their_sessions(built: Built) -> None:
    people: dict[Any, set[str]] = defaultdict(set)
    for row in built.rows("person_events"):
        if row["event_class"] in (*ENGAGEMENTS, "purchase"):
            people[row["event_date"]].add(row["person_key"])
            people[None].add(row["person_key"])
    sessions = [row["started_at"].astimezone(UTC).date() for row in built.rows("sessions")]
    rows = {
        row["activity_date"]: row for row in built.rows("daily_activity") if row["region"] == row["provider"] == "all"
    }
    for day, row in rows.items():
        assert row["active_people"] == len(people[day]), day
        assert row["sessions"] == (sessions.count(day) if day else len(sessions)), day
        kinds = [row[f"{kind}_people"] for kind in ("new", "returning", "reactivated")]
        assert day is None or row["active_people"] == sum(kinds), day
    regions = {row["region"] for row in built.rows("daily_activity")}
    assert len(regions) > 3, "requests say of which region people are"
