"""Which events of a batch are there already or come twice, and which copy is kept."""

from chispa import assert_df_equality
from pyspark.sql import SparkSession

from transforms.events import duplicates, repeated

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
