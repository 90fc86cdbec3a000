"""Where a session begins and ends, what is told of it, and that the order of rows does not matter."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from docs.examples.app_sessions import RIDES, read_app_events
from schemas.sessions import SESSIONS
from tests.conftest import SCALE
from transforms.sessions import Key, SessionRules, engagement, to_sessions

GAP = timedelta(minutes=15)
EMAIL = engagement(GAP, ["purchase"])
NOON = datetime(2025, 10, 25, 12, tzinfo=UTC)


def _events(spark: SparkSession, *rows: tuple[str | None, datetime | None, str | None]) -> DataFrame:
    return spark.createDataFrame(list(rows), "person_key string, event_time timestamp, event_class string")


def _found(sessions: DataFrame, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in sessions.orderBy("person_key", "started_at").select(*names).collect()]


def _after(**pause: float) -> datetime:
    return NOON + timedelta(**pause)


@pytest.mark.parametrize(
    ("times", "sizes"),
    [
        pytest.param([NOON], [1], id="one-event"),
        pytest.param([NOON, _after(minutes=15, microseconds=-1)], [2], id="just-less-than-the-gap"),
        pytest.param([NOON, _after(minutes=15)], [1, 1], id="exactly-the-gap"),
        pytest.param([NOON, NOON, NOON], [3], id="one-instant"),
        pytest.param([NOON, _after(minutes=14), _after(minutes=28)], [3], id="longer-than-the-gap-in-all"),
        pytest.param([_after(hours=11, minutes=55), _after(hours=12, minutes=5)], [2], id="across-midnight"),
        # 01:55 EDT and 01:05 EST are ten minutes apart on the clocks of New York's longest night, in the wrong order.
        pytest.param(
            [datetime(2025, 11, 2, 5, 55, tzinfo=UTC), datetime(2025, 11, 2, 6, 5, tzinfo=UTC)],
            [2],
            id="clocks-go-back",
        ),
        pytest.param(
            [datetime(2024, 2, 28, 23, 50, tzinfo=UTC), datetime(2024, 2, 29, 0, 0, tzinfo=UTC)], [2], id="leap-day"
        ),
        pytest.param([_after(minutes=30), NOON], [1, 1], id="out-of-order"),
    ],
)
def test_a_pause_of_the_gap_ends_a_session(spark: SparkSession, times: list[datetime], sizes: list[int]) -> None:
    events = _events(spark, *[("ada", at, "open") for at in times])
    assert [row[0] for row in _found(to_sessions(events, EMAIL), "events")] == sizes


def test_a_late_event_joins_two_sessions_and_splits_none(spark: SparkSession) -> None:
    early, late = ("ada", NOON, "open"), ("ada", _after(minutes=20), "click")
    apart = _found(to_sessions(_events(spark, early, late), EMAIL), "started_at", "ended_at")
    joined = _found(to_sessions(_events(spark, early, late, ("ada", _after(minutes=10), "open")), EMAIL), "events")
    assert len(apart) == 2
    assert joined == [(3,)]


def test_what_is_told_of_a_session(spark: SparkSession) -> None:
    events = _events(
        spark,
        ("ada", NOON, "open"),
        ("ada", _after(minutes=1), "open"),
        ("ada", _after(minutes=2.5), "click"),
        ("ada", _after(minutes=4), "purchase"),
        ("ada", _after(minutes=5), "purchase"),
        ("ada", _after(hours=1), "click"),
        ("ada", _after(hours=1, minutes=1), "open"),
        ("ada", _after(hours=2), "purchase"),
        ("bob", NOON, "open"),
        (None, NOON, "open"),
        ("bob", None, "open"),
    )
    sessions = to_sessions(events, EMAIL)
    assert set(sessions.columns) == set(SESSIONS.columns)
    assert _found(sessions, *[n for n in SESSIONS.columns if n != "session_id"]) == [
        ("ada", NOON.replace(tzinfo=None), _naive(minutes=5), 5, True, 2.5, 1.5, 2),
        ("ada", _naive(hours=1), _naive(hours=1, minutes=1), 2, False, None, None, 2),
        ("ada", _naive(hours=2), _naive(hours=2), 1, True, None, None, 3),
        ("bob", _naive(), _naive(), 1, False, None, None, 0),
    ]
    assert sessions.select("session_id").distinct().count() == 4


def _naive(**pause: float) -> datetime:
    return _after(**pause).replace(tzinfo=None)  # as Spark gives instants in a session in UTC


def test_an_event_that_starts_one_does_so_whatever_the_pause_but_not_twice_in_an_instant(spark: SparkSession) -> None:
    rules = SessionRules(keys=[Key("person_key")], time="event_time", event="event_class", starts=["launch"])
    events = _events(
        spark,
        ("ada", NOON, "screen"),
        ("ada", _after(seconds=1), "screen"),
        ("ada", _after(seconds=1), "launch"),
        ("ada", _after(seconds=1), "launch"),
        ("ada", _after(seconds=2), None),
    )
    assert _found(to_sessions(events, rules), "events") == [(1,), (4,)]


def test_two_keys_together_are_a_person_and_one_of_them_is_enough(spark: SparkSession) -> None:
    rules = SessionRules(keys=[Key("a", F.lower), Key("b")], time="at", event="event")
    rows = [("X", "1"), ("x", "1"), ("x", "2"), ("x", None), (None, "1"), (None, None)]
    events = spark.createDataFrame(
        [(a, b, NOON, "e") for a, b in rows], "a string, b string, at timestamp, event string"
    )
    found = {(row.a, row.b): row.events for row in to_sessions(events, rules).collect()}
    assert found == {("x", "1"): 2, ("x", "2"): 1, ("x", None): 1, (None, "1"): 1}


def test_sessions_equal_those_of_a_loop_over_each_persons_events(spark: SparkSession) -> None:
    chance = random.Random(8)
    rows = [
        (f"p{chance.randrange(40 * SCALE)}", NOON + timedelta(minutes=chance.randrange(3000) / 2), chance.choice(KINDS))
        for _ in range(4000 * SCALE)
    ]
    names = [n for n in SESSIONS.columns if n != "session_id"]
    found = _found(to_sessions(_events(spark, *rows), EMAIL), *names)
    assert found == sorted(_looped(rows))
    chance.shuffle(rows)
    again = to_sessions(_events(spark, *rows), EMAIL)
    assert _found(again, *SESSIONS.columns) == _found(
        to_sessions(_events(spark, *rows[::-1]), EMAIL), *SESSIONS.columns
    )
    assert _found(again, *names) == found


KINDS = ("open", "click", "purchase")


def _looped(rows: list[tuple[str, datetime, str]]) -> list[tuple[Any, ...]]:
    of_person: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for person, at, kind in rows:
        of_person[person].append((at.replace(tzinfo=None), kind))
    told = []
    for person, events in of_person.items():
        events.sort()
        bought = 0
        session: list[tuple[datetime, str]] = []
        for i, event in enumerate(events):
            session.append(event)
            if i + 1 < len(events) and events[i + 1][0] - event[0] < GAP:
                continue
            bought += sum(kind == "purchase" for _, kind in session)
            first = {kind: at for at, kind in reversed(session)}
            minutes = [
                (first[b] - first[a]).total_seconds() / 60
                if a in first and b in first and first[b] >= first[a]
                else None
                for a, b in (("open", "click"), ("click", "purchase"))
            ]
            is_success = "purchase" in first
            told.append((person, session[0][0], event[0], len(session), is_success, *minutes, bought))
            session = []
    return told


def test_the_worked_example_of_an_app(spark: SparkSession) -> None:
    sessions = to_sessions(read_app_events(spark), RIDES).orderBy("started_at").drop("session_id")

    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2025-10-{text}")

    assert [tuple(row) for row in sessions.collect()] == [
        ("a1f0", "phone-1", at("25 06:58:00"), at("25 07:26:30"), 5, True, 3.0, 25.5, 1),
        ("a1f0", "phone-1", at("25 07:40:00"), at("25 07:40:20"), 2, False, None, None, 1),
        ("a1f0", "phone-1", at("25 08:10:20"), at("25 08:10:20"), 1, False, None, None, 1),
        ("a1f0", "phone-2", at("25 09:00:00"), at("25 09:00:00"), 2, False, None, None, 0),
        ("b2e1", None, at("25 23:50:00"), at("26 00:20:00"), 4, True, 9.5, pytest.approx(20.5), 1),
        ("b2e1", None, at("26 08:00:00"), at("26 08:00:00"), 1, False, None, None, 2),
        ("b2e1", None, at("26 08:01:00"), at("26 08:15:00"), 3, False, 1.0, 13.0, 3),
    ]
