"""Which events of a batch are there already or come twice, and which copy is kept."""

import time
from datetime import UTC, date, datetime, timedelta

import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession

from transforms.events import DayRange, duplicates, repeated, within

ROWS = "event_id string, filename string, block long, place long"


def test_known_events_and_second_copies_are_duplicates(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [
            ("once", "b", 0, 1),
            ("known", "b", 0, 2),
            ("twice", "b", 0, 3),
            ("twice", "a", 9, 4),  # kept: the least file name
            ("same-file", "c", 7, 5),
            ("same-file", "c", 0, 6),  # kept: the earlier block
            ("known-and-twice", "a", 0, 7),
            ("known-and-twice", "a", 0, 8),
            (None, "a", 0, 9),  # no event
            (None, "a", 0, 10),
        ],
        ROWS,
    )
    known = spark.createDataFrame([("known",), ("known-and-twice",), ("elsewhere",), ("elsewhere",)], "event_id string")
    found = repeated(rows, known)
    expected = [("known", True), ("known-and-twice", True), ("same-file", False), ("twice", False)]
    assert_df_equality(
        found.orderBy("event_id"),
        spark.createDataFrame(expected, "event_id string, is_known boolean"),
        ignore_nullable=True,
    )
    assert_df_equality(
        duplicates(rows, found).orderBy("place"),
        spark.createDataFrame([("b", 2), ("b", 3), ("c", 5), ("a", 7), ("a", 8)], "filename string, place long"),
        ignore_nullable=True,
    )


def test_a_day_range_is_the_same_wherever_the_process_thinks_it_is(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an hour that comes twice there, a time without a zone would be the other one's."""
    half_past_six = 1_762_065_000_000_000  # 2025-11-02T06:30Z: the second 01:30 of New York
    events = spark.range(1).selectExpr(
        "date'2025-11-02' as event_date", f"timestamp_micros({half_past_six}) as event_time"
    )
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        condition = within([DayRange(date(2025, 11, 2), half_past_six, half_past_six)])
        assert events.where(condition).count() == 1
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("days", [1, 50, 51, 2000])
def test_copies_of_events_are_looked_for_on_the_days_of_a_batch_however_many(spark: SparkSession, days: int) -> None:
    first, second = datetime(2020, 1, 1, 12, tzinfo=UTC), timedelta(seconds=1)

    def micros(at: datetime) -> int:
        return int(at.timestamp()) * 1_000_000

    noons = [first + timedelta(days=2 * i) for i in range(days)]
    condition = within([DayRange(noon.date(), micros(noon), micros(noon + second)) for noon in noons])
    own = [(at,) for noon in (noons[0], noons[-1]) for at in (noon, noon + second)]
    others = [(first - second,), (noons[-1] + 2 * second,), (first + timedelta(days=1),)]
    events = spark.createDataFrame([*own, *others], "event_time timestamp").selectExpr(
        "*", "date(event_time) as event_date"
    )
    found = events.where(condition).collect()
    assert sorted(row.event_time for row in found) == sorted(at.replace(tzinfo=None) for (at,) in own)
