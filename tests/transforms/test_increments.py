"""What has changed is what counts now less what counted then."""

from pyspark.sql import SparkSession

from transforms.increments import SIGN, marked, signed, summed

COUNTED = "name string, opened long"


def test_what_is_counted_by_sign_and_added_to_what_stood_is_what_counts_now(spark: SparkSession) -> None:
    stood = spark.createDataFrame([("a", 3, 1), ("b", 1, 1)], "name string, sent long, opened long")
    now = spark.createDataFrame([("a", 1), ("c", 2), (None, 1)], COUNTED)
    were = spark.createDataFrame([("a", 2), ("b", 1)], COUNTED)
    changes = signed(now, were).groupBy("name", SIGN).sum("opened").withColumnRenamed("sum(opened)", "opened")
    found = summed(["name"], ["sent", "opened"], [stood, changes]).collect()
    assert {(row.name, row.sent, row.opened) for row in found} == {
        ("a", 3, 0),
        ("b", 1, 0),
        ("c", 0, 2),
        (None, 0, 1),
    }


def test_rows_with_one_of_the_keys_are_marked_null_is_as_null(spark: SparkSession) -> None:
    rows = spark.createDataFrame([("a", 1), ("a", 2), ("b", 1), (None, 1)], COUNTED)
    keys = spark.createDataFrame([("a",), (None,), ("other",)], "name string")
    found = marked(rows, keys, ["name"], "is_known")
    assert found.columns == ["name", "opened", "is_known"]
    assert {tuple(row) for row in found.collect()} == {
        ("a", 1, True),
        ("a", 2, True),
        ("b", 1, None),
        (None, 1, True),
    }
