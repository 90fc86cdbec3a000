"""Rows kept by `localCheckpoint`, and their memory, which PySpark has no call to give back."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession


def release(rows: DataFrame) -> None:
    """Give back the memory of rows kept by `localCheckpoint`.

    It waits: a session that stops while Spark is still at it prints Java's traces.
    """
    rows._jdf.queryExecution().analyzed().rdd().unpersist(True)


@contextmanager
def releasing(session: SparkSession) -> Iterator[None]:
    """Give back at the end the memory of all rows that the session's threads kept meanwhile, if all went well.

    Else it is given back when both Python and Java have collected their garbage, and what the session does next has
    less of it. What Delta keeps of its logs, which it makes again if it must, stays.
    """
    persistent = session.sparkContext._jsc.getPersistentRDDs
    before = set(persistent())
    yield
    gc.collect()  # a proxy of Py4J holds itself, and with it a frame of Java and all that was sent around for it
    for number, rdd in persistent().items():
        if number not in before and rdd.rdd().isLocallyCheckpointed():
            rdd.unpersist(True)
