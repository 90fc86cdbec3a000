"""Purchases as generated files, profiles and a table tell them are the generator's truth."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import tables
from jobs.generator import PurchaseTruth, SailthruTruth, generate_purchases, generate_sailthru
from jobs.purchases import read_purchases
from jobs.stream_events import load
from schemas.sailthru import PROFILES
from tests.conftest import settings_for
from tests.tables import micros, same_bag
from transforms.people import AddressRules
from transforms.purchases import known_hashes


def no_profiles(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], PROFILES.stored_schema)


def nobody(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], "person_key string, email_hash string")


def test_log_and_profiles_give_the_truth_and_again_the_same(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sailthru = generate_sailthru(tmp_path / "input", messages=80, days=2, update_days=1, clients=("4321", "77"))
    truth = generate_purchases(tmp_path / "input", sailthru)
    settings = settings_for(tmp_path)
    load(settings, provider="sailthru", spark=spark)
    profiles = tables.read(spark, Path(settings.warehouse), PROFILES)
    known = known_hashes(profiles, spark.createDataFrame([], "address string"), AddressRules())
    first = read_purchases(spark, settings, profiles, known, AddressRules()).orderBy("purchase_id").collect()
    people = {str(profile["email"]).lower() for profile in sailthru.profiles}
    same_bag([as_stated(row) for row in first], [of_truth(one, people) for one in truth.purchases])
    assert len({row.purchase_id for row in first}) == len(first)
    assert f"Purchases: {truth.rejected} rows of the purchase log" in capsys.readouterr().err
    twice = profiles.unionByName(profiles)
    assert read_purchases(spark, settings, twice, known, AddressRules()).orderBy("purchase_id").collect() == first


def as_stated(row: Row) -> tuple[Any, ...]:
    """All of a purchase but its id, money in cents."""
    items = tuple(
        (i.id, i.title, i.quantity, cents(i.unit_price), i.url, None if i.categories is None else tuple(i.categories))
        for i in row["items"]
    )
    at = None if row.purchased_at is None else micros(row.purchased_at.replace(tzinfo=UTC))
    what = (row.kind, row.person_key, at, cents(row.revenue), row.quantity, items)
    return *what, row.message_id, row.client_id, row.channel, row.order_id, row.email_hash, row.source


def cents(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount * 100


def of_truth(one: PurchaseTruth, people: set[str]) -> tuple[Any, ...]:
    person = one.email.lower() if one.email.lower() in people else None
    what = (one.kind, person, one.purchased_at, one.cents, one.quantity, one.items)
    return *what, one.message_id, one.client_id, one.channel, one.order_id, one.email_hash, one.source


def test_a_table_is_read_by_the_names_it_has(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql(
        "select timestamp'2025-10-24 13:15:00' as Paid_At, 'Ada@example.com' as Buyer, 3598 as total, "
        "array('BK-204', 'a,b') as items, array(1799, 0) as unit_prices, array(2, 1) as quantities"
    ).write.format("delta").save(str(tmp_path / "sales"))
    named = ("date=paid_at", "email=buyer", "price=total")
    settings = of_table(tmp_path, "purchases.table_unit=cents", *(f"purchases.columns.{one}" for one in named))
    (row,) = read_purchases(spark, settings, no_profiles(spark), nobody(spark), AddressRules()).collect()
    assert (row.person_key, row.purchased_at) == ("ada@example.com", datetime(2025, 10, 24, 13, 15))
    assert (row.revenue, row.quantity, row.source) == (Decimal("35.98"), 3, "table")
    assert [(item.id, item.quantity, item.unit_price) for item in row["items"]] == [
        ("BK-204", 2, Decimal("17.99")),
        ("a,b", 1, Decimal(0)),
    ]
    with pytest.raises(ConfigurationError, match=r"names no column `bought`, .* say with purchases\.columns\.<name>"):
        read_purchases(
            spark,
            of_table(tmp_path, "purchases.columns.date=bought"),
            no_profiles(spark),
            nobody(spark),
            AddressRules(),
        )


def of_table(folder: Path, *overrides: str) -> Settings:
    return settings_for(folder, f"purchases.table={folder / 'sales'}", *overrides)


def test_columns_of_the_log_may_be_missing_and_its_zone_be_set(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.csv").write_text("Price,DATE\n5,2025-10-24 12:00:00\n")
    (tmp_path / "log" / "b.csv").write_text("date,channel\n2025-10-24 12:00:01,app\n")
    (tmp_path / "log" / "empty.csv").write_text("")
    wanted = (f"purchases.path={tmp_path / 'log'}", "purchases.time_zone=Europe/Berlin", "purchases.log_unit=cents")
    rows = read_purchases(
        spark, settings_for(tmp_path, *wanted), no_profiles(spark), nobody(spark), AddressRules()
    ).collect()
    assert {(row.purchased_at, row.revenue, row.channel) for row in rows} == {
        (datetime(2025, 10, 24, 10), Decimal("0.05"), None),
        (datetime(2025, 10, 24, 10, 0, 1), None, "app"),
    }


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param("path=nowhere", r"^purchases\.path: .* is no folder", id="no-folder"),
        pytest.param("table=nowhere", r"^purchases\.table: .* is no Delta table", id="no-table"),
    ],
)
def test_a_path_that_holds_nothing_is_refused(spark: SparkSession, tmp_path: Path, setting: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_purchases(
            spark, settings_for(tmp_path, f"purchases.{setting}"), no_profiles(spark), nobody(spark), AddressRules()
        )


def test_without_any_source_there_are_no_purchases(spark: SparkSession, tmp_path: Path) -> None:
    assert (
        read_purchases(spark, settings_for(tmp_path), no_profiles(spark), nobody(spark), AddressRules()).collect() == []
    )


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    def made(name: str) -> tuple[dict[str, bytes], object]:
        sailthru: SailthruTruth = generate_sailthru(tmp_path / name, messages=60, days=2, update_days=1)
        truth = generate_purchases(tmp_path / name, sailthru)
        return {path.name: path.read_bytes() for path in (tmp_path / name / "purchases").iterdir()}, truth

    assert made("a") == made("b")


def test_without_odd_every_row_is_ordinary(tmp_path: Path) -> None:
    sailthru = generate_sailthru(tmp_path, messages=200, days=2, update_days=1, odd=False)
    truth = generate_purchases(tmp_path, sailthru, odd=False)
    assert truth.forms.keys() == {"divider_|", "told_by_both", "unknown_buyer"}
    assert truth.rejected == 0
    assert all(one.purchased_at is not None and one.cents is not None for one in truth.purchases)
    assert {one.kind for one in truth.purchases} == {"purchase", "refund", "cart"}
