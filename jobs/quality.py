"""`quality`: checks run over tables; who fails is only looked for where something does."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.tables import bounds, kept
from jobs.threads import side_by_side
from schemas.checks import Check
from schemas.contract import Role
from schemas.quality import MOST_SAMPLES, QUALITY, CheckKind
from transforms.increments import with_rows
from transforms.quality import (
    Numbered,
    akin,
    as_json,
    in_flight,
    names_of,
    newest_loads,
    to_counts,
    to_findings,
)

_FEW_BYTES = 2**28
"""Of data files as stored, some two million rows: up to here hashes of their keys are sent to every executor."""
_MOST_NAMES = 200
"""Names of files up to which they are literals of a query."""
_Tables = Mapping[str, DataFrame]


@dataclass(frozen=True)
class Change:
    """What became of a table since an earlier time."""

    before: DataFrame
    """The table as it was."""
    gone: DataFrame
    """Its rows that may be gone or others now."""
    new: DataFrame
    """The rows of now that may be new or others."""
    new_bytes: int = 0
    """The length of the data files that hold these."""


@dataclass(frozen=True)
class Known:
    """What checks found before, and what became of their tables since."""

    results: Mapping[tuple[str, ...], Row] = field(default_factory=dict)
    """Rows of `quality`, by its key."""
    same: frozenset[str] = frozenset()
    """The tables that are as they were."""
    changes: Mapping[str, Change] = field(default_factory=dict)
    """Tables that are not; of one that is in neither all may be otherwise."""
    small: frozenset[str] = frozenset()
    """Of the latter those that are checked in one look: what fails is looked for beside how much does."""

    def before(self, check: Check) -> Row | None:
        """What the check found; None, too, if its rule was another."""
        found = self.results.get((check.table.name, check.kind.value, ", ".join(check.columns)))
        return found if found is not None and found.rule == check.rule else None


@dataclass(frozen=True)
class _Finding:
    """How many rows a check is about, how many of them fail, and the least keys of these."""

    checked: int
    failing: int = 0
    keys: Sequence[str] = ()


def run_checks(
    spark: SparkSession, tables: _Tables, checks: Collection[Check], known: Known | None = None
) -> DataFrame:
    """The rows of `quality`, one per check whose tables are all there.

    `checks` has for each table that it checks the one of its key, which says how many rows there are. With what is
    `known` only those rows are looked at that may have another result now.
    """
    known = known or Known()
    possible = dict(enumerate(c for c in checks if c.table.name in tables and (c.of is None or c.of.name in tables)))
    found = {
        number: _Finding(before.rows_checked, before.rows_failing, before.sample_keys)
        for number, check in possible.items()
        if (before := known.before(check)) and known.same.issuperset(_names(check))
    }
    left = {number: check for number, check in possible.items() if number not in found}
    size = {possible[n].table.name: own.checked for n, own in found.items() if possible[n].kind is CheckKind.UNIQUE}
    of_one = {number: check for number, check in left.items() if check.of is None}
    of_two = {number: check for number, check in left.items() if check.of is not None}
    works = {"one": partial(_of_one, tables, of_one, known, size), "two": partial(_of_two, tables, of_two, known)}
    for _, findings in side_by_side(works):
        found |= findings
    rows = [_row(check, found.get(number, _Finding(0))) for number, check in possible.items()]
    return spark.createDataFrame(rows, QUALITY.stored_schema)


def _names(check: Check) -> set[str]:
    return {table.name for table in (check.table, check.of) if table is not None}


# --- Checks that look at one table


def _of_one(tables: _Tables, checks: Numbered, known: Known, size: Mapping[str, int]) -> Mapping[int, _Finding]:
    """Of a check that found nothing: in new rows alone, or, if it is of a key, in all rows that have one of theirs."""
    looked_for = {n: c for n, c in checks.items() if not _is_enforced(tables[c.table.name], c)}
    passed = {
        n: c
        for n, c in looked_for.items()
        if c.table.name in known.changes and (before := known.before(c)) and before.passed
    }
    keys = {n: c for n, c in passed.items() if c.kind is CheckKind.UNIQUE}
    small = {n: c for n, c in looked_for.items() if c.table.name in known.small}
    new = {name: change.new for name, change in known.changes.items()}
    repeated = _akin(tables, keys, known)
    groups = [
        (tables, {n: c for n, c in looked_for.items() if n not in passed and n not in small}),
        (new, {n: c for n, c in passed.items() if n not in keys}),
        (repeated, keys),
    ]
    counted = [to_counts(frames, own) for frames, own in groups if own]
    counts = _collected([*counted, *([to_findings(tables, small)] if small else [])])
    failing = [
        (frames, {n: c for n, c in own.items() if n in counts and counts[n]["failing"]}) for frames, own in groups
    ]
    found = {n: row for n, row in counts.items() if n in small}
    found |= _collected(to_findings(frames, own) for frames, own in failing if own)
    of_keys = {n: c.table.name for n, c in looked_for.items() if c.kind is CheckKind.UNIQUE}
    size = {**size, **{name: counts[n]["checked"] for n, name in of_keys.items() if n in counts}}
    # Of keys only what is akin to new rows was counted. Alone, such a count is taken from Delta's log.
    size |= dict(side_by_side({c.table.name: tables[c.table.name].count for c in keys.values()}))
    return {
        n: _Finding(size.get(c.table.name, 0), *((found[n]["failing"], found[n]["keys"] or ()) if n in found else ()))
        for n, c in checks.items()
    }


def _akin(tables: _Tables, checks: Numbered, known: Known) -> _Tables:
    """Of the tables of checks of keys the rows that are new, and those that they may repeat.

    Rows of one key are of one message where the message is part of what a row is: they lie near the new ones.
    """
    of_messages = {c.table.name for c in checks.values() if "message_id" in c.table.columns_of(Role.IDENTITY)}
    ids = [known.changes[name].new.select("message_id") for name in sorted(of_messages)]
    near = bounds(reduce(DataFrame.unionByName, ids)) if ids else F.lit(True)
    found = {}
    for check in checks.values():
        name, change = check.table.name, known.changes[check.table.name]
        rows = tables[name].where(near) if name in of_messages else tables[name]
        found[name] = akin(rows, change.new, check, is_few=change.new_bytes <= _FEW_BYTES)
    return found


def _is_enforced(rows: DataFrame, check: Check) -> bool:
    """Whether the table itself refuses rows that fail: Delta writes no NULL there, and Spark would look for none."""
    return check.kind is CheckKind.NOT_NULL and not rows.schema[check.columns[0]].nullable


# --- Checks that look at another table, too


@dataclass(frozen=True)
class _Names:
    """What a check looks up again: the names in rows that are new or gone, of either table."""

    names: DataFrame
    near: Column
    """True of all rows with these names, and of few others: literals that prune files."""
    keys: frozenset[str]
    """Those of the keys found before that are among them."""


def _of_two(tables: _Tables, checks: Numbered, known: Known) -> Mapping[int, _Finding]:
    """What was found before, less what was found of names in rows that are new or gone, and with what is found now."""
    were = {**tables, **{name: change.before for name, change in known.changes.items()}}
    among = {n: names for n, c in checks.items() if (names := _names_of_changed(were, c, known)) is not None}
    anew = {n: c for n, c in checks.items() if n not in among}
    less = [_findings_among(were, _then(n), checks[n], names) for n, names in among.items()]
    again = [_findings_among(tables, n, checks[n], names) for n, names in among.items()]
    rows = _collected([*less, *again, *([to_findings(tables, anew)] if anew else [])])
    found = {n: _Finding(row["checked"], row["failing"], row["keys"] or ()) for n, row in rows.items() if n in checks}
    for n, names in among.items():
        before, now = known.before(checks[n]), found.get(n, _Finding(0))
        assert before is not None
        then = rows.get(_then(n))
        checked, failing = (then["checked"], then["failing"]) if then is not None else (0, 0)
        keys = sorted({*before.sample_keys, *now.keys} - (names.keys - {*now.keys}))[:MOST_SAMPLES]
        found[n] = _Finding(
            before.rows_checked - checked + now.checked, before.rows_failing - failing + now.failing, keys
        )
    return found


def _names_of_changed(were: _Tables, check: Check, known: Known) -> _Names | None:
    """None if nothing is known, or not enough: the least keys that follow those that may be none any more."""
    before = known.before(check)
    if before is None or not {*known.same, *known.changes}.issuperset(_names(check)):
        return None
    assert check.of is not None
    own, theirs = names_of(check)
    found = [
        rows.select(*[F.col(name).alias(as_) for name, as_ in zip(columns, own, strict=True)])
        for table, columns in ((check.table, own), (check.of, theirs))
        if (change := known.changes.get(table.name))
        for rows in (change.gone, change.new)
    ]
    if check.kind is CheckKind.LEDGER_BALANCE:
        if not before.passed:
            return None  # its keys tell counts, too
        newest = {row["provider"]: row["newest_load_at"] for row in newest_loads(were[check.table.name]).collect()}
        found.append(in_flight(were[check.of.name], newest))
    names = kept(reduce(DataFrame.unionByName, found).distinct())
    keys = frozenset[str]()
    if before.sample_keys:
        key = names.select(as_json(own).alias("key"))
        keys = frozenset(row["key"] for row in key.where(F.col("key").isin(before.sample_keys)).collect())
    if keys and before.rows_failing > len(before.sample_keys):
        return None
    return _Names(names, _near(names, own), keys)


def _near(names: DataFrame, columns: Sequence[str]) -> Column:
    """`_Names.near`: of ids of messages ranges, of files their names if they are few, of others nothing."""
    if columns == ("message_id",):
        return bounds(names)
    if columns == ("filename",):
        found = [row["filename"] for row in names.limit(_MOST_NAMES + 1).collect()]
        if len(found) <= _MOST_NAMES:
            return F.col("filename").isin(found)
    return F.lit(True)


def _findings_among(tables: _Tables, number: int, check: Check, among: _Names) -> DataFrame:
    assert check.of is not None
    own, theirs = names_of(check)
    rows, of = tables[check.table.name], tables[check.of.name].where(among.near)
    if check.kind is CheckKind.RELATIONSHIP:
        rows = with_rows(rows.where(among.near), among.names, own)
    frames = {check.table.name: rows, check.of.name: with_rows(of, among.names, theirs, own)}
    return to_findings(frames, {number: check}, among.names)


def _then(number: int) -> int:
    """The number, of no check, of what a check finds in the table as it was."""
    return -1 - number


def _collected(results: Iterable[DataFrame]) -> Mapping[int, Row]:
    """Rows by their number; each frame is a query of its own, for Spark plans a large one again with each stage."""
    works = {str(i): rows.collect for i, rows in enumerate(results)}
    return {row["number"]: row for _, rows in side_by_side(works) for row in rows}


def _row(check: Check, found: _Finding) -> dict[str, object]:
    return {
        "table_name": check.table.name,
        "check_kind": check.kind.value,
        "column_names": ", ".join(check.columns),
        "severity": check.severity.value,
        "rule": check.rule,
        "rows_checked": found.checked,
        "rows_failing": found.failing,
        "sample_keys": list(found.keys),
        "passed": found.failing == 0,
    }
