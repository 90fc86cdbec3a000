"""`quality`: the checks of `schemas/checks.py`, run over tables."""

from collections.abc import Collection, Mapping
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.checks import Check
from schemas.quality import MOST_SAMPLES, CheckKind

_DESCRIBED = ("table_name", "check_kind", "column_names", "severity", "rule")
_MICROSECONDS = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"


def to_quality(tables: Mapping[str, DataFrame], checks: Collection[Check]) -> DataFrame:
    """The rows of `quality`, one per check whose tables are all there.

    Checks that look at each row alone share one pass over their table. The keys of all tables share one shuffle: a plan
    of one for each takes longer to be made than to be run. Relationships and balances have theirs.
    """
    possible = [c for c in checks if c.table.name in tables and (c.of is None or c.of.name in tables)]
    alone: dict[str, list[tuple[int, Check]]] = {}
    keys, found = [], []
    for number, check in enumerate(possible):
        rows = tables[check.table.name]
        if check.condition:
            alone.setdefault(check.table.name, []).append((number, check))
        elif check.of is None:
            keys.append(rows.select(F.lit(number).alias("number"), _as_json(check.columns).alias("key")))
        elif check.kind is CheckKind.RELATIONSHIP:
            found.append(_named(rows, tables[check.of.name], check, number))
        else:
            found.append(_balanced(rows, tables[check.of.name], check, number))
    found += [_failing_rows(tables[name], of_table) for name, of_table in alone.items()]
    if keys:
        found.append(_repeated(_union(keys)))
    sizes = _union([tables[name].select(F.lit(name).alias("table_name")) for name in {c.table.name for c in possible}])
    result = (
        _union(found)
        .groupBy("number")
        .agg(
            F.sum("checked").alias("checked"),
            F.sum("failing").alias("failing"),
            F.min_by("key", "key", MOST_SAMPLES).alias("keys"),
        )
    )
    described = F.inline(F.array(*[_described(number, check) for number, check in enumerate(possible)]))
    rows_failing = F.coalesce("failing", F.lit(0))
    return (
        sizes.sparkSession.range(1)
        .select(described)
        .join(F.broadcast(result), on="number", how="left")
        .join(F.broadcast(sizes.groupBy("table_name").agg(F.count(F.lit(1)).alias("size"))), "table_name", "left")
        .select(
            *_DESCRIBED,
            F.coalesce(F.when(F.col("is_of_groups"), F.col("checked")).otherwise(F.col("size")), F.lit(0)).alias(
                "rows_checked"
            ),
            rows_failing.alias("rows_failing"),
            F.coalesce("keys", F.array().cast("array<string>")).alias("sample_keys"),
            (rows_failing == 0).alias("passed"),
        )
    )


def _failing_rows(rows: DataFrame, checks: list[tuple[int, Check]]) -> DataFrame:
    """Of checks that look at each row alone the rows that fail."""
    fails = [(number, ~F.coalesce(F.expr(check.condition), F.lit(True))) for number, check in checks]
    numbers = F.array_compact(F.array(*[F.when(is_failing, F.lit(number)) for number, is_failing in fails]))
    # Good rows, nearly all of them, go before anything is made of them.
    failing = rows.where(reduce(or_, [is_failing for _, is_failing in fails]))
    return _finding(failing, F.explode(numbers), _as_json(checks[0][1].table.key))


def _repeated(keys: DataFrame) -> DataFrame:
    """The keys that several rows have. NULLs are equal: the key is text, in which they have a form of their own."""
    repeated = keys.groupBy("number", "key").agg(F.count(F.lit(1)).alias("rows")).where(F.col("rows") > 1)
    return _finding(repeated, F.col("number"), F.col("key"), failing=F.col("rows"))


def _named(rows: DataFrame, of: DataFrame, check: Check, number: int) -> DataFrame:
    """What rows name, and whether it is there; not the rows that name nothing."""
    columns = list(check.columns)
    naming = rows.dropna(subset=columns).groupBy(*columns).agg(F.count(F.lit(1)).alias("rows"))
    renamed = [F.col(theirs).alias(own) for own, theirs in zip(columns, check.of_columns, strict=True)]
    there = of.select(*renamed, F.lit(True).alias("is_there")).distinct()
    found = naming.join(there, on=columns, how="left")
    return _groups(found, number, F.col("is_there").isNull(), _as_json(columns))


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
    return _groups(both, number, is_failing, _as_json(("filename", column, "rows_there")))


def _groups(groups: DataFrame, number: int, is_failing: Column, key: Column) -> DataFrame:
    """Groups of `rows` rows each, of which some fail."""
    failing = F.when(is_failing, F.col("rows"))
    return _finding(groups, F.lit(number), F.when(is_failing, key), checked=F.col("rows"), failing=failing)


def _finding(
    rows: DataFrame, number: Column, key: Column, *, checked: Column | None = None, failing: Column | None = None
) -> DataFrame:
    """Parts of the result of the check of a number: rows checked and failing (one if not given), and their key."""
    return rows.select(
        number.alias("number"),
        (F.lit(None) if checked is None else checked).cast("bigint").alias("checked"),
        (F.lit(1) if failing is None else failing).cast("bigint").alias("failing"),
        key.alias("key"),
    )


def _described(number: int, check: Check) -> Column:
    values = (check.table.name, check.kind.value, ", ".join(check.columns), check.severity.value, check.rule)
    return F.struct(
        F.lit(number).alias("number"),
        F.lit(check.of is not None).alias("is_of_groups"),
        *[F.lit(value).alias(name) for name, value in zip(_DESCRIBED, values, strict=True)],
    )


def _as_json(columns: Collection[str]) -> Column:
    return F.to_json(F.struct(*columns), {"ignoreNullFields": "false", "timestampFormat": _MICROSECONDS})


def _union(frames: Collection[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, frames)
