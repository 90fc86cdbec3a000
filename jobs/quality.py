"""`quality`: checks run over tables; who fails is only looked for where something does."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row, SparkSession

from schemas.checks import Check
from schemas.quality import QUALITY, CheckKind
from transforms.quality import to_counts, to_findings, to_sizes


@dataclass(frozen=True)
class Known:
    """What an earlier run found, by the same checks."""

    results: DataFrame
    """Its rows of `quality`."""
    new: Mapping[str, DataFrame]
    """By the name of a table the rows that were not there then, others perhaps among them; without a name: all."""


def run_checks(
    spark: SparkSession, tables: Mapping[str, DataFrame], checks: Collection[Check], known: Known | None = None
) -> DataFrame:
    """The rows of `quality`, one per check whose tables are all there.

    With `known`, of a check that looks at rows of one table, and passed, only rows that are new are looked at: what a
    file holds stays, and rows that went take no other's fault with them but their own.
    """
    possible = [c for c in checks if c.table.name in tables and (c.of is None or c.of.name in tables)]
    numbered = dict(enumerate(possible))
    alone = {n: c for n, c in numbered.items() if c.of is None and not _is_enforced(tables[c.table.name], c)}
    passed = {tuple(row) for row in known.results.where("passed").select(*QUALITY.key).collect()} if known else set()
    again = {n: c for n, c in alone.items() if known and c.table.name in known.new and _key_of(c) in passed}
    first = {n: c for n, c in alone.items() if n not in again}
    parts = [to_counts(tables, first)] if first else []
    parts += [to_counts(tables, again, known.new)] if known and again else []
    failing = {row.number for part in parts for row in part.where("failing > 0").collect()}
    looked_for = {n: c for n, c in numbered.items() if c.of is not None or n in failing}
    found = {row.number: row for row in to_findings(tables, looked_for).collect()} if looked_for else {}
    of_rows = {c.table.name: tables[c.table.name] for c in possible if c.of is None}
    sizes = {row["name"]: row["rows"] for row in to_sizes(of_rows).collect()} if of_rows else {}
    rows = [_row(c, sizes.get(c.table.name, 0), found.get(n)) for n, c in numbered.items()]
    return spark.createDataFrame(rows, QUALITY.stored_schema)


def _key_of(check: Check) -> tuple[str, str, str]:
    """That of its row."""
    return check.table.name, check.kind.value, ", ".join(check.columns)


def _is_enforced(rows: DataFrame, check: Check) -> bool:
    """Whether the table itself refuses rows that fail: Delta writes no NULL there, and Spark would look for none."""
    return check.kind is CheckKind.NOT_NULL and not rows.schema[check.columns[0]].nullable


def _row(check: Check, size: int, found: Row | None) -> dict[str, object]:
    failing, keys = (found["failing"], found["keys"]) if found else (0, None)
    return {
        **dict(zip(QUALITY.key, _key_of(check), strict=True)),
        "severity": check.severity.value,
        "rule": check.rule,
        "rows_checked": size if check.of is None else found["checked"] if found else 0,
        "rows_failing": failing,
        "sample_keys": keys or [],
        "passed": failing == 0,
    }
