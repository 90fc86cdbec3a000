"""`restatement`: how much each day's numbers changed since they were first published."""

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.restatement import COUNTS, RESTATEMENT


def to_restatement(messages: DataFrame, published: DataFrame, as_of: datetime) -> DataFrame:
    """The rows of `restatement`: the days of `messages` beside what the table, as it was `published`, said first.

    A day that it lacks is first published now, `as_of`. A day whose messages all turned out to be of another one stays,
    with nothing now.
    """
    key = list(RESTATEMENT.key)
    now = messages.groupBy(*key).agg(*[F.expr(sql).cast("long").alias(name) for name, (sql, _) in COUNTS.items()])
    firsts = {f"first_{name}": F.coalesce(f"first_{name}", name) for name in COUNTS}
    return (
        now.join(published.select(*key, "first_published_at", *firsts), on=key, how="full")
        .withColumns(firsts)
        .withColumns({name: F.coalesce(name, F.lit(0)) for name in COUNTS})
        .withColumn("first_published_at", F.coalesce("first_published_at", F.lit(as_of)))
    )
