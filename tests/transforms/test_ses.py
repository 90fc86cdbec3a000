"""SES records become the rows that fixtures/ses.jsonl states, each case with why it is there."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from transforms.identity import content_key
from transforms.records import RAW_LINES, Limits
from transforms.ses import to_events

CASES = [json.loads(line) for line in (Path(__file__).parent / "fixtures" / "ses.jsonl").read_text().splitlines()]
LIMITS = Limits(
    max_record_bytes=1 << 20, earliest=datetime(2000, 1, 1, tzinfo=UTC), latest=datetime(2030, 1, 1, tzinfo=UTC)
)


def events_of(spark: SparkSession, lines: list[str]) -> DataFrame:
    rows = [(f"file:/f{i}", 0, line, None, None, False, None) for i, line in enumerate(lines)]
    return to_events(spark.createDataFrame(rows, RAW_LINES), LIMITS)


def test_each_record_becomes_the_row_it_should(spark: SparkSession) -> None:
    found = {row.filename: row.asDict() for row in events_of(spark, [case["raw"] for case in CASES]).collect()}

    def plain(value: object) -> object:
        return value.replace(tzinfo=UTC).isoformat() if isinstance(value, datetime) else value

    for i, case in enumerate(CASES):
        row = found[f"file:///f{i}"]
        assert {name: plain(row[name]) for name in case["expected"]} == case["expected"], case["why"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda e: dict(reversed(e.items())), id="keys-in-another-order"),
        pytest.param(lambda e: {"Type": "Notification", "Message": json.dumps(e)}, id="in-sns"),
        pytest.param(lambda e: {"detail-type": "Email Opened", "detail": e}, id="in-eventbridge"),
        pytest.param(lambda e: e | {"open": e["open"] | {"timestamp": "1761418800000"}}, id="time-spelled-otherwise"),
        pytest.param(lambda e: e | {"mail": e["mail"] | {"destination": ["a@EXAMPLE.com"]}}, id="domain-in-capitals"),
    ],
)
def test_the_same_event_in_other_clothes_has_the_same_id(spark: SparkSession, other: object) -> None:
    event = {
        "eventType": "Open",
        "mail": {"messageId": "m", "timestamp": "2025-10-25T18:00:00Z", "destination": ["a@example.com"]},
        "open": {"timestamp": "2025-10-25T19:00:00Z"},
    }
    lines = [json.dumps(event), json.dumps(other(event))]  # type: ignore[operator]
    assert events_of(spark, lines).select("event_id").distinct().count() == 1


def test_different_lists_of_fields_never_share_a_key(spark: SparkSession) -> None:
    lists = [("a", "b"), ("ab", ""), ("", "ab"), ("a", None), (None, "a"), ("1:a", ""), ("-", None)]
    rows = spark.createDataFrame(lists, "x string, y string").select(content_key([F.col("x"), F.col("y")]).alias("k"))
    assert_df_equality(
        rows.select(F.count_distinct("k").alias("n")),
        spark.createDataFrame([(len(lists),)], "n long"),
        ignore_nullable=True,
    )
