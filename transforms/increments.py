"""Parts of tables: what is made anew, and what stays."""

from collections.abc import Collection, Sequence
from datetime import date
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.contract import TableContract


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


def summed(
    key: Sequence[str], counts: Sequence[str], parts: Sequence[DataFrame], less: Sequence[DataFrame] = ()
) -> DataFrame:
    """By `key` the sums of `counts` over `parts`, less those over `less`; 0 of a part that lacks the column.

    Where each count is one of things that differ, those that are no longer as they were are taken away, and added as
    they are now.
    """

    def signed(rows: DataFrame, sign: int) -> DataFrame:
        each = [(F.col(n) * sign if n in rows.columns else F.lit(0)).cast("bigint").alias(n) for n in counts]
        return rows.select(*key, *each)

    signs = [*(signed(rows, 1) for rows in parts), *(signed(rows, -1) for rows in less)]
    return reduce(DataFrame.unionByName, signs).groupBy(*key).agg(*[F.sum(name).alias(name) for name in counts])


def _joined(rows: DataFrame, keys: DataFrame, names: Sequence[str], theirs: Sequence[str], how: str) -> DataFrame:
    known = keys.select(*[F.col(name).alias(f"_{i}") for i, name in enumerate(theirs or names)])
    is_same = [F.col(name).eqNullSafe(F.col(f"_{i}")) for i, name in enumerate(names)]
    return rows.join(known, reduce(and_, is_same), how)
