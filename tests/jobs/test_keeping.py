"""The memory of kept rows is given back: no more of it, and no less, than a job kept itself."""

import pytest
from pyspark.sql import SparkSession

from jobs.keeping import releasing

LOST = "CHECKPOINT_RDD_BLOCK_ID_NOT_FOUND"


def test_rows_kept_meanwhile_are_given_back_and_those_kept_before_stay(spark: SparkSession) -> None:
    before, cached = spark.range(3).localCheckpoint(), spark.range(4).cache()
    with releasing(spark):
        meanwhile, cached_meanwhile = spark.range(5).localCheckpoint(), spark.range(6).cache()
        assert (meanwhile.count(), cached_meanwhile.count()) == (5, 6)
    with pytest.raises(Exception, match=LOST):
        meanwhile.count()
    assert (before.count(), cached.count(), cached_meanwhile.count()) == (3, 4, 6)
    assert cached.storageLevel.useMemory
    assert cached_meanwhile.storageLevel.useMemory
    cached.unpersist()
    cached_meanwhile.unpersist()


def test_what_fails_meanwhile_is_told_as_it_is(spark: SparkSession) -> None:
    with pytest.raises(ZeroDivisionError), releasing(spark):
        raise ZeroDivisionError
