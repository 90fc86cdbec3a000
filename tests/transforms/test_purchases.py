"""What rows of a purchase log, profiles and tables tell, and when two of them tell the same."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import md5

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from schemas.purchases import PURCHASES, STATED, MoneyUnit
from transforms.people import AddressRules
from transforms.purchases import known_hashes, of_log, of_profiles, of_table, to_purchases

ZONE, RULES = "America/New_York", AddressRules()
EARLIEST, LATEST = datetime.fromisoformat("2000-01-01T00:00:00Z"), datetime.fromisoformat("2030-01-01T00:00:00Z")
ADA = md5(b"ada@example.com").hexdigest()
NINE = "2025-10-24 09:15:00"  # 13:15 UTC
NINE_EPOCH = 1761311700
ROW = {"date": NINE, "email_hash": ADA, "price": "35.98"}
GUIDE = {"id": "BK-204", "title": "Field guide", "qty": 2, "price": 1799, "url": "https://x.example/p", "tags": ["a"]}
TOLD = {"id": "d1", "time": NINE_EPOCH, "price": 3598, "qty": 2, "items": [GUIDE]}


def log(spark: SparkSession, *rows: Mapping[str, str | None], unit: MoneyUnit = "whole") -> DataFrame:
    return of_log(texts(spark, *rows), unit, ZONE, RULES)


def texts(spark: SparkSession, *rows: Mapping[str, str | None]) -> DataFrame:
    return spark.createDataFrame(
        [tuple(row.get(name) for name in STATED) for row in rows], ", ".join(f"{name} string" for name in STATED)
    )


def profiles(spark: SparkSession, *versions: tuple[str, str | None, object, object]) -> DataFrame:
    """Versions of the profile p1: rank, address, purchases, purchase_incomplete."""
    rows = [("4321", "p1", v, f"record {v}", email, as_json(done), as_json(cart)) for v, email, done, cart in versions]
    names = ("client_id", "id", "version", "record", "email", "purchases", "purchase_incomplete")
    return of_profiles(spark.createDataFrame(rows, ", ".join(f"{name} string" for name in names)), "cents", ZONE, RULES)


def as_json(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def found(spark: SparkSession, *told: DataFrame) -> list[Row]:
    known = spark.createDataFrame([("ada@example.com", ADA)], "person_key string, email_hash string")
    rows = told[0]
    for more in told[1:]:
        rows = rows.unionByName(more)
    purchases = to_purchases(rows, known, ZONE, EARLIEST, LATEST)
    assert purchases.columns == PURCHASES.columns
    assert {f.name: f.dataType for f in purchases.schema} == {f.name: f.dataType for f in PURCHASES.schema}
    return purchases.orderBy("purchased_at", "order_id").collect()


def one(spark: SparkSession, *told: DataFrame) -> Row:
    (row,) = found(spark, *told)
    return row


def told_by(
    spark: SparkSession, cases: Mapping[str, Mapping[str, str | None]], unit: MoneyUnit = "whole"
) -> dict[str, Row]:
    """The purchase that each row of the log tells, by the name of its case: its order id."""
    rows = found(spark, log(spark, *({**ROW, **case, "extid": name} for name, case in cases.items()), unit=unit))
    assert len(rows) == len(cases)
    return {row.order_id: row for row in rows}


def test_lists_in_a_cell_become_items(spark: SparkSession) -> None:
    cases: dict[str, tuple[str | None, str | None, str | None, str, list[str | None], int | None]] = {
        "bars": ("a|b", "u:/1|u:/2", "1.5|2", "1|3", ["a", "b"], 4),
        "semicolons and blanks": ("a; b", "u://1;u://2", "1.5;2", "1;3", ["a", "b"], 4),
        "commas": ("a,b", "u://1,u://2", "1.5,2", "1,3.0", ["a", "b"], 4),
        "a bar before a comma": ("a, the 2nd|b", "u://1,x|u://2", "1.5|2", "1|3", ["a, the 2nd", "b"], 4),
        "json": ('["a|x", "b"]', '["u:1", null]', "[1.5, 2]", "[1, 3]", ["a|x", "b"], 4),
        "no json": ("[new] a;b", "u://1;u://2", "1.5;2", "1;3", ["[new] a", "b"], 4),
        "nothing between": ("a||b", "u://1||u://2", "1.5|9|2", "1|1|3", ["a", None, "b"], 5),
        "no number": ("a|b", None, None, "1|x", ["a", "b"], None),
        "lists of other lengths": ("a", None, None, "1|2", ["a"], None),
        "only prices": (None, None, "1.5|2", "1|3", [None, None], 4),
    }
    names = ("items", "urls", "unit_prices", "quantities")
    rows = told_by(spark, {name: dict(zip(names, case[:4], strict=True)) for name, case in cases.items()})
    found = {name: ([item.id for item in row["items"]], row.quantity) for name, row in rows.items()}
    assert found == {name: case[4:] for name, case in cases.items()}
    prices = {name: row["items"][0].unit_price for name, row in rows.items()}
    assert prices == {name: case[2] and Decimal("1.5") for name, case in cases.items()}


def test_what_divides_urls_stands_before_one(spark: SparkSession) -> None:
    one, two, third = "https://x.example/a,b", "http://y.example/", "https://y.example/"
    cases = {f"{one};c": [f"{one};c"], f"{one},{two}": [one, two], f"{one}; {third}": [one, third]}
    rows = told_by(spark, {cell: {"urls": cell} for cell in cases})
    assert {cell: [item.url for item in row["items"]] for cell, row in rows.items()} == cases


def test_money_has_the_unit_that_is_set(spark: SparkSession) -> None:
    whole: dict[str, str | None] = {"35.98": "35.98", "-5": "-5", "35,98": None, "9" * 40: None, "NaN": None}
    cents: dict[str, str | None] = {"3598": "35.98", "3598.5": "35.985", "free": None}
    units: dict[MoneyUnit, dict[str, str | None]] = {"whole": whole, "cents": cents}
    for unit, cases in units.items():
        item = {"items": "a", "unit_prices": "1", "quantities": "1"}
        rows = told_by(spark, {price: {"price": price, **item} for price in cases}, unit)
        found = {price: row.revenue for price, row in rows.items()}
        assert found == {price: revenue and Decimal(revenue) for price, revenue in cases.items()}


def test_a_date_of_the_log_is_local(spark: SparkSession) -> None:
    """The first of an hour that comes twice; one that never comes moves on; a day alone is no instant."""
    cases = {
        NINE: "2025-10-24 13:15:00",
        "2025-11-03 09:15": "2025-11-03 14:15:00",
        "2025-11-02 01:30:00": "2025-11-02 05:30:00",
        "2025-03-09 02:30:00": "2025-03-09 07:30:00",
        "2025-10-24T09:15:00Z": "2025-10-24 09:15:00",
        "2025-10-24": None,
        "1999-12-31T00:00:00Z": None,
        "soon": None,
    }
    rows = told_by(spark, {date: {"date": date} for date in cases})
    found = {date: row.purchased_at for date, row in rows.items()}
    assert found == {date: utc and datetime.fromisoformat(utc) for date, utc in cases.items()}


def test_a_row_of_the_log_says_all_this(spark: SparkSession) -> None:
    named = {"email_hash": ADA.upper(), "extid": " 1001 ", "message_id": "7310452.30", "channel": "online"}
    lists = {"items": "BK-204", "urls": "https://x.example/p", "unit_prices": "17.99", "quantities": "2"}
    row = one(spark, log(spark, {**ROW, **named, **lists})).asDict()
    assert row.pop("purchase_id")
    assert [tuple(item) for item in row.pop("items")] == [
        ("BK-204", None, 2, Decimal("17.99"), "https://x.example/p", None)
    ]
    assert row == {
        "kind": "purchase",
        "person_key": "ada@example.com",
        "purchased_at": datetime(2025, 10, 24, 13, 15),
        "revenue": Decimal("35.98"),
        "quantity": 2,
        "message_id": "7310452.30",
        "client_id": "",
        "channel": "online",
        "order_id": "1001",
        "email_hash": ADA,
        "source": "log",
    }


def test_nobody_is_known_by_a_hash_of_no_known_address(spark: SparkSession) -> None:
    row = one(spark, log(spark, {**ROW, "email_hash": "0" * 32}))
    assert (row.person_key, row.email_hash, row.revenue) == (None, "0" * 32, Decimal("35.98"))


def test_rows_without_date_price_and_items_are_none(spark: SparkSession) -> None:
    assert found(spark, log(spark, {"email_hash": ADA, "extid": "1", "date": " "}, {})) == []
    assert len(found(spark, log(spark, {"date": NINE}, {"price": "1"}, {"items": "a"}))) == 3


@pytest.mark.parametrize(
    ("told", "revenue", "quantity"),
    [
        pytest.param(TOLD, "35.98", 2, id="as-documented"),
        pytest.param({**TOLD, "price": "3598", "time": str(NINE_EPOCH)}, "35.98", 2, id="numbers-as-text"),
        pytest.param({"purchase_time": NINE_EPOCH, "items": [GUIDE]}, "35.98", 2, id="sums-of-items"),
        pytest.param({"date": NINE, "items": [GUIDE, {**GUIDE, "qty": 1}]}, "53.97", 3, id="local-date"),
        pytest.param({"time": NINE_EPOCH, "items": [GUIDE, {"id": "x"}]}, None, None, id="an-item-without-price"),
        pytest.param({**TOLD, "price": "free", "qty": "some"}, None, None, id="unreadable"),
        pytest.param({"time": NINE_EPOCH, "price": 100, "items": "none"}, "1", None, id="no-items"),
    ],
)
def test_a_profile_tells_purchases(spark: SparkSession, told: object, revenue: str | None, quantity: int) -> None:
    row = one(spark, profiles(spark, ("1", "Ada@Example.com", [told, None, {}, {"id": "nothing"}], None)))
    assert (row.kind, row.person_key, row.client_id) == ("purchase", "ada@example.com", "4321")
    assert row.purchased_at == datetime(2025, 10, 24, 13, 15)
    assert (row.revenue, row.quantity) == (None if revenue is None else Decimal(revenue), quantity)


def test_items_of_a_profile_keep_title_and_tags(spark: SparkSession) -> None:
    listed = [{**GUIDE, "tags": ["books", "b, c"]}, {**GUIDE, "tags": "books,maps"}]
    row = one(spark, profiles(spark, ("1", "ada@example.com", [{**TOLD, "items": listed}], None)))
    first, second = row["items"]
    assert tuple(first) == ("BK-204", "Field guide", 2, Decimal("17.99"), "https://x.example/p", ["books", "b, c"])
    assert second.categories == ["books", "maps"]


@pytest.mark.parametrize(
    ("done", "cart", "kind"),
    [
        pytest.param(None, TOLD, "cart", id="one-object"),
        pytest.param(None, [TOLD], "cart", id="a-list"),
        pytest.param([{**TOLD, "incomplete": 1}], None, "cart", id="marked"),
        pytest.param([{**TOLD, "price": -3598}], None, "refund", id="refund"),
        pytest.param([], [{**TOLD, "price": -3598}], "cart", id="a-cart-is-no-refund"),
    ],
)
def test_the_kind_follows_from_where_it_stands_and_the_amount(
    spark: SparkSession, done: object, cart: object, kind: str
) -> None:
    assert one(spark, profiles(spark, ("1", None, done, cart))).kind == kind


def test_every_version_of_a_profile_tells_it_again(spark: SparkSession) -> None:
    later = {**TOLD, "id": "d2", "time": NINE_EPOCH + 1}
    told = profiles(spark, ("1", "old@example.com", [TOLD], TOLD), ("2", "ada@example.com", [TOLD, later], []))
    rows = found(spark, told)
    assert sorted((row.kind, row.purchased_at.second) for row in rows) == [
        ("cart", 0),
        ("purchase", 0),
        ("purchase", 1),
    ]
    assert {row.person_key for row in rows} == {"ada@example.com"}


def test_what_the_newest_version_tells_of_a_purchase_counts(spark: SparkSession) -> None:
    corrected = {**TOLD, "price": 2998}
    told = profiles(spark, ("1", "ada@example.com", [TOLD], None), ("2", "ada@example.com", [corrected], None))
    assert one(spark, told).revenue == Decimal("29.98")


def test_in_the_hour_that_comes_twice_log_and_profile_tell_one_purchase(spark: SparkSession) -> None:
    epoch = int(datetime(2025, 11, 2, 6, 30, tzinfo=UTC).timestamp())  # its second coming
    logged = log(spark, {**ROW, "date": "2025-11-02 01:30:00"})
    row = one(spark, logged, profiles(spark, ("1", "ada@example.com", [{**TOLD, "time": epoch}], None)))
    assert row.purchased_at == datetime(2025, 11, 2, 6, 30)


def test_log_and_profile_tell_one_purchase_and_each_what_the_other_lacks(spark: SparkSession) -> None:
    logged = log(spark, {**ROW, "date": f"{NINE}.250", "extid": "1001", "message_id": "7310452.30", "items": "x"})
    row = one(spark, logged, profiles(spark, ("1", "ada@example.com", [TOLD], None)))
    assert (row.source, row.order_id, row.message_id, row.client_id) == ("profile", "1001", "7310452.30", "4321")
    assert (row.email_hash, row.purchased_at) == (ADA, datetime(2025, 10, 24, 13, 15))
    assert [item.title for item in row["items"]] == ["Field guide"]


def test_when_rows_of_the_log_are_one_purchase(spark: SparkSession) -> None:
    cases: dict[str, tuple[dict[str, str | None], int]] = {
        "equal rows": ({}, 1),
        "spelled otherwise": ({"price": "35.980"}, 1),
        "less said": ({"extid": None, "channel": "app"}, 1),
        "a second later": ({"date": "2025-10-24 09:15:01"}, 2),
        "another amount": ({"price": "35.99"}, 2),
        "given back": ({"price": "-35.98"}, 2),
        "another person": ({"email_hash": "0" * 32}, 2),
        "another order in the same second": ({"extid": "1002"}, 2),
        "not known when": ({"date": "soon"}, 2),
    }
    people = {name: md5(name.encode()).hexdigest() for name in cases}
    rows: list[dict[str, str | None]] = []
    for name, (other, _) in cases.items():
        first: dict[str, str | None] = {**ROW, "extid": "1001", "email_hash": people[name]}
        rows += [first, {**first, **other}]
    names = {person: name for name, person in people.items()} | {"0" * 32: "another person"}
    counts = Counter(names[row.email_hash] for row in found(spark, log(spark, *rows)))
    assert counts == {name: count for name, (_, count) in cases.items()}


def test_what_is_not_known_well_is_one_only_in_equal_words(spark: SparkSession) -> None:
    vague = {"date": "soon", "email_hash": ADA, "price": "1"}
    rows = found(spark, log(spark, vague, vague, {**vague, "date": "later"}, {**vague, "price": "1.0"}))
    assert len(rows) == 3


def test_two_orders_of_one_second_are_two_in_log_and_profile(spark: SparkSession) -> None:
    both = log(spark, {**ROW, "extid": "1001"}, {**ROW, "extid": "1002"})
    told = profiles(spark, ("1", "ada@example.com", [TOLD, {**TOLD, "id": "d2"}], None))
    assert [row.order_id for row in found(spark, both, told)] == ["1001", "1002"]


def test_a_table_names_addresses_and_is_in_utc(spark: SparkSession) -> None:
    rows = texts(spark, {"date": NINE, "email": "Bo@Example.org", "price": "5", "extid": "7"})
    row = one(spark, of_table(rows, "whole", RULES))
    assert (row.person_key, row.purchased_at) == ("bo@example.org", datetime(2025, 10, 24, 9, 15))
    assert (row.revenue, row.order_id, row.source) == (Decimal(5), "7", "table")


def versions(spark: SparkSession, *rows: tuple[str, str, str | None]) -> DataFrame:
    """Of profiles: id, rank, address."""
    return spark.createDataFrame(
        [("1", profile, version, "", email) for profile, version, email in rows],
        "client_id string, id string, version string, record string, email string",
    )


def test_an_address_that_a_profile_had_is_still_its_persons_though_mail_went_there(spark: SparkSession) -> None:
    profiles = versions(spark, ("p1", "1", "old@example.com"), ("p1", "2", "ada@example.com"))
    sent_to = spark.createDataFrame([("old@example.com",)], "address string")
    people = {row.email_hash: row.person_key for row in known_hashes(profiles, sent_to, RULES).collect()}
    assert people[md5(b"old@example.com").hexdigest()] == "ada@example.com"


@pytest.mark.parametrize(
    ("rules", "of_folded"),
    [
        pytest.param(RULES, "ada@example.com", id="case-folded"),
        pytest.param(AddressRules(folds_case=False), "ada@example.com", id="the-one-who-is-spelt-so"),
    ],
)
def test_a_hash_is_of_the_address_as_stated_or_in_lower_case(
    spark: SparkSession, rules: AddressRules, of_folded: str
) -> None:
    profiles = versions(spark, ("p1", "1", "Ada@example.com"), ("p2", "1", None), ("p3", "1", "nobody"))
    addresses = spark.createDataFrame([("ada@example.com",), ("Ada@example.com",), ("",), (None,)], "address string")
    hashes = known_hashes(profiles, addresses, rules).collect()
    assert len(hashes) == 3
    people = {row.email_hash: row.person_key for row in hashes}
    assert people[md5(b"ada@example.com").hexdigest()] == of_folded
    spelt = "ada@example.com" if rules.folds_case else "Ada@example.com"
    assert people[md5(b"Ada@example.com").hexdigest()] == spelt
    assert people[md5(b"nobody").hexdigest()] == "profile:1/p3"
