"""A driver that writes tables on S3 as its standard input says: one JSON object a line, one answer a line.

    python -m tests.jobs.log_store_writer NAME

Its session is that of every job, so that `s3a://` has our log store; `s3://` is the same store with Delta's own one.
`{"task": "create", "table": URI}` makes a table without rows and answers `"created"`.
`{"task": "write", "table": URI, "commits": n, "kinds": [...]}` does the kinds of commit in turn, n in all, and answers
with what it was told is done: `commits`, the operations as Delta's log names them; `rows`, the changes of each row by
its id; `retries`, how often it did one again since Delta said that another writer was in its way.
"""

import json
import sys
from collections.abc import Callable
from itertools import cycle
from typing import Any

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
)
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.settings import load_settings
from jobs.session import build_session
from tests.conftest import QUICK, configured
from tests.servers import QUICK_JAVA

CONFLICTS = (ConcurrentAppendException, ConcurrentDeleteReadException, ConcurrentDeleteDeleteException)
CONF = {
    "fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    # What follows only spares time.
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.merge.materializeSource": "none",
    "spark.databricks.delta.stats.collect": "false",
}
"""Of a session that writes, be it here or in the test's own process."""


class Writer:
    """One of several writers of a table, with rows of its own."""

    def __init__(self, spark: SparkSession, name: str, table: str) -> None:
        self.spark, self.name, self.uri = spark, name, table
        self.rows: dict[str, int] = {}
        self.commits: list[str] = []
        self.retries = 0

    def write(self, commits: int, kinds: list[str]) -> dict[str, Any]:
        """Do it, and tell what was done."""
        do: dict[str, Callable[[int], str]] = {"append": self.append, "merge": self.merge, "optimize": self.optimize}
        for number, kind in zip(range(commits), cycle(kinds), strict=False):
            while len(self.commits) == number:
                try:
                    self.commits.append(do[kind](number))
                except CONFLICTS:  # nothing was done: it is for the writer to do it again
                    self.retries += 1
        return {"rows": self.rows, "commits": self.commits, "retries": self.retries}

    def append(self, number: int) -> str:
        """One row more."""
        self._new(number).write.format("delta").mode("append").save(self.uri)
        self.rows[f"{self.name}{number}"] = 0
        return "WRITE"

    def merge(self, number: int) -> str:
        """The row before is changed, and one is added."""
        given = self._new(number).union(self._new(number - 1))
        (
            DeltaTable.forPath(self.spark, self.uri)
            .alias("known")
            .merge(given.alias("new"), f"known.writer = '{self.name}' and known.id = new.id")
            .whenMatchedUpdate(set={"changes": F.col("known.changes") + 1})
            .whenNotMatchedInsertAll()
            .execute()
        )
        self.rows[f"{self.name}{number - 1}"] += 1
        self.rows[f"{self.name}{number}"] = 0
        return "MERGE"

    def optimize(self, number: int) -> str:
        """All files become one; if the other writer has just done that, one row more."""
        (done,) = DeltaTable.forPath(self.spark, self.uri).optimize().executeCompaction().collect()
        return "OPTIMIZE" if done.metrics.numFilesAdded else self.append(number)

    def _new(self, number: int) -> DataFrame:
        id_ = F.lit(f"{self.name}{number}").alias("id")
        return self.spark.range(1).select(F.lit(self.name).alias("writer"), id_, F.lit(0).alias("changes"))


def answer(spark: SparkSession, name: str, task: dict[str, Any]) -> Any:
    """Do a task."""
    if task["task"] == "write":
        return Writer(spark, name, task["table"]).write(task["commits"], task["kinds"])
    empty = spark.createDataFrame([], "writer string, id string, changes int")
    # Else a merge fails for every row that the other one appends meanwhile, and comes to nothing.
    empty.write.format("delta").partitionBy("writer").save(task["table"])
    return "created"


def main(name: str) -> None:
    """Answer until the input ends."""
    java = f"spark.conf.spark.driver.extraJavaOptions={QUICK_JAVA}"
    quick = [*QUICK, java, "spark.driver_memory=700m"]
    settings = load_settings(None, quick, {}, warehouse="s3a://none", master="local[1]")
    spark = build_session(settings, f"writer {name}")
    with configured(spark, CONF):
        tell("ready")
        for line in sys.stdin:
            tell(answer(spark, name, json.loads(line)))


def tell(answer: object) -> None:
    """One line of standard output."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
