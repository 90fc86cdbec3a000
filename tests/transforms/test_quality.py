"""Checks of every kind on a handful of rows, some of which fail."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from jobs.quality import Change, Known, run_checks
from schemas.checks import Check, of_contract, quality_checks
from schemas.contract import Role, TableContract, column
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quality import QUALITY, CheckKind, Severity
from schemas.quarantine import QUARANTINE

NOON = datetime(2025, 11, 20, 12, tzinfo=UTC)
PETS = TableContract(
    name="pets",
    grain="one pet",
    key=("owner", "name"),
    written_by=(),
    statistics=(),
    schema=StructType(
        [column(name, StringType(), nullable=name != "kind", comment="") for name in ("owner", "name", "kind")]
    ),
)
PEOPLE = TableContract(
    name="people",
    grain="one person",
    key=("id",),
    written_by=(),
    statistics=(),
    schema=StructType([column("id", StringType(), comment="")]),
)
MAIL = TableContract(
    name="mail",
    grain="one event",
    key=("event_id",),
    written_by=(),
    statistics=(),
    schema=StructType(
        [
            column("event_id", StringType(), role=Role.IDENTITY, comment=""),
            column("message_id", StringType(), role=Role.IDENTITY, comment=""),
        ]
    ),
)
ALL = quality_checks(("ses", "sailthru"), datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=2))


def pets(spark: SparkSession, *rows: tuple[str | None, str | None, str | None]) -> dict[str, DataFrame]:
    return {"pets": spark.createDataFrame(rows, "owner string, name string, kind string")}


def results(tables: Mapping[str, DataFrame], checks: Collection[Check]) -> dict[tuple[str, str], Row]:
    spark = next(iter(tables.values())).sparkSession
    return {(row.check_kind, row.column_names): row for row in run_checks(spark, tables, checks).collect()}


def outcome(row: Row) -> tuple[Any, ...]:
    return row.rows_checked, row.rows_failing, row.sample_keys, row.passed


def test_a_null_fails_only_where_the_contract_says_so(spark: SparkSession) -> None:
    found = results(pets(spark, ("ada", None, "cat"), ("bo", "rex", "dog")), list(of_contract(PETS)))
    assert {key: outcome(row) for key, row in found.items()} == {
        ("unique", "owner, name"): (2, 0, [], True),
        ("not_null", "kind"): (2, 0, [], True),
    }
    found = results(pets(spark, ("ada", None, None), ("bo", "rex", "dog")), list(of_contract(PETS)))
    assert outcome(found["not_null", "kind"]) == (2, 1, ['{"owner":"ada","name":null}'], False)
    assert found["not_null", "kind"].rule == "`kind` is not null"


def test_keys_with_nulls_are_equal_and_five_of_those_that_repeat_are_shown(spark: SparkSession) -> None:
    twice = [("bo", f"rex {i}", "dog") for i in range(6)] * 2
    found = results(pets(spark, *twice, ("ada", None, "cat"), ("ada", None, "dog"), ("ada", "null", "")), of_pets())
    keys = ['{"owner":"ada","name":null}', *(f'{{"owner":"bo","name":"rex {i}"}}' for i in range(4))]
    assert outcome(found["unique", "owner, name"]) == (15, 14, keys, False)


def of_pets() -> list[Check]:
    return list(of_contract(PETS))


def test_an_instant_in_a_key_counts_to_the_microsecond(spark: SparkSession) -> None:
    contract = TableContract(name="pets", grain="", key=("at",), written_by=(), statistics=(), schema=StructType([]))
    instants = [(NOON,), (NOON + timedelta(microseconds=1),), (NOON + timedelta(microseconds=2),)] * 2
    tables = {"pets": spark.createDataFrame(instants[:4], "at timestamp")}
    assert outcome(results(tables, list(of_contract(contract)))["unique", "at"]) == (
        4,
        2,
        ['{"at":"2025-11-20T12:00:00.000000Z"}'],
        False,
    )


def test_a_value_that_is_not_listed_fails_and_null_passes(spark: SparkSession) -> None:
    checks = [
        *of_pets(),
        Check(
            table=PETS,
            kind=CheckKind.ACCEPTED_VALUES,
            columns=("kind",),
            severity=Severity.WARNING,
            condition="`kind` in ('cat', 'dog')",
        ),
    ]
    rows = pets(spark, ("ada", "tom", "cat"), ("ada", "x", None), ("bo", "rex", "Dog"))
    row = results(rows, checks)["accepted_values", "kind"]
    assert (row.severity, *outcome(row)) == ("warning", 3, 1, ['{"owner":"bo","name":"rex"}'], False)


def test_every_row_counts_that_names_what_is_not_there_but_none_that_names_nothing(spark: SparkSession) -> None:
    owners = Check(table=PETS, kind=CheckKind.RELATIONSHIP, columns=("owner",), of=PEOPLE, of_columns=("id",))
    tables = pets(spark, ("ada", "a", ""), (None, "b", ""), ("bo", "c", ""), ("bo", "d", ""), ("cy", "e", ""))
    assert ("relationship", "owner") not in results(tables, [*of_pets(), owners])
    tables["people"] = spark.createDataFrame([("ada",), ("ada",), ("cy",), (None,)], "id string")
    row = results(tables, [*of_pets(), owners])["relationship", "owner"]
    assert (row.rule, *outcome(row)) == ("named in people (id)", 4, 2, ['{"owner":"bo"}'], False)


def test_an_empty_table_passes_with_no_row_checked(spark: SparkSession) -> None:
    owners = Check(table=PETS, kind=CheckKind.RELATIONSHIP, columns=("owner",), of=PEOPLE, of_columns=("id",))
    tables = {**pets(spark), "people": spark.createDataFrame([("ada",)], "id string")}
    found = results(tables, [*of_pets(), owners])
    assert {outcome(row)[:2] + outcome(row)[3:] for row in found.values()} == {(0, 0, True)}
    assert len(found) == 3


@pytest.mark.parametrize(
    ("at", "passes"),
    [
        pytest.param(datetime(2000, 1, 1, tzinfo=UTC), True, id="earliest"),
        pytest.param(datetime(1999, 12, 31, 23, 59, tzinfo=UTC), False, id="too-early"),
        pytest.param(NOON + timedelta(hours=49), True, id="latest"),
        pytest.param(NOON + timedelta(hours=49, seconds=1), False, id="too-late"),
    ],
)
def test_the_times_of_an_event_lie_within_the_bounds_of_its_load(
    spark: SparkSession, at: datetime, passes: bool
) -> None:
    rows = [("e", NOON, None, at, NOON)]
    schema = "event_id string, event_time timestamp, timestamp timestamp, completion_time timestamp, etl_time timestamp"
    checks = [c for c in ALL if c.table is EVENTS and c.kind in (CheckKind.UNIQUE, CheckKind.RANGE)]
    found = results({"events": spark.createDataFrame(rows, schema)}, checks)
    assert {names: row.passed for (kind, names), row in found.items() if kind == "range"} == {
        "event_time": True,
        "timestamp": True,
        "completion_time": passes,
    }


LINE = (
    "filename string, modified_at timestamp, length_bytes long, provider string, etl_time timestamp, records long, "
    "accepted long, quarantined long, control long, events long, events_new long, events_duplicate long"
)


def line(filename: str, *counts: int, minute: int = 0) -> tuple[Any, ...]:
    return (filename, NOON, 1, "ses", NOON + timedelta(minutes=minute), *counts)


def loads(
    spark: SparkSession, lines: list[tuple[Any, ...]], events: list[tuple[Any, ...]], quarantine: list[tuple[Any, ...]]
) -> dict[str, DataFrame]:
    """The ledger; and of events and quarantine filename, minute of the load, and batch."""

    def loaded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [
            (i, name, NOON + timedelta(minutes=m), batch, "ses", NOON, 1) for i, (name, m, batch) in enumerate(rows)
        ]

    schema = "filename string, etl_time timestamp, batch_id string, provider string, file_modified_at timestamp"
    of_events = spark.createDataFrame(loaded(events), f"event_id int, {schema}, file_length_bytes int")
    return {
        "files": spark.createDataFrame(lines, LINE),
        "events": of_events.withColumn("message_id", F.concat(F.lit("m-"), "event_id")),
        "quarantine": spark.createDataFrame(loaded(quarantine), f"position int, {schema}, file_length_bytes int"),
    }


BALANCES = [
    c for c in ALL if c.table in (FILES, EVENTS, QUARANTINE) and c.kind in (CheckKind.UNIQUE, CheckKind.LEDGER_BALANCE)
]


def ledger(spark: SparkSession, *rows: list[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Outcomes of the balances."""
    found = results(loads(spark, *rows), BALANCES)
    return {names: outcome(row) for (kind, names), row in found.items() if kind == "ledger_balance"}


def test_a_ledger_balances_beside_replayed_rows_and_a_batch_in_flight(spark: SparkSession) -> None:
    found = ledger(
        spark,
        [line("a", 4, 2, 1, 1, 3, 2, 1), line("a", 1, 1, 0, 0, 1, 1, 0, minute=1), line("b", 0, 0, 0, 0, 0, 0, 0)],
        [("a", 0, "x-0"), ("a", 0, "x-0"), ("a", 1, "x-1"), ("a", 0, "replay-1"), ("c", 2, "x-2")],
        [("a", 0, "x-0"), ("c", 2, "x-2")],
    )
    assert found == {
        "records, accepted, quarantined, control": (3, 0, [], True),
        "events, events_new, events_duplicate": (3, 0, [], True),
        "events_new": (2, 0, [], True),
        "quarantined": (2, 0, [], True),
    }


def test_a_line_that_does_not_add_up_a_row_too_many_and_a_line_that_is_lost_are_found(spark: SparkSession) -> None:
    found = ledger(
        spark,
        [line("a", 4, 2, 1, 0, 2, 2, 1), line("b", 1, 1, 0, 0, 1, 1, 0, minute=1)],
        [("a", 0, "x-0"), ("a", 0, "x-0"), ("b", 1, "x-1"), ("b", 1, "x-1"), ("lost", 0, "x-0")],
        [],
    )
    of_a = ['{"filename":"a","modified_at":"2025-11-20T12:00:00.000000Z","length_bytes":1}']
    assert found == {
        "records, accepted, quarantined, control": (2, 1, of_a, False),
        "events, events_new, events_duplicate": (2, 1, of_a, False),
        "events_new": (
            3,
            2,
            [
                '{"filename":"b","events_new":1,"rows_there":2}',
                '{"filename":"lost","events_new":0,"rows_there":1}',
            ],
            False,
        ),
        "quarantined": (2, 1, ['{"filename":"a","quarantined":1,"rows_there":0}'], False),
    }


# --- What was found before


OF_KIND = Check(table=PETS, kind=CheckKind.ACCEPTED_VALUES, columns=("kind",), condition="`kind` in ('cat', 'dog')")
OF_OWNERS = Check(table=PETS, kind=CheckKind.RELATIONSHIP, columns=("owner",), of=PEOPLE, of_columns=("id",))
PET_CHECKS = [*of_contract(PETS), *of_contract(PEOPLE), OF_KIND, OF_OWNERS]


def known_of(spark: SparkSession, then: Mapping[str, DataFrame], now: Mapping[str, DataFrame], *checks: Check) -> Known:
    """What checks found then, and the rows that came and went since."""
    found = {tuple(row[name] for name in QUALITY.key): row for row in run_checks(spark, then, checks).collect()}
    changes = {
        name: Change(then[name], then[name].exceptAll(now[name]), now[name].exceptAll(then[name])) for name in now
    }
    same = frozenset(name for name, change in changes.items() if change.new.isEmpty() and change.gone.isEmpty())
    return Known(found, same, {name: change for name, change in changes.items() if name not in same})


def assert_as_anew(spark: SparkSession, then: dict[str, DataFrame], now: dict[str, DataFrame], *checks: Check) -> None:
    known, anew = known_of(spark, then, now, *checks), run_checks(spark, now, checks)
    assert anew.count() == len(checks)
    in_one_look = replace(known, changes={}, small=frozenset(known.changes))
    for found in (known, in_one_look):
        again = run_checks(spark, now, checks, found)
        assert again.orderBy(*QUALITY.key).collect() == anew.orderBy(*QUALITY.key).collect()


PAIRS = [("ada", "tom", "cat"), ("bo", "rex", "dog"), ("bo", "rex 2", "dog"), (None, "rex", "dog")]
MANY = [(f"x {i}", "rex", "dog") for i in range(7)]


@pytest.mark.parametrize(
    ("then", "now", "people"),
    [
        pytest.param(PAIRS, PAIRS, "ab", id="nothing-new"),
        pytest.param(
            PAIRS,
            [*PAIRS, ("bo", "rex", "cat"), (None, "rex", "dog"), ("cy", "x", "cow")],
            "ab",
            id="old-keys-again-and-other-kind-of-nobody",
        ),
        pytest.param([*PAIRS, ("bo", "rex", "cow")], [*PAIRS[1:], ("di", "x", "cow")], "ba", id="failed-before"),
        pytest.param(PAIRS, PAIRS, "b", id="owner-gone"),
        pytest.param(MANY, [*MANY, ("a", "rex", "dog"), ("z", "rex", "dog")], "", id="least-of-many"),
        pytest.param(MANY, MANY[3:], "", id="least-of-many-gone"),
        pytest.param(MANY, MANY[:6], "", id="others-of-many-gone"),
    ],
)
def test_with_what_was_found_before_checks_find_what_they_find_anew(
    spark: SparkSession,
    then: list[tuple[str | None, str, str]],
    now: list[tuple[str | None, str, str]],
    people: str,
) -> None:
    names = {"a": "ada", "b": "bo"}
    before = {**pets(spark, *then), "people": spark.createDataFrame([("ada",), ("bo",)], "id string")}
    after = {**pets(spark, *now), "people": spark.createDataFrame([(names[p],) for p in people], "id string")}
    assert_as_anew(spark, before, after, *PET_CHECKS)


def test_balances_with_what_was_found_before_are_those_anew(spark: SparkSession) -> None:
    """A row too many of an old file; a batch in flight then whose line came, and one whose line never came."""
    old, brought = [line("a", 1, 1, 0, 0, 1, 1, 0)], line("b", 1, 1, 0, 0, 1, 1, 0, minute=1)
    rows = [("a", 0, "x-0"), ("b", 1, "x-1"), ("lost", 1, "x-1")]
    then = loads(spark, old, rows, [])
    assert_as_anew(spark, then, loads(spark, [*old, brought], [*rows, ("a", 1, "x-1")], [("a", 0, "x-0")]), *BALANCES)


def test_of_a_table_with_few_new_rows_the_others_are_not_looked_at_again(spark: SparkSession) -> None:
    then = pets(spark, *[(f"x {i}", "rex", "dog") for i in range(20)])
    checks = [*of_contract(PETS), OF_KIND]
    known = known_of(spark, then, then, *checks)
    now = {"pets": then["pets"].withColumn("kind", F.lit("cow")).union(pets(spark, ("x 0", "rex", "ox"))["pets"])}
    change = Change(then["pets"], then["pets"].limit(0), now["pets"].where("kind = 'ox'"))
    found = run_checks(spark, now, checks, Known(known.results, frozenset(), {"pets": change})).collect()
    assert {row.check_kind: outcome(row)[:2] for row in found} == {
        "unique": (21, 2),
        "not_null": (21, 0),
        "accepted_values": (21, 1),
    }


def test_of_rows_that_the_message_is_part_of_those_near_the_new_ones_are_looked_at(spark: SparkSession) -> None:
    """An event of a message that had some comes twice, one of another message once."""
    schema = "event_id string, message_id string"
    old = [(f"e-{i}", f"0102019b{i:04}-1") for i in range(0, 9000, 500)]
    then = {"mail": spark.createDataFrame(old, schema)}
    new = spark.createDataFrame([old[7], ("e-new", old[7][1])], schema)
    now = {"mail": then["mail"].unionByName(new)}
    known = known_of(spark, then, then, *of_contract(MAIL))
    change = Change(then["mail"], then["mail"].limit(0), new)
    found = run_checks(spark, now, [*of_contract(MAIL)], Known(known.results, frozenset(), {"mail": change})).collect()
    assert [outcome(row) for row in found] == [(20, 2, [f'{{"event_id":"{old[7][0]}"}}'], False)]


def test_what_a_check_with_another_rule_found_is_not_known(spark: SparkSession) -> None:
    rows = pets(spark, ("ada", "tom", "cat"), ("bo", "rex", "dog"))
    known = known_of(spark, rows, rows, *of_contract(PETS), OF_KIND)
    checks = [*of_contract(PETS), replace(OF_KIND, condition="`kind` = 'cat'")]
    found = run_checks(spark, rows, checks, known).where("check_kind = 'accepted_values'").collect()
    assert [outcome(row)[:2] for row in found] == [(2, 1)]
