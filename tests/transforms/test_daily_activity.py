"""Who is new, comes back or has lapsed on which day, told by region and provider and in total."""

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from schemas.daily_activity import DAILY_ACTIVITY
from schemas.person_events import PERSON_EVENTS
from schemas.requests import REQUESTS
from tests.conftest import SCALE
from transforms.daily_activity import to_daily_activity
from transforms.people import AddressRules
from transforms.sessions import engagement

GAP = timedelta(minutes=15)
LAPSED_DAYS = 10
Event = tuple[str, datetime, str, str | None, str | None, str | None]
"""person_key, event_time, event_class, provider, message_id, campaign; the sender is the campaign's."""


def _activity(spark: SparkSession, events: Iterable[Event], requests: Iterable[tuple[str, str, str]] = ()) -> DataFrame:
    rows = [
        {
            "person_key": person,
            "event_time": at,
            "event_class": what,
            "event_id": str(i),
            "provider": provider,
            "account": "",
            "message_id": message,
            "campaign": campaign,
            "sender": campaign and f"{campaign}@example.com",
            "event_date": at.date(),
            "row_hash": 0,
        }
        for i, (person, at, what, provider, message, campaign) in enumerate(events)
    ]
    asked = [(message, person, None, region, None, 0) for message, person, region in requests]
    return to_daily_activity(
        spark.createDataFrame(rows, PERSON_EVENTS.stored_schema),
        spark.createDataFrame(asked, REQUESTS.stored_schema),
        engagement(GAP, ["purchase"]),
        AddressRules(),
        LAPSED_DAYS,
    )


def _told(activity: DataFrame, region: str = "all", provider: str = "all", *names: str) -> dict[Any, tuple[Any, ...]]:
    rows = activity.where(f"region = '{region}' and provider = '{provider}'").collect()
    return {row.activity_date: tuple(row[name] for name in names) for row in rows}


def _at(day: int, hour: float = 12) -> datetime:
    return datetime(2025, 10, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=hour)


PEOPLE = ("active_people", "new_people", "returning_people", "reactivated_people", "lapsed_people")


def test_who_comes_back_in_time_returns_and_who_does_not_lapses(spark: SparkSession) -> None:
    opens = [(1, 0), (1, 23.9), (11, 0), (22, 0), (40, 0)]
    events: list[Event] = [("ada", _at(day, hour), "open", "ses", None, None) for day, hour in opens]
    told = _told(_activity(spark, events), "all", "all", *PEOPLE)
    assert told == {
        date(2025, 10, 1): (1, 1, 0, 0, 0),
        date(2025, 10, 11): (1, 0, 1, 0, 0),  # on the last of the ten days
        date(2025, 10, 21): (0, 0, 0, 0, 1),  # ten days of nothing
        date(2025, 10, 22): (1, 0, 0, 1, 0),
        date(2025, 11, 1): (0, 0, 0, 0, 1),
        date(2025, 11, 9): (1, 0, 0, 1, 0),  # who may yet come back has not lapsed
        None: (1, 1, 1, 1, 0),
    }


def test_a_person_is_of_the_region_of_the_own_request_else_of_all_of_the_message(spark: SparkSession) -> None:
    events: list[Event] = [
        ("ada@example.com", _at(1), "open", "ses", "m1", None),
        ("bob@example.com", _at(1), "open", "ses", "m1", None),
        ("profile:1/p", _at(1), "open", "sailthru", "m1", None),
        ("cy@example.com", _at(1), "click", "ses", "m2", None),
        ("cy@example.com", _at(1), "purchase", None, None, None),
    ]
    requests = [("m1", "Ada@Example.com", "EU"), ("m1", "bob@example.com", "US")]
    rows = _activity(spark, events, requests).where("activity_date is not null").collect()
    assert {(row.region, row.provider): (row.active_people, row.sessions) for row in rows} == {
        ("EU", "ses"): (1, 1),
        ("US", "ses"): (1, 1),
        ("EU", "sailthru"): (1, 1),
        ("US", "sailthru"): (1, 1),
        ("EU", "all"): (2, 2),
        ("US", "all"): (2, 2),
        ("unknown", "ses"): (1, 1),
        ("unknown", "all"): (1, 1),
        ("all", "ses"): (3, 3),
        ("all", "sailthru"): (1, 1),
        ("all", "all"): (4, 4),
    }


def test_a_session_counts_on_the_day_it_begins_and_senders_by_what_they_sent(spark: SparkSession) -> None:
    events: list[Event] = [
        ("ada", _at(1, 23.9), "open", "ses", None, "c"),
        ("ada", _at(2, 0), "click", "ses", None, "c"),
        ("ada", _at(2, 5), "open", "ses", None, "c"),
        ("ada", _at(1), "send", "ses", None, "a"),
        ("bob", _at(1), "send", "ses", None, "b"),
        ("bob", _at(2), "send", "ses", None, "b"),
        ("bob", _at(2), "send", "sailthru", None, "b"),
        ("bob", _at(2), "bounce", "ses", None, "d"),
        ("bob", _at(3), "send", "ses", None, None),
    ]
    names = DAILY_ACTIVITY.columns[-6:]
    assert _told(_activity(spark, events), "all", "all", *names) == {
        date(2025, 10, 1): (1, 0, 0.0, 360.0, 2, 2),
        date(2025, 10, 2): (1, 1, 1.0, 0.0, 1, 2),
        date(2025, 10, 3): (0, 0, None, None, 0, 0),
        None: (2, 1, 0.5, 180.0, 2, 3),
    }


def test_every_row_equals_one_counted_in_python(spark: SparkSession) -> None:
    chance = random.Random(3)
    regions = {f"m{i}": chance.choice(["EU", "US", "unknown"]) for i in range(30)}
    kinds = ["open", "open", "click", "purchase", "send", "bounce"]
    events: list[Event] = [
        (
            f"p{chance.randrange(60 * SCALE)}@example.com",
            _at(1) + timedelta(minutes=chance.randrange(90 * 24 * 6) * 10),
            chance.choice(kinds),
            chance.choice(["ses", "sailthru"]),
            f"m{chance.randrange(30)}",
            f"c{chance.randrange(4)}",
        )
        for _ in range(4000 * SCALE)
    ]
    requests = [(message, "", region) for message, region in regions.items() if region != "unknown"]
    found = {
        tuple(row[name] for name in DAILY_ACTIVITY.key): row.asDict()
        for row in _activity(spark, events, requests).collect()
    }
    expected = {}
    for region in ("all", *set(regions.values())):
        for provider in ("all", "ses", "sailthru"):
            of_group = [e for e in events if region in ("all", regions[e[4] or ""]) and provider in ("all", e[3])]
            for day, counts in _counted(of_group, max(e[1] for e in events).date()).items():
                expected[day, region, provider] = counts
    assert found.keys() == expected.keys()
    for key, counts in expected.items():
        assert {name: found[key][name] for name in counts} == counts, key


def _counted(events: list[Event], newest: date) -> dict[date | None, dict[str, float]]:
    days: dict[date | None, dict[str, float]] = defaultdict(lambda: defaultdict(int))
    of_person: dict[str, list[datetime]] = defaultdict(list)
    for person, at, what, *_ in sorted(events, key=lambda e: e[1]):
        if what in ("open", "click", "purchase"):
            of_person[person].append(at)
    for times in of_person.values():
        active = sorted({at.date() for at in times})
        back = [b for a, b in pairwise(active) if (b - a).days > LAPSED_DAYS]
        for day in active:
            kind = "new" if day == active[0] else "reactivated" if day in back else "returning"
            days[day]["active_people"] += 1
            days[day][f"{kind}_people"] += 1
        for day in active:
            lapse = day + timedelta(days=LAPSED_DAYS)
            if lapse <= newest and not any(day < other <= lapse for other in active):
                days[lapse]["lapsed_people"] += 1
        days[None]["active_people"] += 1
        days[None]["new_people"] += 1
        days[None]["returning_people"] += len(active) > 1
        days[None]["reactivated_people"] += bool(back)
        days[None]["lapsed_people"] += active[-1] + timedelta(days=LAPSED_DAYS) <= newest
        starts = [at for i, at in enumerate(times) if not i or at - times[i - 1] >= GAP]
        for start in starts:
            of_session = [at for at in times if start <= at and not any(start < other <= at for other in starts)]
            for day_of in (start.date(), None):
                days[day_of]["sessions"] += 1
                days[day_of]["single_event_sessions"] += len(of_session) == 1
    for which in {e[1].date() for e in events if e[2] == "send"} | {None}:
        sent = [e for e in events if e[2] == "send" and which in (None, e[1].date())]
        if sent:
            days[which]["active_senders"] = len({e[5] for e in sent})
            days[which]["active_campaigns"] = len({(e[3], e[5]) for e in sent})
    counted = [f.name for f in DAILY_ACTIVITY.schema.fields if f.dataType.simpleString() == "bigint"]
    return {day: {name: counts[name] for name in counted} for day, counts in days.items() if counts}
