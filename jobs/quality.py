"""`quality`: checks run over tables; who fails is only looked for where something does."""

from collections.abc import Collection, Mapping

from pyspark.sql import DataFrame, Row, SparkSession

from schemas.checks import Check
from schemas.quality import QUALITY, CheckKind
from transforms.quality import to_counts, to_findings


def run_checks(spark: SparkSession, tables: Mapping[str, DataFrame], checks: Collection[Check]) -> DataFrame:
    """The rows of `quality`, one per check whose tables are all there.

    `checks` has for each table that it checks the one of its key, which says how many rows there are.
    """
    possible = [c for c in checks if c.table.name in tables and (c.of is None or c.of.name in tables)]
    numbered = dict(enumerate(possible))
    alone = {n: c for n, c in numbered.items() if c.of is None and not _is_enforced(tables[c.table.name], c)}
    counts = _collected(to_counts(tables, alone))
    looked_for = {n: c for n, c in numbered.items() if c.of is not None or (n in counts and counts[n]["failing"])}
    found = _collected(to_findings(tables, looked_for)) if looked_for else {}
    size = {c.table.name: counts[n]["checked"] for n, c in alone.items() if c.kind is CheckKind.UNIQUE and n in counts}
    rows = [_row(c, size.get(c.table.name, 0), found.get(n)) for n, c in numbered.items()]
    return spark.createDataFrame(rows, QUALITY.stored_schema)


def _is_enforced(rows: DataFrame, check: Check) -> bool:
    """Whether the table itself refuses rows that fail: Delta writes no NULL there, and Spark would look for none."""
    return check.kind is CheckKind.NOT_NULL and not rows.schema[check.columns[0]].nullable


def _collected(results: DataFrame) -> Mapping[int, Row]:
    return {row["number"]: row for row in results.collect()}


def _row(check: Check, size: int, found: Row | None) -> dict[str, object]:
    failing, keys = (found["failing"], found["keys"]) if found else (0, None)
    return {
        "table_name": check.table.name,
        "check_kind": check.kind.value,
        "column_names": ", ".join(check.columns),
        "severity": check.severity.value,
        "rule": check.rule,
        "rows_checked": size if check.of is None else found["checked"] if found else 0,
        "rows_failing": failing,
        "sample_keys": keys or [],
        "passed": failing == 0,
    }
