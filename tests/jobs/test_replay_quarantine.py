"""`replay_quarantine`: what an older rule refused comes out as if it had never been, once, whatever happens."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from jobs import replay_quarantine
from jobs.__main__ import main
from jobs.generator import generate_sailthru, generate_ses
from jobs.locks import only_replay
from jobs.replay_quarantine import Replayer, replay, summary
from jobs.stream_events import load
from schemas.contract import Role
from schemas.events import EVENTS, REPLAYED
from schemas.files import FILES
from schemas.quarantine import QUARANTINE, Reason, ReplayOutcome
from tests.conftest import settings_for
from tests.jobs.test_failures import LOST
from tests.jobs.test_stream_events import event
from tests.tables import STATE_TABLES, assert_balanced, assert_is_sailthru_truth, content, rows_of
from transforms import sailthru, ses
from transforms.records import first_problem

SETTLED = (Role.IDENTITY, Role.SETTLED)
REPLAY_COLUMNS = ("replayed_at", "replay_outcome")


@contextmanager
def older_rules() -> Iterator[None]:
    """Parsers that know no clicks of SES, no profiles, and no Sailthru messages that were opened."""
    is_opened = F.col("is_message") & (F.size("opens") > 0)
    refused = {
        ses: F.col("event_class") == "click",
        sailthru: (F.col("data_set") == "profile") | is_opened,
    }
    with pytest.MonkeyPatch.context() as patch:
        for module, condition in refused.items():
            patch.setattr(module, "_problem", _older(module._problem, condition))
            module._steps.cache_clear()
        yield
    for module in refused:
        module._steps.cache_clear()


def _older(problem: Callable[..., Column], refused: Column) -> Callable[..., Column]:
    def older(limits: Any) -> Column:
        return F.coalesce(problem(limits), first_problem([(refused, Reason.UNKNOWN_SHAPE, F.lit("an older rule"))]))

    return older


def outcomes(warehouse: Path) -> Counter[str | None]:
    """How many records have which outcome."""
    rows = rows_of(warehouse, QUARANTINE, REPLAY_COLUMNS)
    assert all((row["replayed_at"] is None) == (row["replay_outcome"] is None) for row in rows)
    return Counter(row["replay_outcome"] for row in rows)


def unmarked(warehouse: Path, *, without: tuple[str, ...] = ()) -> Counter[str]:
    """The records of `quarantine` but those with an outcome of `without`; load and replay aside.

    Also without `position`, for rows are counted in it: it depends on which records of the file were refused.
    """
    columns = [c for c in QUARANTINE.columns if c not in ("position", "replayed_at", "etl_time", "batch_id")]
    rows = rows_of(warehouse, QUARANTINE, columns)
    kept = [row for row in rows if row["replay_outcome"] not in without]
    return Counter(repr(sorted((k, v) for k, v in row.items() if k != "replay_outcome")) for row in kept)


def facts(warehouse: Path, *roles: Role) -> dict[str, Counter[str]]:
    """Events and newest versions, load times and batch ids aside; the columns of `roles`, if any are given."""
    present = [table for table in (EVENTS, *STATE_TABLES) if (warehouse / table.name).exists()]
    return {table.name: content(warehouse, table, *roles) for table in present}


def assert_same_facts(warehouse: Path, expected: dict[str, Counter[str]], *roles: Role) -> None:
    """The facts of the warehouse are the expected ones; if not, some of the rows that differ."""
    found = facts(warehouse, *roles)
    assert found.keys() == expected.keys()
    for table, rows in expected.items():
        lacking, surplus = rows - found[table], found[table] - rows
        differing = f"{table}: {lacking.total()} lacking, {surplus.total()} surplus"
        assert not lacking, f"{differing}\n{next(iter(lacking))}\n{next(iter(surplus), None)}"
        assert not surplus, f"{differing}\n{next(iter(surplus))}"


def brought(warehouse: Path) -> int:
    """How many rows of `events` replay added."""
    return sum(row["batch_id"].startswith(REPLAYED) for row in rows_of(warehouse, EVENTS, ["batch_id"]))


def put(folder: Path, name: str, *records: dict[str, Any] | bytes) -> None:
    """A file of SES records."""
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    path = folder / "input" / "ses" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(lines))


def early(number: int, **mail: Any) -> dict[str, Any]:
    """An event that a rule of `earliest_event_time=2025-11-01T00:00:00Z` refuses."""
    return event(number, **mail)


def late(number: int) -> dict[str, Any]:
    """An event that such a rule takes."""
    late_event: dict[str, Any] = json.loads(json.dumps(event(number)).replace("2025-10-25T", "2025-11-25T"))
    return late_event


TOO_EARLY = "earliest_event_time=2025-11-01T00:00:00Z"


def test_what_an_older_parser_refused_comes_out_as_if_it_had_never_been(spark: SparkSession, tmp_path: Path) -> None:
    source = tmp_path / "input"
    generate_ses(source, events=200, seed=21, events_per_file=100)
    truth = generate_sailthru(source, messages=60, seed=21, days=1, update_days=1, clients=("4321", "77"))
    whole, older = settings_for(tmp_path / "whole", source=source), settings_for(tmp_path / "older", source=source)
    load(whole, spark=spark)
    with older_rules():
        load(older, spark=spark)
    expected, warehouse = Path(whole.warehouse), Path(older.warehouse)
    ledger = content(warehouse, FILES)
    assert facts(warehouse) != facts(expected)

    report = replay(older, spark=spark)

    # Which of two exports brings the send of a message depends on what the older parser refused: settled columns only.
    assert_same_facts(warehouse, facts(expected, *SETTLED), *SETTLED)
    assert_is_sailthru_truth(warehouse, truth)
    assert content(warehouse, FILES) == ledger
    assert_balanced(warehouse)
    settled = (ReplayOutcome.EVENT, ReplayOutcome.DUPLICATE, ReplayOutcome.VERSION)
    assert unmarked(warehouse, without=settled) == unmarked(expected)
    assert report.rows == brought(warehouse)
    assert report.of("event") > 0
    assert report.of("version") > 0
    assert report.still > 0
    assert report.records == sum(outcomes(warehouse).values()) == sum(report.outcomes.values())

    # Again: nothing is found but what can still not be read.
    before, marked = facts(warehouse), outcomes(warehouse)
    again = replay(older, spark=spark)
    assert (again.rows, again.of("event"), again.records) == (0, 0, report.still + report.of("not_whole"))
    assert_same_facts(warehouse, before)
    assert outcomes(warehouse) == marked
    assert_balanced(warehouse)


A, B, C = "50% of [1]{a} =é+x%.json", "dt=1/a:colon+100%25.json", "dt=1/part%2F.json"


def test_every_outcome_is_told_and_kept(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    confirmation = {"Type": "SubscriptionConfirmation", "Message": "made up", "Token": "t"}
    long = early(7, subject="x" * 3000)
    put(tmp_path, A, early(1), early(1), early(2), late(3), b"garbage", early(4, messageId=""), long)
    put(tmp_path, B, early(1), early(5), confirmation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ses, "_is_control", lambda: F.lit(False))
        ses._steps.cache_clear()
        load(settings_for(tmp_path, TOO_EARLY, "max_record_bytes=2048"), provider="ses", spark=spark)
    ses._steps.cache_clear()
    put(tmp_path, C, early(2))
    load(settings_for(tmp_path), provider="ses", spark=spark)
    warehouse = tmp_path / "warehouse"
    before = rows_of(warehouse, QUARANTINE, ["reason"])
    assert Counter(row["reason"] for row in before) == {
        "time_out_of_range": 5,
        "not_json": 1,
        "no_message_id": 1,
        "too_large": 1,
        "unknown_shape": 1,
    }

    only = replay(settings_for(tmp_path), reason="not_json", spark=spark)
    assert only.outcomes == {("not_json", "still_not_json"): 1}
    assert outcomes(warehouse) == {None: 8, "still_not_json": 1}
    started = datetime.now(UTC)
    report = replay(settings_for(tmp_path), spark=spark)
    assert report.outcomes == {
        ("time_out_of_range", "event"): 2,  # m5, and m1 of which the first copy brings it
        ("time_out_of_range", "duplicate"): 3,  # two more of m1, and m2 which C has brought
        ("not_json", "still_not_json"): 1,
        ("no_message_id", "still_no_message_id"): 1,
        ("too_large", "not_whole"): 1,
        ("unknown_shape", "control"): 1,
    }
    found = {(row["filename"], row["message_id"]) for row in rows_of(warehouse, EVENTS)}
    prefix = f"file://{tmp_path}/input/ses/"
    assert found == {(prefix + A, "m1"), (prefix + A, "m3"), (prefix + B, "m5"), (prefix + C, "m2")}
    assert brought(warehouse) == report.rows == 2
    assert all(started <= row["replayed_at"] for row in rows_of(warehouse, QUARANTINE))
    assert_balanced(warehouse)

    told = summary(report)
    assert told == (
        "Replayed 9 records: 2 became events (2 rows), 3 duplicate, 1 control, 1 not kept whole, 2 still quarantined"
    )
    capsys.readouterr()
    replay_quarantine._show(report)
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= 80
    assert any("no_message_id" in line and "still_no_message_id" in line for line in shown)
    as_json = replay_quarantine._as_json(report)
    assert (as_json["records"], as_json["rows"]) == (9, 2)

    # A stricter rule of today gives another reason, and says so.
    put(tmp_path, "d.json", early(9, subject="y" * 1500))
    load(settings_for(tmp_path, TOO_EARLY), provider="ses", spark=spark)
    changed = replay(settings_for(tmp_path, "max_record_bytes=1024"), reason="time_out_of_range", spark=spark)
    assert changed.outcomes == {("time_out_of_range", "still_too_large"): 1}
    assert replay(settings_for(tmp_path), reason="time_out_of_range", spark=spark).rows == 1
    assert_balanced(warehouse)


def test_what_an_executor_is_lost_with_is_replayed_again(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, A, early(1), early(2))
    load(settings_for(tmp_path, TOO_EARLY), provider="ses", spark=spark)
    real, problems = Replayer._mark, [LOST]

    def lost_once(*arguments: Any) -> None:
        if problems:
            raise problems.pop()
        real(*arguments)

    monkeypatch.setattr(Replayer, "_mark", lost_once)
    report = replay(settings_for(tmp_path), spark=spark)
    assert report.outcomes == {("time_out_of_range", "event"): 2}
    assert brought(tmp_path / "warehouse") == report.rows == 2
    assert outcomes(tmp_path / "warehouse") == {"event": 2}


def test_wrong_use_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warehouse = tmp_path / "warehouse"

    def refused(*arguments: str) -> str:
        assert main(["replay_quarantine", "--warehouse", str(warehouse), *arguments]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    assert "did you mean `bad_time`?" in refused("--reason", "badtime")
    assert "there are: not_json, not_an_object" in refused("--reason", "xyz")
    assert "has no table `events`" in refused()
    assert not warehouse.exists()
    for table in (EVENTS, QUARANTINE):
        (warehouse / table.name / "_delta_log").mkdir(parents=True)
        (warehouse / table.name / "_delta_log" / "00000000000000000000.json").touch()
    with only_replay(warehouse):
        assert "Another replay (process" in refused()
