"""The members of a profile's objects, in every form in which they come."""

from datetime import UTC, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession

from tests.transforms.test_ses import LIMITS
from transforms.profile_children import to_profile_browser, to_profile_geo, to_profile_lists, to_profile_vars

NEW_YORK = "America/New_York"
NINE, TEN = (datetime(2025, 3, 12, hour, tzinfo=UTC) for hour in (13, 14))
"""Nine and ten o'clock in New York."""


def profile(spark: SparkSession, *columns: str, texts: tuple[str | None, ...]) -> DataFrame:
    """A profile with these JSON texts."""
    names = ", ".join(f"{name} string" for name in ("client_id", "id", *columns))
    return spark.createDataFrame([("4321", "p1", *texts)], names)


@pytest.mark.parametrize(
    ("signed_up", "removed", "lists"),
    [
        pytest.param('{"News":"2025-03-12T09:00"}', None, [("News", NINE, None, False)], id="object"),
        pytest.param(
            '[{"name":"News","signup_time":"2025-03-12T09:00:00.000"}]',
            '[{"name":"News","remove_time":"2025-03-12T10:00:00"}]',
            [("News", NINE, TEN, True)],
            id="arrays",
        ),
        pytest.param(
            '{"News":"2025-03-12T10:00"}', '{"News":"2025-03-12T09:00"}', [("News", TEN, NINE, False)], id="back-again"
        ),
        pytest.param(
            '{"News":null}', '{"News":"2025-03-12T09:00"}', [("News", None, NINE, True)], id="no-time-is-not-later"
        ),
        pytest.param(None, '{"null":"2025-03-12T09:00"}', [("null", None, NINE, True)], id="a-list-named-null"),
        pytest.param(
            '{"a.b & c":"soon","d":"99999-01-01T00:00Z"}',
            None,
            [("a.b & c", None, None, False), ("d", None, None, False)],
            id="no-time-in-range",
        ),
        pytest.param(
            '{"News":"2025-03-12T10:00","News":"2025-03-12T09:00"}',
            None,
            [("News", NINE, None, False)],
            id="a-key-twice",
        ),
        pytest.param('[1,null,{"signup_time":"x"},{"name":"N"}]', None, [("N", None, None, False)], id="odd-elements"),
        pytest.param("[]", "{}", [], id="empty"),
        pytest.param("News", "7", [], id="neither-object-nor-array"),
        pytest.param(None, None, [], id="null"),
    ],
)
def test_lists_of_a_profile(
    spark: SparkSession,
    signed_up: str | None,
    removed: str | None,
    lists: list[tuple[str, datetime | None, datetime | None, bool]],
) -> None:
    given = profile(spark, "lists_signup", "lists_remove", texts=(signed_up, removed))
    found = to_profile_lists(given, NEW_YORK, LIMITS).collect()

    def utc(at: datetime | None) -> datetime | None:
        return at and at.astimezone(UTC)

    rows = [(r.list_name, utc(r.signed_up_at), utc(r.removed_at), r.is_removed) for r in found]
    assert sorted(rows, key=lambda row: row[0]) == lists
    assert {(r.client_id, r.id) for r in found} <= {("4321", "p1")}


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        pytest.param(
            '{"n":3,"t":"3","f":1.5,"yes":true,"none":null,"null":"x","list":[1,"x"],"deep":{"b":1,"a":null}}',
            [
                ("deep", '{"b":1,"a":null}', "object"),
                ("f", "1.5", "number"),
                ("list", '[1,"x"]', "array"),
                ("n", "3", "number"),
                ("none", None, "null"),
                ("null", "x", "string"),
                ("t", "3", "string"),
                ("yes", "true", "boolean"),
            ],
            id="every-type",
        ),
        pytest.param('{"a":1,"b":"x","a":"last"}', [("a", "last", "string"), ("b", "x", "string")], id="a-key-twice"),
        pytest.param(
            '{"a":{"x":1,"x":2},"b":3,"c":null}',
            [("a", '{"x":1,"x":2}', None), ("b", "3", None), ("c", None, "null")],
            id="a-key-twice-below",
        ),
        pytest.param("[]", [], id="array"),
        pytest.param("vip", [], id="text"),
        pytest.param(None, [], id="null"),
    ],
)
def test_variables_of_a_profile(
    spark: SparkSession, text: str | None, variables: list[tuple[str, str | None, str | None]]
) -> None:
    found = to_profile_vars(profile(spark, "vars", texts=(text,))).collect()
    assert [tuple(row) for row in found] == [("4321", "p1", *variable) for variable in variables]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        pytest.param(
            '{"city":{"Oslo, NO":9,"Bergen, NO":2},"count":11,"country":{"NO":11},"zip":{"0150 NO":"many"}}',
            [("city", "Bergen, NO", 2), ("city", "Oslo, NO", 9), ("country", "NO", 11), ("zip", "0150 NO", None)],
            id="places",
        ),
        pytest.param('{"city":[],"state":"Oslo","country":{"NO":1}}', [("country", "NO", 1)], id="odd-kinds"),
        pytest.param("[]", [], id="array"),
        pytest.param(None, [], id="null"),
    ],
)
def test_places_of_a_profile(spark: SparkSession, text: str | None, places: list[tuple[str, str, int | None]]) -> None:
    found = to_profile_geo(profile(spark, "geo", texts=(text,))).collect()
    assert [tuple(row) for row in found] == [("4321", "p1", *place) for place in places]


def test_browsers_of_a_profile(spark: SparkSession) -> None:
    text = '{"Internet Explorer":1,"Chrome":14,"iPhone":3.5}'
    found = to_profile_browser(profile(spark, "browser", texts=(text,))).collect()
    wanted = [("Chrome", 14), ("Internet Explorer", 1), ("iPhone", None)]
    assert [tuple(row) for row in found] == [("4321", "p1", *counted) for counted in wanted]
    assert to_profile_browser(profile(spark, "browser", texts=("[]",))).isEmpty()
