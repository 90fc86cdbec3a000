"""Which emails a purchase is credited to, and with how much: to the cent, whatever the order of the rows."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import StructType

from schemas.attribution import ATTRIBUTION
from schemas.campaigns import CAMPAIGN_KEY, CAMPAIGNS
from schemas.person_events import PERSON_EVENTS
from schemas.purchases import PURCHASES
from schemas.views import VIEWS
from tests.conftest import SCALE
from transforms.attribution import to_attribution

NOON = datetime(2025, 11, 20, 12, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
CENT = Decimal("0.01")
[VIEW] = [view for view in VIEWS if view.name == "campaign_attribution"]
MODELS, KINDS, WINDOWS = ("first", "last", "linear", "position"), ("click", "click_or_open"), (1, 7)


def touch(message_id: str, before: timedelta, event_class: str = "click", **given: Any) -> dict[str, Any]:
    """What ada did with a message of SES, `before` noon."""
    return {
        "person_key": "ada",
        "event_time": NOON - before,
        "event_class": event_class,
        "event_id": f"{event_class} of {message_id}",
        "provider": "ses",
        "account": "",
        "message_id": message_id,
        "campaign": "news",
        **given,
    }


def purchase(revenue: str | None = "100", **given: Any) -> dict[str, Any]:
    """What ada bought at noon."""
    usual = {"purchase_id": "p", "kind": "purchase", "person_key": "ada", "purchased_at": NOON, "client_id": "7"}
    return {**usual, "revenue": revenue and Decimal(revenue), **given}


def attribution(
    spark: SparkSession, purchases: Iterable[dict[str, Any]], events: Iterable[dict[str, Any]]
) -> list[Row]:
    """All rows."""
    return attributed(spark, purchases, events).collect()


def attributed(spark: SparkSession, purchases: Iterable[dict[str, Any]], events: Iterable[dict[str, Any]]) -> DataFrame:
    """The table; columns of the inputs that are not given are NULL."""
    bought = spark.createDataFrame(
        [tuple(map(row.get, PURCHASES.columns)) for row in purchases], as_nullable(PURCHASES)
    )
    done = spark.createDataFrame(
        [tuple(map(row.get, PERSON_EVENTS.columns)) for row in events], as_nullable(PERSON_EVENTS)
    )
    found = to_attribution(bought, done, WINDOWS)
    assert found.columns == ATTRIBUTION.columns
    return found


def as_nullable(contract: Any) -> str:
    return ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in contract.schema)


def credited(rows: list[Row], model: str = "linear", touch_kind: str = "click", window_days: int = 7) -> Any:
    """Of one model, kind and window: each message, or the reason why there is none, with its credit."""
    way = (model, touch_kind, window_days)
    of_way = [row for row in rows if (row.model, row.touch_kind, row.window_days) == way]
    return [(row.message_id or row.reason, row.credit) for row in sorted(of_way, key=lambda row: row.position or 0)]


def by_person(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each person."""
    found = defaultdict(list)
    for row in rows:
        found[row.person_key].append(row)
    return dict(found)


def amounts(*texts: str) -> list[Decimal]:
    return [Decimal(text) for text in texts]


def test_both_ends_of_the_window_are_within(spark: SparkSession) -> None:
    cases = {
        "after the purchase": (-MICROSECOND, "no_touch"),
        "at its instant": (timedelta(0), "m"),
        "exactly the window before": (7 * DAY, "m"),
        "a microsecond longer": (7 * DAY + MICROSECOND, "no_touch"),
    }
    events = [touch("m", before, person_key=name) for name, (before, _) in cases.items()]
    found = by_person(attribution(spark, [purchase(person_key=name, purchase_id=name) for name in cases], events))
    assert {name: credited(rows) for name, rows in found.items()} == {
        name: [(message, Decimal(100))] for name, (_, message) in cases.items()
    }


def test_a_purchase_has_rows_for_each_way_of_crediting_also_without_any_touch(spark: SparkSession) -> None:
    rows = attribution(spark, [purchase(message_id="stated")], [touch("m", DAY, person_key="bo")])
    found = [(row.model, row.touch_kind, row.window_days) for row in rows]
    assert sorted(found) == sorted(product(MODELS, KINDS, WINDOWS))
    assert {(row.reason, row.credit, row.touches, row.position, row.stated_message_id) for row in rows} == {
        ("no_touch", Decimal(100), 0, None, "stated")
    }


def test_longer_windows_and_opens_bring_more_touches(spark: SparkSession) -> None:
    rows = attribution(spark, [purchase()], [touch("m", DAY), touch("n", 3 * DAY, "open"), touch("o", 5 * DAY)])
    messages = {way: [name for name, _ in credited(rows, "linear", *way)] for way in product(KINDS, WINDOWS)}
    assert messages == {
        ("click", 1): ["m"],
        ("click", 7): ["o", "m"],
        ("click_or_open", 1): ["m"],
        ("click_or_open", 7): ["o", "n", "m"],
    }


def test_opens_alone_are_no_clicks(spark: SparkSession) -> None:
    rows = attribution(spark, [purchase()], [touch("m", DAY, "open"), touch("n", DAY, "delivery")])
    assert credited(rows, touch_kind="click") == [("no_touch", Decimal(100))]
    assert credited(rows, touch_kind="click_or_open") == [("m", Decimal(100))]


def test_a_message_touches_once_at_its_latest_event_before_the_purchase(spark: SparkSession) -> None:
    # given: n was clicked between two clicks of m, and m was opened after its last click
    events = [
        *(touch("m", days * DAY, event_id=f"click {days} days before") for days in (6, 3)),
        touch("m", 2 * DAY, "open", campaign=None),
        touch("m", -DAY, event_id="click after the purchase"),
        touch("n", 4 * DAY),
    ]
    # when
    rows = attribution(spark, [purchase()], events)
    # then
    found = {
        row.touch_kind: (row.message_id, row.event_id, row.event_class, row.event_time, row.campaign, row.touches)
        for row in rows
        if (row.model, row.window_days) == ("last", 7)
    }
    assert found == {
        "click": ("m", "click 3 days before", "click", NOON.replace(tzinfo=None) - 3 * DAY, "news", 2),
        "click_or_open": ("m", "open of m", "open", NOON.replace(tzinfo=None) - 2 * DAY, "news", 2),
    }


def test_messages_of_two_accounts_are_two_though_their_ids_are_alike(spark: SparkSession) -> None:
    events = [touch("m", DAY, provider="sailthru", account=account, event_id=account) for account in ("7", "8")]
    assert credited(attribution(spark, [purchase()], events)) == [("m", Decimal(50)), ("m", Decimal(50))]


def test_two_emails_at_one_instant_are_ordered_by_message(spark: SparkSession) -> None:
    rows = attribution(spark, [purchase()], [touch("n", DAY, event_id="1"), touch("m", DAY, event_id="2")])
    assert credited(rows, "first") == [("m", Decimal(100))]
    assert credited(rows, "last") == [("n", Decimal(100))]


def test_revenue_is_shared_out_to_the_cent(spark: SparkSession) -> None:
    cases = {
        "one touch": (1, "99.99", ["99.99"], ["99.99"]),
        "two touches": (2, "0.03", ["0.02", "0.01"], ["0.02", "0.01"]),
        "three touches": (3, "100", ["33.34", "33.33", "33.33"], ["40", "20", "40"]),
        "two between": (4, "100", ["25", "25", "25", "25"], ["40", "10", "10", "40"]),
        "one cent": (3, "0.01", ["0.01", "0", "0"], ["0.01", "0", "0"]),
        "two cents": (3, "0.02", ["0.01", "0.01", "0"], ["0.01", "0", "0.01"]),
        "few cents": (5, "0.11", ["0.03", *["0.02"] * 4], ["0.05", "0.01", "0.01", "0", "0.04"]),
        "negative": (3, "-0.02", ["-0.01", "-0.01", "0"], ["-0.01", "0", "-0.01"]),
        "for nothing": (3, "0", ["0", "0", "0"], ["0", "0", "0"]),
        "less than cents": (3, "0.0149", ["0.0149", "0", "0"], ["0.0149", "0", "0"]),
        "as much as money holds": (
            3,
            "-9999999999999999.9999",
            ["-3333333333333333.3399", "-3333333333333333.33", "-3333333333333333.33"],
            ["-4000000000000000.0099", "-1999999999999999.99", "-4000000000000000.00"],
        ),
    }
    bought = [purchase(revenue, person_key=name, purchase_id=name) for name, (_, revenue, *_) in cases.items()]
    events = [
        touch(f"m{n}", (6 - n) * DAY, person_key=name) for name, (touches, *_) in cases.items() for n in range(touches)
    ]
    found = by_person(attribution(spark, bought, events))
    assert found.keys() == cases.keys()
    for name, (touches, revenue, linear, position) in cases.items():
        credits = {model: [credit for _, credit in credited(found[name], model)] for model in MODELS}
        assert credits == {
            "first": amounts(revenue),
            "last": amounts(revenue),
            "linear": amounts(*linear),
            "position": amounts(*position),
        }, name
        ends = [message for model in ("first", "last") for message, _ in credited(found[name], model)]
        assert ends == ["m0", f"m{touches - 1}"], name


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param({"person_key": None, "purchased_at": None}, "no_person", id="nobody"),
        pytest.param({"purchased_at": None}, "no_time", id="no-time"),
        pytest.param({"kind": "refund", "order_id": None}, "no_order", id="refund-of-no-order"),
        pytest.param({"kind": "refund", "order_id": "1"}, "no_order", id="refund-of-an-unknown-order"),
    ],
)
def test_what_cannot_be_credited_says_why(spark: SparkSession, given: dict[str, Any], reason: str) -> None:
    rows = attribution(spark, [purchase(**given)], [touch("m", DAY)])
    assert [credited(rows, *way) for way in product(MODELS, KINDS, WINDOWS)] == [[(reason, Decimal(100))]] * 16


def test_a_purchase_for_an_unknown_amount_has_no_credit(spark: SparkSession) -> None:
    assert credited(attribution(spark, [purchase(None)], [touch("m", DAY)])) == [("no_revenue", None)]


def test_a_refund_is_taken_back_from_the_emails_of_its_order(spark: SparkSession) -> None:
    # given: an order in two parcels, another client's of the same number, and an email clicked before the refund
    later = NOON + 2 * DAY
    purchases = [
        purchase("10.00", order_id="1"),
        purchase("5.00", order_id="1", purchase_id="second parcel", purchased_at=NOON + DAY),
        purchase("9.00", order_id="1", purchase_id="of another client", client_id="8", purchased_at=NOON - 5 * DAY),
        purchase("-10.00", order_id="1", purchase_id="back", kind="refund", purchased_at=later),
    ]
    events = [touch("m", DAY), touch("n", 2 * DAY), touch("o", 3 * DAY), touch("yours to return", -DAY)]
    # when
    rows = attribution(spark, purchases, events)
    # then
    bought, back = ([row for row in rows if row.purchase_id == name] for name in ("p", "back"))
    for model in MODELS:
        assert credited(back, model) == [(message, -credit) for message, credit in credited(bought, model)]
    assert {(row.kind, row.purchased_at, row.window_ends_at) for row in back} == {
        ("refund", later.replace(tzinfo=None), NOON.replace(tzinfo=None))
    }


@pytest.mark.parametrize("clients", [("7", ""), ("", "7")])
def test_a_refund_of_a_client_that_is_not_known_may_be_of_any(spark: SparkSession, clients: tuple[str, str]) -> None:
    given: dict[str, Any] = {"order_id": "1", "kind": "refund", "purchase_id": "back", "client_id": clients[1]}
    purchases = [purchase("10.00", order_id="1", client_id=clients[0]), purchase("-10.00", **given)]
    back = [row for row in attribution(spark, purchases, [touch("m", DAY)]) if row.purchase_id == "back"]
    assert credited(back) == [("m", Decimal(-10))]


def test_carts_are_not_there(spark: SparkSession) -> None:
    rows = attribution(spark, [purchase(kind="cart"), purchase(purchase_id="q")], [touch("m", DAY)])
    assert {row.purchase_id for row in rows} == {"q"}


# --- The same by a plain computation


def made_up(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """2,000 purchases, refunds and carts, and what their people did; times are coarse, so that many are equal."""
    chance = random.Random(seed)
    people = [f"person {n}" for n in range(400 * SCALE)]
    purchases = [
        {
            "purchase_id": f"p{n}",
            "kind": chance.choices(("purchase", "refund", "cart"), (8, 1, 1))[0],
            "person_key": chance.choice([*people, None]),
            "purchased_at": chance.choices((NOON - chance.randrange(40) * DAY / 2, None), (30, 1))[0],
            "revenue": chance.choice((None, *[Decimal(chance.randrange(-500, 20_000)) / 100] * 30, Decimal("7.7777"))),
            "client_id": chance.choice(("7", "8", "")),
            "order_id": chance.choice((None, "1", "2")),
        }
        for n in range(2000 * SCALE)
    ]
    events = [
        touch(
            f"m{chance.randrange(900 * SCALE)}",
            chance.randrange(80) * DAY / 4,
            chance.choice(("open", "click", "delivery")),
            person_key=chance.choice(people),
            account=chance.choice(("", "7")),
            event_id=f"e{n}",
        )
        for n in range(6000 * SCALE)
    ]
    return purchases, events


def by_hand(purchases: list[dict[str, Any]], events: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Of each row: purchase, model, kind, window, event, position, credit, reason."""
    of_person = defaultdict(list)
    for event in events:
        of_person[event["person_key"]].append(event)
    rows: Counter[tuple[Any, ...]] = Counter()
    for bought in purchases:
        if bought["kind"] == "cart":
            continue
        at, reason = bought["purchased_at"], None
        if bought["kind"] == "refund":
            order = [bought[name] for name in ("person_key", "order_id")]
            times = [
                other["purchased_at"]
                for other in purchases
                if other["kind"] == "purchase"
                and [other[name] for name in ("person_key", "order_id")] == order
                and (other["client_id"] == bought["client_id"] or "" in (other["client_id"], bought["client_id"]))
                and None not in (*order, other["purchased_at"])
            ]
            at = min(times, default=None)
        if bought["person_key"] is None:
            reason = "no_person"
        elif at is None:
            reason = "no_order" if bought["kind"] == "refund" else "no_time"
        elif bought["revenue"] is None:
            reason = "no_revenue"
        for kind, days in product(KINDS, WINDOWS):
            latest: dict[Any, Any] = {}
            for event in of_person[bought["person_key"]] if reason is None else ():
                counts = event["event_class"] in kind.split("_or_")
                if counts and at - timedelta(days=days) <= event["event_time"] <= at:
                    message = (event["account"], event["message_id"])
                    one = (event["event_time"], event["message_id"], event["event_id"])
                    latest[message] = max(latest.get(message, one), one, key=lambda one: (one[0], one[2]))
            path = [event_id for _, _, event_id in sorted(latest.values())]
            for model in MODELS:
                way = (bought["purchase_id"], model, kind, days)
                if not path:
                    rows[(*way, None, None, bought["revenue"], reason or "no_touch")] += 1
                for place, credit in shares(bought["revenue"], len(path), model) if path else ():
                    rows[(*way, path[place], place + 1, credit, None)] += 1
    return rows


def shares(revenue: Decimal, touches: int, model: str) -> list[tuple[int, Decimal]]:
    """The places, from 0, that get something, each with what it gets."""
    if model == "first":
        return [(0, revenue)]
    if model == "last":
        return [(touches - 1, revenue)]
    pot = abs(revenue).quantize(CENT, "ROUND_DOWN")
    weights = [Decimal(1)] * touches
    if model == "position" and touches > 2:
        weights = [Decimal(2), *[Decimal(1) / (touches - 2)] * (touches - 2), Decimal(2)]
    exact = [pot * weight / sum(weights) for weight in weights]
    if model == "linear" or touches < 3:
        given = dealt(pot, touches)
    else:
        middle = (pot / 5).quantize(CENT, "ROUND_DOWN")
        first, last = dealt(pot - middle, 2)
        given = [first, *dealt(middle, touches - 2), last]
    assert all(abs(one - other) < CENT for one, other in zip(given, exact, strict=True)), "less than a cent off"
    given[0] += abs(revenue) - pot
    return [(place, -one if revenue < 0 else one) for place, one in enumerate(given)]


def dealt(pot: Decimal, places: int) -> list[Decimal]:
    """Cent by cent, one to each in turn."""
    cents = range(int(pot / CENT))
    return [CENT * len(cents[place::places]) for place in range(places)]


def test_rows_equal_a_plain_computation_in_any_order_of_the_inputs(spark: SparkSession) -> None:
    # given
    purchases, events = made_up(seed=8)
    shuffled = random.Random(9)
    # when
    rows = attribution(spark, purchases, events)
    others = attribution(spark, *(shuffled.sample(given, len(given)) for given in (purchases, events)))
    # then
    found = Counter(
        (
            row.purchase_id,
            row.model,
            row.touch_kind,
            row.window_days,
            row.event_id,
            row.position,
            row.credit,
            row.reason,
        )
        for row in rows
    )
    assert found == by_hand(purchases, events)
    assert Counter(map(tuple, others)) == Counter(map(tuple, rows))
    credits = defaultdict(list)
    for row in rows:
        credits[row.purchase_id, row.model, row.touch_kind, row.window_days].append(row.credit)
    paid = {one["purchase_id"]: one["revenue"] for one in purchases if one["kind"] != "cart"}
    assert credits.keys() == set(product(paid, MODELS, KINDS, WINDOWS))
    assert all(sum(parts) == paid[name] for (name, *_), parts in credits.items() if paid[name] is not None)


# --- What is asked of it


@pytest.fixture
def asked(spark: SparkSession) -> Iterator[Mapping[str, DataFrame]]:
    """The tables `attribution` and `campaigns`, and the view over both."""
    events = [
        touch("m", DAY),
        touch("n", DAY / 2, provider="sailthru", account="7", campaign="12"),
        touch("o", DAY / 4, provider="sailthru", account="7", campaign=None),
    ]
    bought = [purchase("90"), purchase("5", purchase_id="q", person_key=None)]
    campaigns = [
        ("ses", "", "configuration_set", "news", None),
        ("sailthru", "7", "blast", "12", Decimal(50)),
        ("sailthru", "7", "template", "12", Decimal(1)),
        ("sailthru", "7", "blast", "13", Decimal(7)),
        ("sailthru", "7", "blast", "14", None),
    ]
    columns = [CAMPAIGNS.schema[name] for name in (*CAMPAIGN_KEY, "revenue")]
    tables = {
        "attribution": attributed(spark, bought, events),
        "campaigns": spark.createDataFrame(campaigns, StructType(columns)),
    }
    for name, rows in tables.items():
        rows.createOrReplaceTempView(name)
    spark.sql(VIEW.sql).createOrReplaceTempView(VIEW.name)
    yield tables
    for name in (VIEW.name, *tables):
        spark.catalog.dropTempView(name)


def test_revenue_of_the_provider_stands_beside_ours_whatever_the_window(
    spark: SparkSession, asked: Mapping[str, DataFrame]
) -> None:
    # given
    connection = duckdb.connect()
    for name, rows in asked.items():
        connection.register(name, rows.toArrow())
    # when
    found = list(map(tuple, spark.table(VIEW.name).collect()))
    # then
    ours, theirs = ("ses", "", "news"), ("sailthru", "7")
    wanted = {
        "first": [(*ours, 90, None), (*theirs, "12", 0, 51), (*theirs, "13", 0, 7)],
        "linear": [(*ours, 30, None), (*theirs, "12", 30, 51), (*theirs, "13", 0, 7), (*theirs, "unknown", 30, None)],
    }
    for model, kind, days in product(wanted, KINDS, WINDOWS):
        of_way = [(*row[:3], *row[6:]) for row in found if row[3:6] == (model, kind, days)]
        assert sorted(of_way, key=lambda row: (row[:3] != ours, row[2])) == wanted[model]
    assert Counter(connection.execute(VIEW.sql).fetchall()) == Counter(found)


@pytest.mark.usefixtures("asked")
def test_the_queries_of_the_page_give_rows(spark: SparkSession) -> None:
    page = Path(__file__).parents[2] / "docs/attribution.md"
    by_campaign, beside = re.findall(r"^```sql\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert {row.credited_to: row.revenue for row in spark.sql(by_campaign).collect()} == {
        "news": 36,
        "12": 18,
        "no campaign": 36,
        "no_person": 5,
    }
    assert [tuple(row) for row in spark.sql(beside).collect()] == [("12", 0, 51), ("13", 0, 7), ("unknown", 90, None)]
