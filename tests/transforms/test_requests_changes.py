"""Requests read again: which of them are not what they were."""

from datetime import datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from schemas.requests import REQUESTS, STATED
from transforms.requests import changes, with_hash

NINE, TEN = (datetime.fromisoformat(f"2025-11-20T{hour}:00:00Z") for hour in ("09", "10"))
KEPT, OTHER = ("m", "ada@example.com", NINE, "EU"), ("n", None, None, "EU")
Asked = tuple[str, str | None, datetime | None, str | None]


def requests(spark: SparkSession, *rows: Asked) -> DataFrame:
    stated = StructType([REQUESTS.schema[name] for name in STATED])
    return with_hash(spark.createDataFrame(rows, stated)).select(*REQUESTS.columns)


@pytest.mark.parametrize(
    ("read", "is_whole", "wanted"),
    [
        pytest.param([KEPT, OTHER], True, {}, id="the-same"),
        pytest.param([KEPT], True, {"n": ("EU", None)}, id="removed"),
        pytest.param([KEPT], False, {}, id="not-in-the-new-files"),
        pytest.param([KEPT, ("n", None, None, "US")], True, {"n": ("EU", "US")}, id="corrected"),
        pytest.param([KEPT, ("n", None, TEN, "EU")], True, {"n": ("EU", "EU")}, id="only-its-time-corrected"),
        pytest.param([KEPT, ("n", None, None, None)], True, {"n": ("EU", "none")}, id="region-taken-back"),
        pytest.param([("new", "bo@example.org", NINE, "US")], False, {"new": (None, "US")}, id="added"),
        pytest.param([("m", "ada@example.com", TEN, "US")], False, {}, id="a-later-one-of-the-same-key-loses"),
        pytest.param([("n", None, TEN, "US")], False, {"n": ("EU", "US")}, id="one-with-a-time-wins"),
        pytest.param([("n", "bo@example.org", TEN, "US")], False, {"n": (None, "US")}, id="another-recipient"),
    ],
)
def test_what_is_changed(spark: SparkSession, read: list[Asked], is_whole: bool, wanted: dict[str, Any]) -> None:
    def region(row: Any) -> str | None:
        return (row.region or "none") if row else None

    found = changes(requests(spark, KEPT, OTHER), requests(spark, *read), is_whole=is_whole).collect()
    assert {row.message_id: (region(row.was), region(row.now)) for row in found} == wanted
