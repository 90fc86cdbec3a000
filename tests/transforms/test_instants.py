"""Every form of time that formats name is the instant it states; nothing else is one."""

from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from transforms.instants import instant, local_instant, milliseconds_or_text

AT = datetime(2025, 10, 25, 18, 4, 11, tzinfo=UTC)
CASES = [
    pytest.param("2025-10-25T18:04:11.203Z", AT.replace(microsecond=203000), id="as-ses-writes-it"),
    pytest.param("2025-10-25T18:04:11Z", AT, id="no-fraction"),
    pytest.param("2025-10-25T13:04:11.5-05:00", AT.replace(microsecond=500000), id="offset"),
    pytest.param("2025-10-25T21:04:11.123456+0300", AT.replace(microsecond=123456), id="offset-without-colon"),
    pytest.param("2025-10-25 18:04:11", AT, id="space-and-no-zone-is-utc"),
    pytest.param("1761415451", AT, id="epoch-seconds"),
    pytest.param("1761415451203", AT.replace(microsecond=203000), id="epoch-milliseconds"),
    pytest.param("1.761415451203E9", AT.replace(microsecond=203000), id="a-json-number-as-spark-writes-it"),
    pytest.param("2025-10-25", None, id="date-without-time"),
    pytest.param("18:04", None, id="time-without-date"),
    pytest.param("T18:04:11Z", None, id="time-without-date-with-t"),
    pytest.param("2026", None, id="year-alone"),
    pytest.param("2025-02-30T00:00:00Z", None, id="no-such-day"),
    pytest.param("yesterday", None, id="words"),
    pytest.param("", None, id="empty"),
    pytest.param(None, None, id="null"),
]


def test_each_form_is_the_instant_it_states(spark: SparkSession) -> None:
    texts = [(i, case.values[0]) for i, case in enumerate(CASES)]
    rows = spark.createDataFrame(texts, "i int, text string").select(
        "i", F.unix_micros(instant(F.col("text"))).alias("found")
    )
    found = {row.i: row.found for row in rows.collect()}
    expected = {
        i: None if case.values[1] is None else int(case.values[1].timestamp() * 1_000_000)  # type: ignore[attr-defined]
        for i, case in enumerate(CASES)
    }
    assert found == expected


LOCAL_CASES = [
    pytest.param("2025-10-25T14:04:11.000", AT, id="summer"),
    pytest.param("2025-10-25 14:04:11", AT, id="space"),
    pytest.param("2025-12-25T13:04", datetime(2025, 12, 25, 18, 4, tzinfo=UTC), id="winter-without-seconds"),
    pytest.param("2025-11-02T01:30:00", datetime(2025, 11, 2, 5, 30, tzinfo=UTC), id="the-hour-that-comes-twice"),
    pytest.param("2025-11-02T02:00:00", datetime(2025, 11, 2, 7, 0, tzinfo=UTC), id="after-it"),
    pytest.param("2026-03-08T02:30:00", datetime(2026, 3, 8, 7, 30, tzinfo=UTC), id="the-hour-that-never-comes"),
    pytest.param("2025-10-25T18:04:11Z", AT, id="a-zone-of-its-own"),
    pytest.param("2025-02-30T00:00:00", None, id="no-such-day"),
    pytest.param("2025-10-25", None, id="date-without-time"),
    pytest.param("yesterday", None, id="words"),
    pytest.param(None, None, id="null"),
]
MONGO_CASES = [
    pytest.param("1761415451000", AT, id="milliseconds"),
    pytest.param("1761415451", datetime(1970, 1, 21, 9, 16, 55, 451000, tzinfo=UTC), id="never-seconds"),
    pytest.param("2025-10-25T18:04:11.000Z", AT, id="text"),
    pytest.param("999999999999999999", None, id="beyond-all-years"),
    pytest.param("soon", None, id="words"),
]


def test_local_and_mongo_times(spark: SparkSession) -> None:
    cases = [("local", *case.values) for case in LOCAL_CASES] + [("mongo", *case.values) for case in MONGO_CASES]
    rows = spark.createDataFrame(
        [(i, kind, text) for i, (kind, text, _) in enumerate(cases)], "i int, k string, t string"
    )
    text = F.col("t")
    at = F.when(F.col("k") == "local", local_instant(text, "America/New_York")).otherwise(milliseconds_or_text(text))
    found = {row.i: row.found for row in rows.select("i", F.unix_micros(at).alias("found")).collect()}
    assert found == {
        i: None if at is None else round(at.timestamp() * 1_000_000)  # type: ignore[attr-defined]
        for i, (_, _, at) in enumerate(cases)
    }
