"""When a profile's history has a new row, and when it has not."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from schemas.profiles_history import TRACKED
from schemas.sailthru import PROFILES
from transforms.profiles_history import to_profiles_history

MONDAY, TUESDAY, THURSDAY = (date(2025, 11, day) for day in (17, 18, 20))
NINE = datetime(2025, 11, 17, 9, tzinfo=UTC)
OBJECT = '{"News":"2025-11-17T09:00","Tips":"2025-11-17T10:00"}'
ARRAY = '[{"name":"Tips","signup_time":"2025-11-17T10:00:00"},{"name":"News","signup_time":"2025-11-17T09:00:00.000"}]'
NEEDED = StructType([PROFILES.schema[name] for name in ("client_id", "id", "file_date", "version", "record", *TRACKED)])


def version(day: date | None, rank: str = "1", profile_id: str = "p1", **stated: Any) -> dict[str, Any]:
    """A version of a profile."""
    dated = f"{day:%Y%m%d}" if day else "00000000"
    return {
        "client_id": "4321",
        "id": profile_id,
        "file_date": day,
        "version": f"{dated} first {rank}",
        "record": "{}",
        **dict.fromkeys(TRACKED),
        "email": "ada@example.com",
        **stated,
    }


def rows(spark: SparkSession, *versions: dict[str, Any]) -> DataFrame:
    """Versions as the tables hold them."""
    return spark.createDataFrame([tuple(one[name] for name in NEEDED.names) for one in versions], NEEDED)


def history(spark: SparkSession, *versions: dict[str, Any], newest: dict[str, Any] | None = None) -> DataFrame:
    """The history of versions, the last of which is the newest."""
    return to_profiles_history(rows(spark, *versions), rows(spark, newest or versions[-1]), "America/New_York")


def spans(found: DataFrame) -> list[tuple[date | None, date | None, bool]]:
    """From when to when, and whether still, the oldest first."""
    rows = found.orderBy(F.col("valid_from").asc_nulls_first()).collect()
    return [(row.valid_from, row.valid_to, row.is_current) for row in rows]


CHANGES = [
    pytest.param("email", "ada@example.com", "ada@example.org", True, id="address"),
    pytest.param("email", "ada@example.com", None, True, id="address-taken-back"),
    pytest.param("optout_time", None, NINE, True, id="opted-out"),
    pytest.param("vars", '{"a":1,"b":{"x":1,"y":2}}', '{"b":{"y":2,"x":1},"a":1}', False, id="other-order-of-keys"),
    pytest.param("vars", '{"a":1}', '{"a":"1"}', True, id="number-and-text"),
    pytest.param("vars", '{"a":[1,2]}', '{"a":[2,1]}', True, id="order-of-an-array"),
    pytest.param("vars", '{"a":1,"a":2}', '{"a":1,"a":2}', False, id="a-key-twice"),
    pytest.param("vars", '{"a":1,"a":2}', '{"a":1,"a":3}', True, id="a-key-twice-changed"),
    pytest.param("lists_signup", OBJECT, ARRAY, False, id="lists-spelled-otherwise"),
    pytest.param("lists_signup", '{"N":"2025-11-17T09:00"}', '{"N":"2025-11-17T09:01"}', True, id="another-time"),
    pytest.param("lists_signup", '{"N":null}', '{"N":null,"O":null}', True, id="another-list"),
    pytest.param("lists_remove", '{"N":"soon"}', '{"N":"sooner"}', True, id="times-that-cannot-be-read"),
    pytest.param("lists_remove", "odd", "odder", True, id="lists-that-cannot-be-read"),
]


def test_a_change_of_meaning_begins_a_row(spark: SparkSession) -> None:
    def of(day: date, place: int) -> DataFrame:
        stated = [(str(case.id), {str(case.values[0]): case.values[place]}) for case in CHANGES]
        return rows(spark, *[{**version(day, profile_id=name), **changed} for name, changed in stated])

    before, after = of(MONDAY, 1), of(TUESDAY, 2)
    found = Counter(row.id for row in to_profiles_history(before, after, "America/New_York").collect())
    assert {name: count == 2 for name, count in found.items()} == {case.id: case.values[3] for case in CHANGES}


def test_a_row_says_it_as_its_last_version_does(spark: SparkSession) -> None:
    (row,) = history(spark, version(MONDAY, lists_signup=OBJECT), version(TUESDAY, lists_signup=ARRAY)).collect()
    assert (row.lists_signup, row.valid_from, row.valid_to, row.is_current) == (ARRAY, MONDAY, None, True)


def test_what_was_before_and_comes_again_has_a_row_of_its_own(spark: SparkSession) -> None:
    found = history(spark, version(None), version(MONDAY), version(TUESDAY, email="b@example.com"), version(THURSDAY))
    assert spans(found) == [(None, TUESDAY, False), (TUESDAY, THURSDAY, False), (THURSDAY, None, True)]


def test_an_undated_export_is_older_than_any_dated_file(spark: SparkSession) -> None:
    found = history(spark, version(None, email="b@example.com"), version(MONDAY))
    assert spans(found) == [(None, MONDAY, False), (MONDAY, None, True)]


def test_of_several_versions_of_a_date_the_highest_rank_counts(spark: SparkSession) -> None:
    higher = version(MONDAY, "2", email="b@example.com")
    found = history(spark, version(MONDAY, "1"), newest=higher)
    assert [(r.email, r.valid_from, r.is_current) for r in found.collect()] == [("b@example.com", MONDAY, True)]


def test_a_profile_loaded_before_versions_were_kept_has_its_row(spark: SparkSession) -> None:
    found = history(spark, version(MONDAY), newest=version(TUESDAY, profile_id="p2"))
    assert sorted((r.id, r.valid_from, r.is_current) for r in found.collect()) == [
        ("p1", MONDAY, True),
        ("p2", TUESDAY, True),
    ]


def test_nothing_gives_nothing(spark: SparkSession) -> None:
    assert to_profiles_history(rows(spark), rows(spark), "UTC").isEmpty()
