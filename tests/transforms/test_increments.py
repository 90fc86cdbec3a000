"""What has changed is what counts now less what counted then."""

from pyspark.sql import SparkSession

from transforms.increments import SIGN, signed, summed

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
