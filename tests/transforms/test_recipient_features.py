"""Features of people: by hand at every edge, without a look ahead, and as plain Python computes them."""

import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import LongType, StructType

from schemas.features import VALUE_COLUMNS, Feature, Rows, features
from schemas.person_events import ENGAGEMENTS, PERSON_EVENTS
from schemas.purchases import PURCHASES
from schemas.recipient_features import RECIPIENT_FEATURES, recipient_features_wide
from tests.conftest import SCALE
from transforms.recipient_features import to_long, to_recipient_features

AS_OF = datetime(2024, 3, 10, 12, tzinfo=UTC)  # clocks in New York went forward that day, at 07:00 UTC
ZONE = "America/New_York"
FEATURES = features(windows=(7, 30), last_n=2, size_limit=2, churn_days=30)
VARIABLES = {name: f"the {name}" for name in ("gender", "age", "country", "state", "payment_methods", "card")}
MICROSECOND = timedelta(microseconds=1)

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"
PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"

Values = dict[str, Any]


def ago(days: float = 0, **more: float) -> datetime:
    return AS_OF - timedelta(days=days, **more)


def event(event_class: str, at: datetime, **more: Any) -> Values:
    return {"event_class": event_class, "event_time": at, **more}


def opened(at: datetime, **more: Any) -> Values:
    return event("open", at, **more)


def session(started_at: datetime, ended_at: datetime) -> Values:
    return {"session_id": "s", "started_at": started_at, "ended_at": ended_at, "events": 1}


def order(at: datetime | None, revenue: str | None = "10", kind: str = "purchase", **more: Any) -> Values:
    return {"kind": kind, "purchased_at": at, "revenue": revenue and Decimal(revenue), "purchase_id": "p", **more}


def item(name: str, *categories: str, price: str | None = "1", quantity: int | None = 1) -> Values:
    price_in_money = price and Decimal(price)
    return {"id": name, "quantity": quantity, "unit_price": price_in_money, "categories": list(categories)}


@dataclass(frozen=True, kw_only=True)
class Input:
    """What is known of people, each row with `person_key`."""

    events: Sequence[Values] = ()
    sessions: Sequence[Values] = ()
    purchases: Sequence[Values] = ()
    profiles: Sequence[Values] = ()


def computed(
    spark: SparkSession, known: Input, wanted: Sequence[Feature] = FEATURES, as_of: datetime = AS_OF
) -> DataFrame:
    def frame(rows: Sequence[Values], schema: StructType | str) -> DataFrame:
        names = schema.names if isinstance(schema, StructType) else [part.split()[0] for part in schema.split(",")]
        return spark.createDataFrame([tuple(row.get(name) for name in names) for row in rows], schema)

    def loose(schema: StructType) -> StructType:
        return StructType.fromJson({**schema.jsonValue(), "fields": [{**f, "nullable": True} for f in _fields(schema)]})

    return to_recipient_features(
        frame(known.events, loose(PERSON_EVENTS.schema)),
        frame(
            known.sessions,
            "person_key string, session_id string, started_at timestamp, ended_at timestamp, events bigint",
        ),
        frame(known.purchases, loose(PURCHASES.schema)),
        frame(known.profiles, "person_key string, vars string"),
        as_of,
        wanted,
        time_zone=ZONE,
        variables=VARIABLES,
    )


def _fields(schema: StructType) -> Iterable[dict[str, Any]]:
    fields: Iterable[dict[str, Any]] = schema.jsonValue()["fields"]
    return fields


def by_person(rows: DataFrame) -> dict[str, Values]:
    return {row.person_key: row.asDict() for row in rows.collect()}


# --- by hand


@dataclass(frozen=True, kw_only=True)
class Case:
    """One person: what is known of it, and some of its features."""

    events: Sequence[Values] = ()
    sessions: Sequence[Values] = ()
    purchases: Sequence[Values] = ()
    vars: str | None = None
    wanted: Values = field(default_factory=dict)


CASES = {
    "window-bounds": Case(
        events=[opened(at) for at in (ago(7), ago(7) + MICROSECOND, AS_OF, AS_OF + MICROSECOND)],
        wanted={
            "opens": 3,
            "opens_7d": 2,
            "opens_30d": 3,
            "days_since_first_open": 7,
            "days_since_last_open": 0,
            "days_between_opens": 3.5,
        },
    ),
    "one-event-on-a-leap-day": Case(
        events=[opened(datetime(2024, 2, 29, 12, tzinfo=UTC))],
        sessions=[session(ago(10), ago(10))],
        wanted={
            "days_since_last_seen": 10,
            "opens_7d": 0,
            "opens_30d": 1,
            "days_between_opens": None,
            "days_active": 1,
            "sessions": 1,
            "sessions_7d": 0,
            "average_session_seconds": 0.0,
            "sessions_per_day_30d": 1.0,
            "sessions_per_day_7d": None,
            "first_session_at": datetime(2024, 2, 29, 12),
            "device": None,
            "last_links": None,
        },
    ),
    "churned-on-the-day": Case(events=[opened(ago(30)), event("send", ago())], wanted={"is_churned": True}),
    "churned-a-moment-later": Case(events=[opened(ago(30) + MICROSECOND)], wanted={"is_churned": False}),
    "never-there": Case(
        events=[event("send", ago(40)), event("bounce", ago(40))],
        wanted={
            "sends": 1,
            "bounces": 1,
            "bounces_30d": 0,
            "is_churned": None,
            "days_active": 0,
            "orders": 0,
            "revenue": Decimal(0),
            "revenue_7d": Decimal(0),
            "median_order_revenue": None,
            "last_order_at": None,
            "products_bought": 0,
            "products_bought_list": None,
            "carts_left": 0,
            "mailbox_provider": None,
        },
    ),
    "ties": Case(
        events=[
            opened(datetime(2024, 3, 4, 20, tzinfo=UTC), user_agent=IPHONE),  # a Monday, 15:00 in New York
            opened(datetime(2024, 3, 5, 14, tzinfo=UTC), user_agent=WINDOWS),
            *[opened(datetime(2024, 3, 6, hour, tzinfo=UTC), user_agent=PROXY) for hour in (1, 2, 3)],
        ],
        # The three are on Tuesday in New York, at 20, 21 and 22 hours.
        wanted={"preferred_hour": 9, "preferred_weekday": 2, "device": "desktop", "days_active": 2},
    ),
    "clocks-go-forward": Case(
        events=[opened(datetime(2024, 3, 10, hour, 30, tzinfo=UTC), user_agent=PROXY) for hour in (6, 7)]
        + [event("click", datetime(2024, 3, 10, 7, 59, tzinfo=UTC))],
        wanted={"preferred_hour": 3, "preferred_weekday": 7, "days_active": 1, "device": "bot"},
    ),
    "last-links": Case(
        events=[
            event("click", ago(4), link="old"),
            event("click", ago(3), link="again"),
            *[event("click", ago(2), link=link) for link in ("b", "a")],
            event("click", ago(1), link="again"),
            event("click", ago(0.5)),
            opened(ago(), link="no click"),
        ],
        wanted={"last_links": ["again", "b"], "clicks": 6},
    ),
    "bought-before-any-email": Case(
        purchases=[order(ago(50))],
        wanted={
            "sends": 0,
            "days_since_first_send": None,
            "orders": 1,
            "orders_30d": 0,
            "revenue_before_first_click": Decimal(10),
            "days_between_orders": None,
            "days_since_first_order": 50,
        },
    ),
    "bought-before-and-at-the-first-click": Case(
        events=[event("click", ago(5)), event("click", ago(1))],
        purchases=[order(ago(6), "1"), order(ago(5), "2"), order(ago(3), "4")],
        wanted={"revenue_before_first_click": Decimal(1), "revenue": Decimal(7)},
    ),
    "revenue": Case(
        purchases=[
            order(ago(8), "1", quantity=3),
            order(ago(6), "4", purchase_id="q"),
            order(ago(6), None, purchase_id="r", quantity=2),
            order(ago(2), "-4", kind="refund"),
            order(None, "100"),
            order(AS_OF + MICROSECOND, "100"),
        ],
        wanted={
            "orders": 3,
            "orders_7d": 2,
            "revenue": Decimal(5),
            "revenue_7d": Decimal(4),
            "average_order_revenue": 2.5,
            "median_order_revenue": 2.5,
            "highest_order_revenue": Decimal(4),
            "last_order_revenue": None,
            "last_order_at": datetime(2024, 3, 4, 12),
            "units_per_order": 2.5,
            "days_between_orders": 1.0,
            "refunds": 1,
            "refunded": Decimal(4),
            "refunded_7d": Decimal(4),
        },
    ),
    "carts": Case(
        purchases=[
            order(ago(9), "1", kind="cart"),
            order(ago(8), "2"),
            order(ago(8), "3", kind="cart"),
            order(ago(7), "4", kind="cart"),
            order(ago(6), None, kind="cart"),
        ],
        wanted={
            "carts": 4,
            "carts_left": 2,
            "carts_left_7d": 1,
            "cart_revenue": Decimal(8),
            "last_cart_revenue": None,
            "carts_before_first_order": 1,
        },
    ),
    "carts-without-an-order": Case(
        purchases=[order(ago(1), kind="cart"), order(AS_OF + MICROSECOND)],
        wanted={"carts_left": 1, "carts_before_first_order": 1, "orders": 0},
    ),
    "products-and-categories": Case(
        purchases=[
            order(ago(3), items=[item("b", "toys", price="5"), item("a", "books", "toys", price="1", quantity=9)]),
            order(ago(2), items=[item("b", "books", price="5"), item("c", "maps", price=None, quantity=None)]),
            order(ago(1), kind="cart", items=[item("d", "art"), item("a", "art")]),
            order(ago(1), kind="refund", items=[item("z", "none")]),
        ],
        wanted={
            "last_products": ["c", "b"],
            "products_bought": 3,
            "products_bought_list": None,
            "products_in_carts": 2,
            "products_in_carts_list": ["a", "d"],
            "categories_bought": 3,
            "categories_in_carts_list": ["art"],
            "top_category_by_spend": "books",
            "top_category_by_count": "books",
        },
    ),
    "still-there": Case(
        events=[opened(ago(minutes=9)), opened(ago(minutes=2)), opened(ago(minutes=-3)), event("send", ago())],
        sessions=[
            session(ago(minutes=9), ago(minutes=-3)),
            session(ago(1), ago(1, minutes=-1)),
            session(ago(minutes=-60), ago(minutes=-60)),
        ],
        wanted={
            "sessions": 2,
            "average_session_seconds": (7 * 60 + 60) / 2,
            "last_session_at": datetime(2024, 3, 10, 11, 51),
        },
    ),
    "only-a-profile": Case(
        vars='{"the gender": " f ", "the country": 47, "the state": " ", "the payment_methods": ["visa", "cash"], '
        '"the card": null, "the age": "34"}',
        wanted={
            "gender": "f",
            "country": "47",
            "state": None,
            "payment_methods": ["visa", "cash"],
            "card": None,
            "age": 34,
            "opens": 0,
            "sessions_30d": 0,
        },
    ),
    "payment-methods-with-commas": Case(
        vars='{"the payment_methods": "visa , cash,"}', wanted={"payment_methods": ["visa", "cash"]}
    ),
    "vars-are-no-object": Case(vars="[1", wanted={"gender": None, "payment_methods": None}),
    "ada@googlemail.com": Case(events=[event("send", ago())], wanted={"mailbox_provider": "gmail"}),
}


@pytest.fixture(scope="module")
def cases(spark: SparkSession) -> DataFrame:
    """The features of all cases, each a person, computed at once; beside them a purchase and a profile of nobody."""

    def rows(of: Callable[[Case], Sequence[Values]]) -> list[Values]:
        return [{**row, "person_key": name} for name, case in CASES.items() for row in of(case)]

    known = Input(
        events=rows(lambda case: case.events),
        sessions=rows(lambda case: case.sessions),
        purchases=[*rows(lambda case: case.purchases), order(ago(1))],
        profiles=[*rows(lambda case: [{"vars": case.vars}] if case.vars else []), {"vars": "{}"}],
    )
    return computed(spark, known).localCheckpoint()


@pytest.fixture(scope="module")
def by_hand(cases: DataFrame) -> dict[str, Values]:
    return by_person(cases)


def test_nobody_has_no_features(by_hand: dict[str, Values]) -> None:
    assert by_hand.keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_person_by_hand(by_hand: dict[str, Values], name: str) -> None:
    wanted = CASES[name].wanted
    assert {feature: by_hand[name][feature] for feature in wanted} == wanted
    assert (by_hand[name]["as_of_date"], by_hand[name]["as_of"]) == (date(2024, 3, 10), datetime(2024, 3, 10, 12))


def test_age(spark: SparkSession) -> None:
    """Of those born on a leap day, too: a year is complete when its day is over in a year that has none."""
    ages = {
        "34": 34,
        "131": None,
        "-1": None,
        "2000-02-29": 24,
        "2000-02-28": 25,
        "2000-03-01T00:00:00": 24,
        "2026-01-01": None,
        "1990-02-30": None,
        "thirty": None,
    }
    known = Input(profiles=[{"person_key": text, "vars": f'{{"the age": "{text}"}}'} for text in ages])
    [age] = [feature for feature in FEATURES if feature.name == "age"]
    found = by_person(computed(spark, known, [age], datetime(2025, 2, 28, 23, tzinfo=UTC)))
    assert {text: row["age"] for text, row in found.items()} == ages


def test_a_feature_is_one_entry(spark: SparkSession) -> None:
    complaints = Feature(
        name="complaints",
        of=Rows.EVENTS,
        expression="count_if(event_class = 'complaint')",
        type=LongType(),
        windows=(1,),
        if_none=0,
        comment="Complaints.",
    )
    known = Input(events=[{**event("complaint", ago(days)), "person_key": "ada"} for days in (0.5, 1)])
    wide = computed(spark, known, [complaints])
    assert wide.columns == recipient_features_wide([complaints]).columns
    assert [(row.complaints, row.complaints_1d) for row in wide.collect()] == [(2, 1)]


def test_what_a_user_agent_is_the_device_of(spark: SparkSession) -> None:
    devices = {
        IPHONE: "mobile",
        WINDOWS: "desktop",
        PROXY: "bot",
        "Mozilla/5.0 (compatible; bingbot/2.0)": "bot",
        "Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) Mobile/15E148": "tablet",
        "Mozilla/5.0 (Linux; Android 13; SM-X700) Safari/537.36": "tablet",
        "Mozilla/5.0 (Linux; Android 13; Pixel 7) Mobile Safari/537.36": "mobile",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)": "desktop",
        "Mozilla/5.0": "other",
    }
    known = Input(events=[{**opened(ago(), user_agent=agent), "person_key": agent} for agent in devices])
    [device] = [feature for feature in FEATURES if feature.name == "device"]
    assert {agent: row["device"] for agent, row in by_person(computed(spark, known, [device])).items()} == devices


# --- against plain Python, on random rows


def made_up(seed: int) -> Input:
    """Events and purchases of 40 people in the 60 days before AS_OF and the 10 after it, with their sessions."""
    chance = random.Random(seed)
    people = [f"p{number}@example.com" for number in range(40 * SCALE)]

    def at() -> datetime:
        second = timedelta(seconds=chance.randrange(-10 * 86_400, 60 * 86_400))
        return AS_OF - (second // timedelta(hours=6) * timedelta(hours=6) if chance.random() < 0.2 else second)

    starts = [(chance.choice(people), at()) for _ in range(1000 * SCALE)]
    starts += [(person, AS_OF - timedelta(minutes=10)) for person in people[:9]]  # sessions that go on after it
    classes = ["send", "delivery", "open", "open", "click", "bounce", "purchase"]
    events = [
        {
            **event(chance.choice(classes), start + timedelta(seconds=chance.randrange(1200))),
            "person_key": person,
            "event_id": str(number),
        }
        for number, (person, start) in enumerate(starts * 4)
    ]
    purchases = [
        {
            **order(at(), chance.choice([None, "0", "12.34", "99.9999", "20"]), purchase_id=str(number)),
            "kind": chance.choice(["purchase", "purchase", "refund", "cart"]),
            "person_key": chance.choice(people),
            "quantity": chance.choice([None, 1, 2, 7]),
        }
        for number in range(600 * SCALE)
    ]
    return Input(events=events, purchases=purchases, sessions=sessions_of(events))


def sessions_of(events: Sequence[Values]) -> list[Values]:
    """Runs of opens, clicks and purchases with less than 15 minutes between them."""
    times = defaultdict(list)
    for one in events:
        if one["event_class"] in ENGAGEMENTS:
            times[one["person_key"]].append(one["event_time"])
    runs: list[Values] = []
    for person, own in times.items():
        for time in sorted(own):
            if runs and runs[-1]["person_key"] == person and time - runs[-1]["ended_at"] < timedelta(minutes=15):
                runs[-1]["ended_at"] = time
            else:
                runs.append({**session(time, time), "person_key": person})
    return runs


def until(known: Input, as_of: datetime) -> Input:
    """What was known then."""
    events = [one for one in known.events if one["event_time"] <= as_of]
    purchases = [one for one in known.purchases if one["purchased_at"] <= as_of]
    return Input(events=events, purchases=purchases, sessions=sessions_of(events))


@pytest.fixture(scope="module")
def random_rows() -> Input:
    return made_up(8)


@pytest.fixture(scope="module")
def wide(spark: SparkSession, random_rows: Input) -> DataFrame:
    return computed(spark, random_rows).localCheckpoint()


def test_what_happens_later_changes_nothing(spark: SparkSession, random_rows: Input, wide: DataFrame) -> None:
    then = until(random_rows, AS_OF)
    assert any(one["started_at"] <= AS_OF < one["ended_at"] for one in random_rows.sessions), "none goes on after AS_OF"
    assert by_person(wide) == by_person(computed(spark, then))


def test_numbers_are_those_of_plain_python(random_rows: Input, wide: DataFrame) -> None:
    then, found = until(random_rows, AS_OF), by_person(wide)
    numbers = [one for one in FEATURES if one.value_column == "value_number" and one.of in COMPUTED_OVER]
    names = {column for one in numbers for column in one.columns} - NOT_OF_A_WINDOW
    for person, row in found.items():
        own = Input(
            **{
                of: [one for one in getattr(then, of) if one["person_key"] == person]
                for of in ("events", "sessions", "purchases")
            }
        )
        wanted = {**in_window(own, None), **in_window(own, 7), **in_window(own, 30)}
        assert names == wanted.keys()
        for name, value in wanted.items():
            assert (row[name] is None) == (value is None), (person, name)
            assert row[name] == (pytest.approx(value) if isinstance(value, float) else value), (person, name)


COMPUTED_OVER = (Rows.EVENTS, Rows.SESSIONS, Rows.PURCHASES)
NOT_OF_A_WINDOW = {
    *(f"days_since_{which}_{what}" for which in ("first", "last") for what in ("send", "open", "click", "seen")),
    *("days_since_first_order", "days_since_last_order", "is_churned", "last_order_revenue", "last_cart_revenue"),
    *("revenue_before_first_click", "carts_before_first_order"),
}
"""Numbers that no window has: the cases by hand have them all."""


def in_window(known: Input, days: int | None) -> Values:
    """The numbers of one person by their columns' names, computed without Spark."""

    def is_in(at: datetime) -> bool:
        return days is None or AS_OF - at < timedelta(days=days)

    def kinds(kind: str, rows: Sequence[Values]) -> list[Values]:
        return [one for one in rows if one["kind"] == kind]

    def average_gap(times: list[datetime]) -> float | None:
        if len(times) < 2:
            return None
        return (max(times) - min(times)) / timedelta(days=1) / (len(times) - 1)

    def local(at: datetime) -> datetime:
        return at.astimezone(ZoneInfo(ZONE))

    def commonest(values: Iterable[int]) -> int | None:
        counted = Counter(values)
        return min(counted, key=lambda value: (-counted[value], value), default=None)

    def stated(name: str, rows: list[Values]) -> list[Any]:
        return [one[name] for one in rows if one[name] is not None]

    def mean(values: Sequence[Any]) -> float | None:
        return float(statistics.mean(values)) if values else None

    times = defaultdict(list)
    for one in known.events:
        if is_in(one["event_time"]):
            times[one["event_class"]].append(one["event_time"])
    read = [local(at) for at in times["open"] + times["click"]]
    active = read + [local(at) for at in times["purchase"]]
    sessions = [one for one in known.sessions if is_in(one["started_at"])]
    bought, refunds, carts = (
        kinds(kind, [one for one in known.purchases if is_in(one["purchased_at"])])
        for kind in ("purchase", "refund", "cart")
    )
    last_bought = max([one["purchased_at"] for one in kinds("purchase", known.purchases)], default=None)
    amounts = stated("revenue", bought)
    session_days = {local(one["started_at"]).date() for one in sessions}
    numbers = {
        "sends": len(times["send"]),
        "opens": len(times["open"]),
        "clicks": len(times["click"]),
        "bounces": len(times["bounce"]),
        "days_between_opens": average_gap(times["open"]),
        "days_active": len({at.date() for at in active}),
        "preferred_hour": commonest(at.hour for at in read),
        "preferred_weekday": commonest(at.isoweekday() for at in read),
        "sessions": len(sessions),
        "average_session_seconds": mean([(s["ended_at"] - s["started_at"]).total_seconds() for s in sessions]),
        "sessions_per_day": len(sessions) / len(session_days) if sessions else None,
        "orders": len(bought),
        "revenue": sum(amounts, Decimal(0)),
        "average_order_revenue": mean(amounts),
        "median_order_revenue": float(statistics.median(amounts)) if amounts else None,
        "highest_order_revenue": max(amounts, default=None),
        "units_per_order": mean(stated("quantity", bought)),
        "days_between_orders": average_gap([one["purchased_at"] for one in bought]),
        "refunds": len(refunds),
        "refunded": -sum(stated("revenue", refunds), Decimal(0)),
        "carts": len(carts),
        "carts_left": sum(last_bought is None or one["purchased_at"] > last_bought for one in carts),
        "cart_revenue": sum(stated("revenue", carts), Decimal(0)),
    }
    return {name if days is None else f"{name}_{days}d": value for name, value in numbers.items()}


def test_the_wide_rows_are_as_their_contract_says(wide: DataFrame) -> None:
    fields = recipient_features_wide(FEATURES).schema.fields
    assert [(f.name, f.dataType) for f in wide.schema] == [(f.name, f.dataType) for f in fields]


def test_long_and_wide_say_the_same(cases: DataFrame) -> None:
    long = to_long(cases, FEATURES)
    assert [(f.name, f.dataType) for f in long.schema] == [(f.name, f.dataType) for f in RECIPIENT_FEATURES.schema]
    found = [tuple(row) for row in long.collect()]
    wanted = [
        (row["as_of_date"], person, row["as_of"], feature.name, days, *_typed(feature.value_column, row[name]))
        for person, row in by_person(cases).items()
        for feature in FEATURES
        for name, days in feature.columns.items()
        if row[name] is not None
    ]
    assert Counter(map(repr, found)) == Counter(map(repr, wanted))


def _typed(value_column: str, value: Any) -> list[Any]:
    as_stored = float(value) if value_column == "value_number" else value
    return [as_stored if name == value_column else None for name in VALUE_COLUMNS]
