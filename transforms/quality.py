"""`quality`: the checks of `schemas/checks.py`, run over tables."""

from collections.abc import Collection, Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.checks import Check
from schemas.quality import MOST_SAMPLES, CheckKind

_DESCRIBED = ("table_name", "check_kind", "column_names", "severity", "rule")
_LISTED = "number int, has_groups boolean, " + ", ".join(f"{name} string" for name in _DESCRIBED)
_MICROSECONDS = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"


def to_quality(tables: Mapping[str, DataFrame], checks: Collection[Check]) -> DataFrame:
    """The rows of `quality`, one per check whose tables are all there; each table that is checked has one of its key.

    A table is read once for its key and all checks that look at each row alone, and all tables share one shuffle: a
    plan of more takes longer to be made than to be run. Relationships and balances have scans of their own.
    """
    possible = [c for c in checks if c.table.name in tables and (c.of is None or c.of.name in tables)]
    own: dict[str, list[tuple[int, Check]]] = {}
    found = []
    for number, check in enumerate(possible):
        rows = tables[check.table.name]
        if check.of is None:
            own.setdefault(check.table.name, []).append((number, check))
        elif check.kind is CheckKind.RELATIONSHIP:
            found.append(_named(rows, tables[check.of.name], check, number))
        else:
            found.append(_balanced(rows, tables[check.of.name], check, number))
    found.append(_counted(_union([_noted(tables[name], of_table) for name, of_table in own.items()])))
    result = (
        _union(found)
        .groupBy("number")
        .agg(
            F.sum("checked").alias("checked"),
            F.coalesce(F.sum("failing"), F.lit(0)).alias("rows_failing"),
            F.min_by("key", "key", MOST_SAMPLES).alias("keys"),
        )
    )
    listed = result.sparkSession.createDataFrame([_described(*numbered) for numbered in enumerate(possible)], _LISTED)
    has_groups, of_table = F.col("has_groups"), Window.partitionBy("table_name")
    size = F.max(F.when(~has_groups, F.col("checked"))).over(of_table)
    rows_checked = F.coalesce(F.when(has_groups, F.col("checked")).otherwise(size), F.lit(0))
    return listed.join(F.broadcast(result), on="number", how="left").select(
        *_DESCRIBED,
        rows_checked.alias("rows_checked"),
        F.coalesce("rows_failing", F.lit(0)).alias("rows_failing"),
        F.coalesce("keys", F.array().cast("array<string>")).alias("sample_keys"),
        (F.coalesce("rows_failing", F.lit(0)) == 0).alias("passed"),
    )


def _noted(rows: DataFrame, checks: list[tuple[int, Check]]) -> DataFrame:
    """Of each row its key, with the number of the check of the key, and with that of each other check that it fails."""

    def note(number: int, is_key: bool) -> Column:
        return F.struct(F.lit(number).alias("number"), F.lit(is_key).alias("is_key"))

    notes = [
        F.when(~F.coalesce(F.expr(check.condition), F.lit(True)), note(number, False))
        if check.condition
        else note(number, True)
        for number, check in checks
        if not _is_enforced(rows, check)
    ]
    return rows.select(F.inline(F.array_compact(F.array(*notes))), _as_json(checks[0][1].table.key).alias("key"))


def _is_enforced(rows: DataFrame, check: Check) -> bool:
    """Whether the table itself refuses rows that fail: Delta writes no NULL there, and Spark would look for none."""
    return check.kind is CheckKind.NOT_NULL and not rows.schema[check.columns[0]].nullable


def _counted(notes: DataFrame) -> DataFrame:
    """The results of checks of rows and keys; NULLs are equal, for a key is text that says null."""
    rows = F.col("rows")
    of_key = notes.groupBy("number", "is_key", "key").agg(F.count(F.lit(1)).alias("rows"))
    is_failing = ~F.col("is_key") | (rows > 1)
    return _finding(of_key, F.col("number"), is_failing, F.col("key"), checked=F.when(F.col("is_key"), rows))


def _named(rows: DataFrame, of: DataFrame, check: Check, number: int) -> DataFrame:
    """What rows name, and whether it is there; not the rows that name nothing."""
    columns = list(check.columns)
    naming = rows.dropna(subset=columns).groupBy(*columns).agg(F.count(F.lit(1)).alias("rows"))
    renamed = [F.col(theirs).alias(own) for own, theirs in zip(columns, check.of_columns, strict=True)]
    there = of.select(*renamed, F.lit(True).alias("is_there")).distinct()
    found = naming.join(there, on=columns, how="left")
    return _finding(found, F.lit(number), F.col("is_there").isNull(), _as_json(columns), checked=F.col("rows"))


def _balanced(files: DataFrame, rows: DataFrame, check: Check, number: int) -> DataFrame:
    """Of each file the sum of a column of the ledger against the rows that another table has of it.

    Rows of a batch in flight, which has no line in the ledger yet, are not counted: those loaded after the newest line
    of their provider. A provider's batches follow one another, so nothing older can still be on its way.
    """
    newest = files.groupBy("provider").agg(F.max("etl_time").alias("newest_load_at"))
    of_batch = rows.where(check.only).groupBy("provider", "filename", "etl_time").agg(F.count(F.lit(1)).alias("rows"))
    settled = of_batch.join(F.broadcast(newest), on="provider").where(F.col("etl_time") <= F.col("newest_load_at"))
    there = settled.groupBy("filename").agg(F.sum("rows").alias("there"))
    (column,) = check.columns
    stated = files.groupBy("filename").agg(F.sum(column).alias("stated"))
    both = stated.join(there, on="filename", how="full_outer").select(
        "filename",
        F.coalesce("stated", F.lit(0)).alias(column),
        F.coalesce("there", F.lit(0)).alias("rows_there"),
        F.lit(1).alias("rows"),
    )
    is_failing = F.col(column) != F.col("rows_there")
    key = _as_json(("filename", column, "rows_there"))
    return _finding(both, F.lit(number), is_failing, key, checked=F.col("rows"))


def _finding(rows: DataFrame, number: Column, is_failing: Column, key: Column, *, checked: Column) -> DataFrame:
    """Parts of the results of checks out of groups of `rows` rows each."""
    return rows.select(
        number.alias("number"),
        checked.cast("bigint").alias("checked"),
        F.when(is_failing, F.col("rows")).cast("bigint").alias("failing"),
        F.when(is_failing, key).alias("key"),
    )


def _described(number: int, check: Check) -> tuple[object, ...]:
    columns = ", ".join(check.columns)
    return number, check.of is not None, check.table.name, check.kind.value, columns, check.severity.value, check.rule


def _as_json(columns: Collection[str]) -> Column:
    return F.to_json(F.struct(*columns), {"ignoreNullFields": "false", "timestampFormat": _MICROSECONDS})


def _union(frames: Collection[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, frames)
