"""The tables about people are those of the truth, counted in plain Python."""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from deltalake import DeltaTable

from tests.jobs.conftest import Built
from tests.summaries import Fact, facts
from tests.tables import micros, same_bag

PROJECT = Path(__file__).parents[2]
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


def test_purchases_are_those_of_the_truth(built: Built) -> None:
    people = {row["person_key"] for row in built.rows("person_events") if "@" in row["person_key"]}
    found = [
        (row["kind"], row["person_key"], micros(row["purchased_at"]), row["revenue"], row["order_id"])
        for row in built.rows("purchases")
        if row["kind"] != "cart"
    ]
    expected = [
        (
            one.kind,
            one.email.lower() if one.email.lower() in people else None,
            one.purchased_at,
            None if one.cents is None else Decimal(one.cents) / 100,
            one.order_id,
        )
        for one in built.purchases.purchases
        if one.kind != "cart"
    ]
    same_bag(found, expected)
    stated = {one.purchase_id for one in Purchase.of(built) if one.person and one.at}
    assert {row["event_id"] for row in built.rows("person_events") if not row["provider"]} == stated


@dataclass(frozen=True)
class Purchase:
    """What features and attribution are made of."""

    purchase_id: str
    kind: str
    person: str | None
    at: int | None
    revenue: Decimal | None

    @classmethod
    def of(cls, built: Built) -> list["Purchase"]:
        """Purchases and carts; a refund is no event of a person."""
        return [
            cls(row["purchase_id"], row["kind"], row["person_key"], micros(row["purchased_at"]), row["revenue"])
            for row in built.rows("purchases")
            if row["kind"] != "refund"
        ]


def test_the_last_click_before_a_purchase_is_credited_with_all_of_it(built: Built) -> None:
    clicks: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in built.rows("person_events"):
        if row["event_class"] == "click":
            clicks[row["person_key"]].append((micros(row["event_time"]) or 0, row["message_id"]))
    attribution = built.rows("attribution")
    last = {
        row["purchase_id"]: (row["message_id"], row["credit"])
        for row in attribution
        if (row["model"], row["touch_kind"], row["window_days"]) == ("last", "click", 7)
    }
    credited = 0
    for purchase in (one for one in Purchase.of(built) if one.kind == "purchase"):
        at = purchase.at
        near = [c for c in clicks[purchase.person or ""] if at and 0 <= at - c[0] <= 7 * 86_400_000_000]
        is_credited = bool(near) and purchase.revenue is not None
        assert last[purchase.purchase_id] == (max(near)[1] if is_credited else None, purchase.revenue), purchase
        credited += is_credited
    assert credited, "some purchase follows a click"
    ways: dict[Any, Decimal] = defaultdict(Decimal)
    for row in attribution:
        ways[row["model"], row["touch_kind"], row["window_days"]] += row["credit"] or 0
    paid = sum(row["revenue"] or 0 for row in built.rows("purchases") if row["kind"] != "cart")
    assert len(ways) == 4 * 2 * 3
    assert set(ways.values()) == {paid}


@pytest.mark.parametrize("page", ["README.md", "docs/people.md"])
def test_the_example_queries_of_a_page_run(built: Built, page: str) -> None:
    blocks = re.findall(r"^```sql\n(.*?)^```", (PROJECT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    queries = [query for block in blocks for query in block.split(";") if query.strip()]
    assert queries
    with duckdb.connect() as db:
        db.sql("set timezone = 'UTC'")
        for path in built.warehouse.iterdir():
            if (path / "_delta_log").exists():
                db.register(path.name, DeltaTable(str(path)).to_pyarrow_table())
        for query in queries:
            db.sql(query).fetchall()


def test_features_are_those_that_duckdb_counts_up_to_the_newest_event(built: Built) -> None:
    with duckdb.connect() as db:
        for name in ("person_events", "purchases", "sessions", "recipient_features", "recipient_features_wide"):
            db.register(name, DeltaTable(str(built.warehouse / name)).to_pyarrow_table())
        asked = """
            with until as (select max(event_time) as as_of from person_events),
            e as (select *, date_diff('microsecond', event_time, as_of) < 30 * 86400000000 as is_near
                  from person_events, until),
            p as (select *, date_diff('microsecond', purchased_at, as_of) < 30 * 86400000000 as is_near
                  from purchases, until where person_key is not null and purchased_at <= as_of),
            s as (select *, date_diff('microsecond', started_at, as_of) < 30 * 86400000000 as is_near
                  from sessions, until),
            of_events as (select person_key,
                count(*) filter (event_class = 'send') as sends,
                count(*) filter (event_class = 'open' and is_near) as opens_30d,
                count(*) filter (event_class = 'click') as clicks,
                count(*) filter (event_class = 'bounce') as bounces,
                count(distinct cast(event_time at time zone 'UTC' as date))
                    filter (event_class in ('open', 'click', 'purchase')) as days_active
                from e group by all),
            of_purchases as (select person_key,
                count(*) filter (kind = 'purchase') as orders,
                count(*) filter (kind = 'purchase' and is_near) as orders_30d,
                coalesce(sum(revenue) filter (kind = 'purchase'), 0) as revenue,
                median(revenue) filter (kind = 'purchase') as median_order_revenue,
                count(*) filter (kind = 'refund') as refunds,
                count(*) filter (kind = 'cart') as carts
                from p group by all),
            of_sessions as (select person_key, count(*) as sessions, count(*) filter (is_near) as sessions_30d
                from s group by all)
            select person_key, coalesce(sends, 0) as sends, coalesce(opens_30d, 0) as opens_30d,
                coalesce(clicks, 0) as clicks, coalesce(bounces, 0) as bounces,
                coalesce(days_active, 0) as days_active, coalesce(orders, 0) as orders,
                coalesce(orders_30d, 0) as orders_30d, coalesce(revenue, 0) as revenue,
                round(cast(median_order_revenue as double), 5) as median_order_revenue,
                coalesce(refunds, 0) as refunds,
                coalesce(carts, 0) as carts, coalesce(sessions, 0) as sessions,
                coalesce(sessions_30d, 0) as sessions_30d
            from of_events full join of_purchases using (person_key) full join of_sessions using (person_key)
        """
        expected = db.sql(asked)
        names = ", ".join(expected.columns)
        people = f"from recipient_features_wide where person_key in (select person_key from ({asked}))"
        same_bag(db.sql(f"select {names} {people}").fetchall(), expected.fetchall())
        long = db.sql("select sum(value_number) from recipient_features where feature = 'opens'")
        wide = db.sql("select cast(sum(opens + opens_30d) as double) from recipient_features_wide")
        assert long.fetchall() == wide.fetchall()
        assert db.sql("select 1 from recipient_features_wide where orders > 0").fetchall()


NEW_YORK = ZoneInfo("America/New_York")
TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "number",
    NoneType: "null",
    dict: "object",
    list: "array",
}


def test_what_profiles_hold_is_what_json_reads_in_them(built: Built) -> None:
    lists, variables, places, browsers = [], [], [], []
    for row in built.rows("profiles"):
        profile = (row["client_id"], row["id"])
        names = ("lists_signup", "lists_remove", "vars", "geo", "browser")
        objects = {name: json.loads(row[name] or "{}") for name in names}
        came, gone = (_by_list(objects[name]) for name in ("lists_signup", "lists_remove"))
        for name in came | gone:
            is_back = bool(came.get(name) and gone.get(name) and (came[name] or 0) > (gone[name] or 0))
            lists.append((*profile, name, came.get(name), gone.get(name), name in gone and not is_back))
        for name, value in objects["vars"].items():
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            variables.append((*profile, name, None if value is None else text, TYPES[type(value)]))
        kinds = ("city", "state", "country", "zip")
        places += [(*profile, kind, *place) for kind in kinds for place in objects["geo"].get(kind, {}).items()]
        browsers += [(*profile, *browser) for browser in objects["browser"].items()]
    for table, expected in (
        ("profile_lists", lists),
        ("profile_vars", variables),
        ("profile_geo", places),
        ("profile_browser", browsers),
    ):
        found = [tuple(micros(v) if isinstance(v, datetime) else v for v in row.values()) for row in built.rows(table)]
        assert expected
        same_bag(found, expected)


def _by_list(stated: Any) -> dict[str, int | None]:
    """The lists named, each with its time in microseconds; an export may give an array of objects."""
    if isinstance(stated, list):
        stated = {one["name"]: one["signup_time"] for one in stated}
    return {name: micros(datetime.fromisoformat(at).replace(tzinfo=NEW_YORK)) for name, at in stated.items()}
