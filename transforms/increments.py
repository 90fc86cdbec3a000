"""Parts of tables: what is made anew, and what stays."""

from collections.abc import Collection, Sequence
from datetime import date
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.contract import TableContract

SIGN = "sign"
"""1 in rows as they are, -1 in rows as they were."""


def is_of(contract: TableContract, days: Collection[date | None]) -> Column:
    """Whether a row of a table that is partitioned by day is of one of the days; None is the one of rows without."""
    (name,) = contract.partitioned_by
    return is_on(name, days)


def is_on(name: str, days: Collection[date | None]) -> Column:
    """Whether a column holds one of the days, literals that prune files; never NULL."""
    dated = sorted(day for day in days if day is not None)
    found = F.coalesce(F.col(name).isin(dated), F.lit(False)) if dated else F.lit(False)
    return found | F.col(name).isNull() if None in days else found


def without_rows(rows: DataFrame, keys: DataFrame, names: Sequence[str], theirs: Sequence[str] = ()) -> DataFrame:
    """`rows` but for those whose columns `names` are as `theirs` of one of `keys` (by default those of the same names).

    NULL is as NULL.
    """
    return _joined(rows, keys, names, theirs, "left_anti")


def with_rows(rows: DataFrame, keys: DataFrame, names: Sequence[str], theirs: Sequence[str] = ()) -> DataFrame:
    """Those of `rows` that `without_rows` leaves out."""
    return _joined(rows, keys, names, theirs, "left_semi")


def signed(now: DataFrame, were: DataFrame) -> DataFrame:
    """Rows as they are and rows as they were, with the column SIGN, by which they add up to what has changed.

    Rows that are as they were may be among them: they cancel out.
    """
    return now.withColumn(SIGN, F.lit(1)).unionByName(were.withColumn(SIGN, F.lit(-1)))


def summed(key: Sequence[str], counts: Sequence[str], parts: Sequence[DataFrame]) -> DataFrame:
    """By `key` the sums of `counts` over `parts`, each row by its SIGN if the part has one; 0 of a part that lacks one.

    Where each count is one of things that differ, those that are no longer as they were are taken away, and added as
    they are now.
    """

    def counted(rows: DataFrame) -> DataFrame:
        sign = F.col(SIGN) if SIGN in rows.columns else F.lit(1)
        each = [(F.col(n) * sign if n in rows.columns else F.lit(0)).cast("bigint").alias(n) for n in counts]
        return rows.select(*key, *each)

    sums = [F.sum(name).alias(name) for name in counts]
    return reduce(DataFrame.unionByName, map(counted, parts)).groupBy(*key).agg(*sums)


def _joined(rows: DataFrame, keys: DataFrame, names: Sequence[str], theirs: Sequence[str], how: str) -> DataFrame:
    known = keys.select(*[F.col(name).alias(f"_{i}") for i, name in enumerate(theirs or names)])
    is_same = [F.col(name).eqNullSafe(F.col(f"_{i}")) for i, name in enumerate(names)]
    return rows.join(known, reduce(and_, is_same), how)
