"""The checks of `schemas/checks.py`, run over tables: first how many rows fail, then which."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.checks import Check
from schemas.quality import MOST_SAMPLES, CheckKind
from transforms.increments import with_rows

_MICROSECONDS = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"

_HASH = "_hash"
"""Of a key."""
Numbered = Mapping[int, Check]
"""Checks, each by a number of its own."""


def to_counts(tables: Mapping[str, DataFrame], checks: Numbered) -> DataFrame:
    """Of checks of one table each: `number`, `checked` rows, and `failing`, how many fail.

    No row leaves its place, but of a key its hash. So of a key other rows may be `failing` than those that repeat one:
    those whose hash repeats, which they are all among.
    """
    counts, hashes = [], []
    for name, own in _by_table(checks).items():
        alone = {number: check for number, check in own.items() if check.condition}
        hashes += [_hashed(tables[name], number, own[number]) for number in own.keys() - alone.keys()]
        if alone:
            failing = [F.count_if(~_holds(check)).alias(f"failing_{number}") for number, check in alone.items()]
            counted = tables[name].agg(F.count(F.lit(1)).alias("checked"), *failing)
            counts.append(counted.select(F.inline(F.array(*[_result_of(number) for number in alone]))))
    if hashes:
        rows = F.col("rows")
        of_hash = _union(hashes).groupBy("number", "hash").agg(F.count(F.lit(1)).alias("rows"))
        failing_rows = F.sum(F.when(rows > 1, rows).otherwise(0))
        counts.append(of_hash.groupBy("number").agg(F.sum(rows).alias("checked"), failing_rows.alias("failing")))
    return _union(counts)


def names_of(check: Check) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """By which columns a check of two tables brings them together: those of the one, and of the other."""
    if check.kind is CheckKind.RELATIONSHIP:
        return check.columns, check.of_columns
    return ("filename",), ("filename",)


def to_findings(tables: Mapping[str, DataFrame], checks: Numbered, among: DataFrame | None = None) -> DataFrame:
    """Of checks: `number`, `checked` rows, `failing`, how many fail, and `keys`, the least of these.

    No row of a check that looks at no row; of one that looks at each row alone `checked` is NULL. A balance with
    another table is of the files `among` these alone, if they are given; then the ledger must be whole all the same.
    """
    alone = {number: check for number, check in checks.items() if check.of is None}
    found = [_counted(_noted(tables[name], own)) for name, own in _by_table(alone).items()]
    for number, check in checks.items():
        if check.of is not None:
            both = tables[check.table.name], tables[check.of.name]
            is_named = check.kind is CheckKind.RELATIONSHIP
            found.append(_named(*both, check, number) if is_named else _balanced(*both, check, number, among))
    return (
        _union(found)
        .groupBy("number")
        .agg(
            F.sum("checked").alias("checked"),
            F.coalesce(F.sum("failing"), F.lit(0)).alias("failing"),
            F.min_by("key", "key", MOST_SAMPLES).alias("keys"),
        )
    )


def _by_table(checks: Numbered) -> Mapping[str, dict[int, Check]]:
    found: dict[str, dict[int, Check]] = defaultdict(dict)
    for number, check in checks.items():
        found[check.table.name][number] = check
    return found


def _holds(check: Check) -> Column:
    return F.coalesce(F.expr(check.condition), F.lit(True))


def _result_of(number: int) -> Column:
    return F.struct(F.lit(number).alias("number"), "checked", F.col(f"failing_{number}").alias("failing"))


def _hashed(rows: DataFrame, number: int, check: Check) -> DataFrame:
    return rows.select(F.lit(number).alias("number"), _hash_of(check).alias("hash"))


def _hash_of(check: Check) -> Column:
    return F.xxhash64(*check.columns)


def akin(rows: DataFrame, new: DataFrame, check: Check, *, is_few: bool) -> DataFrame:
    """Those of `rows` whose key has the hash of a new one's: these, and what they may repeat.

    If the new ones are few their hashes are sent to every executor.
    """
    hashes = new.select(_hash_of(check).alias(_HASH)).distinct()
    return rows.join(F.broadcast(hashes) if is_few else hashes, _hash_of(check) == F.col(_HASH), "left_semi")


def _noted(rows: DataFrame, checks: Numbered) -> DataFrame:
    """Of each row its key, with the number of the check of the key, and with that of each other check that it fails."""

    def note(number: int, is_key: bool) -> Column:
        return F.struct(F.lit(number).alias("number"), F.lit(is_key).alias("is_key"))

    notes = [
        F.when(~_holds(check), note(number, False)) if check.condition else note(number, True)
        for number, check in checks.items()
    ]
    (key,) = {check.table.key for check in checks.values()}
    return rows.select(F.inline(F.array_compact(F.array(*notes))), as_json(key).alias("key"))


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
    return _finding(found, F.lit(number), F.col("is_there").isNull(), as_json(columns), checked=F.col("rows"))


def _balanced(files: DataFrame, rows: DataFrame, check: Check, number: int, among: DataFrame | None) -> DataFrame:
    """Of each file the sum of a column of the ledger against the rows that another table has of it.

    Rows of a batch in flight, which has no line in the ledger yet, are not counted: those loaded after the newest line
    of their provider. A provider's batches follow one another, so nothing older can still be on its way.
    """
    of_batch = rows.where(check.only).groupBy("provider", "filename", "etl_time").agg(F.count(F.lit(1)).alias("rows"))
    settled = of_batch.join(F.broadcast(newest_loads(files)), on="provider").where(~_is_in_flight())
    there = settled.groupBy("filename").agg(F.sum("rows").alias("there"))
    (column,) = check.columns
    if among is not None:
        files = with_rows(files, among, ["filename"])
    stated = files.groupBy("filename").agg(F.sum(column).alias("stated"))
    both = stated.join(there, on="filename", how="full_outer").select(
        "filename",
        F.coalesce("stated", F.lit(0)).alias(column),
        F.coalesce("there", F.lit(0)).alias("rows_there"),
        F.lit(1).alias("rows"),
    )
    is_failing = F.col(column) != F.col("rows_there")
    key = as_json(("filename", column, "rows_there"))
    return _finding(both, F.lit(number), is_failing, key, checked=F.col("rows"))


def newest_loads(files: DataFrame) -> DataFrame:
    """Per `provider` of the ledger `newest_load_at`: what was loaded later is of a batch in flight."""
    return files.groupBy("provider").agg(F.max("etl_time").alias("newest_load_at"))


def in_flight(rows: DataFrame, newest: Mapping[str, datetime]) -> DataFrame:
    """The `filename` of rows that a balance does not count yet; of what `newest_loads` says, as literals that prune."""
    is_later = [(F.col("provider") != name) | (F.col("etl_time") > at) for name, at in sorted(newest.items())]
    return rows.where(reduce(and_, is_later, F.lit(True))).select("filename")


def _is_in_flight() -> Column:
    return F.coalesce(F.col("etl_time") > F.col("newest_load_at"), F.lit(True))


def _finding(rows: DataFrame, number: Column, is_failing: Column, key: Column, *, checked: Column) -> DataFrame:
    """Parts of the results of checks out of groups of `rows` rows each."""
    return rows.select(
        number.alias("number"),
        checked.cast("bigint").alias("checked"),
        F.when(is_failing, F.col("rows")).cast("bigint").alias("failing"),
        F.when(is_failing, key).alias("key"),
    )


def as_json(columns: Collection[str]) -> Column:
    return F.to_json(F.struct(*columns), {"ignoreNullFields": "false", "timestampFormat": _MICROSECONDS})


def _union(frames: Collection[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, frames)
