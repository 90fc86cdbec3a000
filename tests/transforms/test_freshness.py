"""How new data sets are, and which days are told to be missing, on a handful of files."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyspark.sql import Row, SparkSession

from schemas.freshness import FRESHNESS, LONGEST_GAP_DAYS
from transforms.freshness import to_freshness

NOON = datetime(2025, 11, 20, 12, tzinfo=UTC)
FILE = "filename string, provider string, status string, modified_at timestamp, etl_time timestamp"
EVENT = "filename string, provider string, event_date date, event_time timestamp"


def freshness(
    spark: SparkSession, files: list[tuple[str, str]], events: list[tuple[str, datetime]]
) -> dict[tuple[str, str, str], Row]:
    """By key, of files with their status, each modified and loaded a second after the one before."""

    def provider(name: str) -> str:
        return "ses" if name.startswith("ses") else "sailthru"

    lines: list[tuple[Any, ...]] = [
        (
            f"file:///in/{name}",
            provider(name),
            status,
            NOON + timedelta(seconds=i),
            NOON + timedelta(seconds=i, minutes=1),
        )
        for i, (name, status) in enumerate(files)
    ]
    rows = [(f"file:///in/{name}", provider(name), at.date(), at) for name, at in events]
    found = to_freshness(
        spark.createDataFrame(lines, FILE), spark.createDataFrame(rows, EVENT), "9", NOON + timedelta(hours=1)
    )
    return {tuple(row[name] for name in FRESHNESS.key): row for row in found.collect()}


def test_lags_count_from_the_newest_event_file_and_load(spark: SparkSession) -> None:
    files = [("ses/a", "ok"), ("ses/b", "empty"), ("4_profile.20251119.json", "ok"), ("notes.txt", "skipped")]
    found = freshness(spark, files, [("ses/a", NOON - timedelta(hours=1)), ("ses/a", NOON + timedelta(hours=2))])
    assert set(found) == {("ses", "", ""), ("sailthru", "4", "profile")}
    ses, profiles = found["ses", "", ""], found["sailthru", "4", "profile"]
    assert (ses.files, ses.event_lag_seconds, ses.modified_lag_seconds, ses.load_lag_seconds) == (2, -3600, 3599, 3539)
    assert (ses.newest_file_date, ses.missing_dates, ses.days_without_events) == (None, None, [])
    assert (profiles.newest_event_at, profiles.event_lag_seconds, profiles.days_without_events) == (None, None, None)
    assert (profiles.newest_file_date, profiles.missing_dates) == (date(2025, 11, 19), [])


def test_a_day_is_missing_if_another_data_set_of_the_client_came_and_no_file_could_be_read(spark: SparkSession) -> None:
    files = [
        ("4_blast.20251110.json", "ok"),
        ("4_blast.20251112.json.gz", "not_readable"),
        ("4_blast.20251113.json", "cut_off"),
        ("4_message_blast_updates.20251114.json", "empty"),
        ("4_message_blast.json", "ok"),
        ("profile.20251101.json", "ok"),
        ("9_profile.20251103.json", "ok"),
    ]
    found = freshness(spark, files, [])
    missing = {key[1:]: row.missing_dates for key, row in found.items()}
    assert missing == {
        ("4", "blast"): [date(2025, 11, 11), date(2025, 11, 12), date(2025, 11, 14)],
        ("4", "message_blast_update"): [date(2025, 11, day) for day in range(10, 14)],
        ("4", "message_blast"): None,
        ("9", "profile"): [date(2025, 11, 2)],
    }
    blasts = found["sailthru", "4", "blast"]
    assert (blasts.files, blasts.files_not_readable, blasts.newest_file_date) == (3, 1, date(2025, 11, 13))


def test_missing_days_go_back_a_year_and_no_date_lies_in_the_future(spark: SparkSession) -> None:
    files = [(f"4_blast.{day}.json", "ok") for day in ("20010101", "20251121", "20251122", "99991231", "20251399")]
    row = freshness(spark, files, [])["sailthru", "4", "blast"]
    assert row.newest_file_date == date(2025, 11, 21)  # a day that has begun somewhere
    assert row.missing_dates == [date(2025, 11, 21) - timedelta(days=i) for i in range(LONGEST_GAP_DAYS - 1, 0, -1)]


def test_days_without_events_lie_between_events_and_not_in_the_future(spark: SparkSession) -> None:
    days = (NOON - timedelta(days=4), NOON - timedelta(days=2), NOON + timedelta(days=2))
    row = freshness(spark, [("ses/a", "ok")], [("ses/a", at) for at in days])["ses", "", ""]
    assert row.days_without_events == [date(2025, 11, 17), date(2025, 11, 19), date(2025, 11, 20)]
    (only,) = freshness(spark, [("ses/a", "ok")], [("ses/a", NOON + timedelta(days=2))]).values()
    assert only.days_without_events == []
