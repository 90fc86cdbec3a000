"""What is said of a day first stays beside what is said of it now."""

from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession

from schemas.restatement import RESTATEMENT
from transforms.restatement import to_restatement

FIRST, LATER = datetime(2025, 11, 20, tzinfo=UTC), datetime(2025, 11, 27, tzinfo=UTC)
MONDAY, TUESDAY = date(2025, 11, 17), date(2025, 11, 18)
MESSAGE = (
    "provider string, send_date date, recipients_sent long, recipients_delivered long, recipients_bounced long, "
    "is_opened boolean, is_clicked boolean, is_complained boolean, is_unsubscribed boolean"
)


def messages(spark: SparkSession, *rows: tuple[date, int, bool]) -> DataFrame:
    """Messages of SES by day, recipients who got them, and whether they were opened."""
    whole: list[tuple[Any, ...]] = [
        ("ses", day, 3, got, 3 - got, is_opened, *[False] * 3) for day, got, is_opened in rows
    ]
    return spark.createDataFrame(whole, MESSAGE)


def nothing(spark: SparkSession) -> DataFrame:
    """The table before anything was published."""
    return spark.createDataFrame([], RESTATEMENT.stored_schema)


def by_day(restatement: DataFrame) -> dict[date, Row]:
    """The rows by day."""
    return {row.send_date: row for row in restatement.collect()}


def test_a_day_is_first_published_as_it_is(spark: SparkSession) -> None:
    row = by_day(to_restatement(messages(spark, (MONDAY, 2, True), (MONDAY, 3, False)), nothing(spark), FIRST))[MONDAY]
    for prefix in ("first_", ""):
        told = [row[f"{prefix}{name}"] for name in ("messages", "recipients_sent", "recipients_delivered")]
        assert told == [2, 6, 5]
        assert (row[f"{prefix}recipients_bounced"], row[f"{prefix}messages_opened"]) == (1, 1)
    assert row.first_published_at.astimezone(UTC) == FIRST


def test_later_events_change_what_is_said_now_and_nothing_else(spark: SparkSession) -> None:
    published = to_restatement(messages(spark, (MONDAY, 3, False)), nothing(spark), FIRST)
    later = messages(spark, (MONDAY, 2, True), (TUESDAY, 3, False))
    found = by_day(to_restatement(later, published, LATER))
    monday, tuesday = found[MONDAY], found[TUESDAY]
    assert (monday.first_recipients_delivered, monday.recipients_delivered) == (3, 2)
    assert (monday.first_messages_opened, monday.messages_opened) == (0, 1)
    assert [row.first_published_at.astimezone(UTC) for row in (monday, tuesday)] == [FIRST, LATER]
    again = by_day(to_restatement(later, to_restatement(later, published, LATER), LATER))
    assert again == found


def test_a_day_that_lost_its_messages_stays(spark: SparkSession) -> None:
    published = to_restatement(messages(spark, (MONDAY, 3, True)), nothing(spark), FIRST)
    row = by_day(to_restatement(messages(spark, (TUESDAY, 3, True)), published, LATER))[MONDAY]
    assert (row.first_messages, row.messages, row.messages_opened) == (1, 0, 0)
