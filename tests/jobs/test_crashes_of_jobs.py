"""The jobs that come after the stream, killed in the same way; see `test_crashes.py`."""

import random
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.build_summaries import build
from jobs.generator import Forms, SailthruTruth, generate_requests, generate_sailthru, generate_ses
from jobs.maintain_tables import maintain
from jobs.replay_quarantine import replay
from jobs.stream_events import load
from jobs.summaries import SUMMARIES
from tests.conftest import settings_for
from tests.crashes import ROUNDS, STATES, Scenario, assert_kills_leave_no_trace, names_of, sailthru_files
from tests.jobs.test_crashes import is_compacted, ses_files
from tests.jobs.test_increments import change_requests
from tests.jobs.test_replay_quarantine import older_rules

MADE = tuple(SUMMARIES) if ROUNDS else ("journeys", "messages", "region_summary")


def partly_summarised(folder: Path, seed: int, spark: SparkSession) -> None:
    """Events and requests loaded and summarised, then some more; both ways of a build are at hand."""
    source, settings = folder / "input", settings_for(folder)
    ses = generate_ses(source, events=300, seed=seed, events_per_file=15)
    sailthru = generate_sailthru(source, messages=60, seed=seed, days=2) if ROUNDS else SailthruTruth()
    generate_requests(source, ses, sailthru, seed=seed)
    later = [
        file for p in ("ses", "sailthru") for file in sorted(f for f in (source / p).rglob("*") if f.is_file())[-1:]
    ]
    for file in later:
        file.rename(file.with_name(f".{file.name}"))
    load(settings, spark=spark)
    build(settings, only=MADE, spark=spark)
    for file in later:
        file.with_name(f".{file.name}").rename(file)
    change_requests(source / "requests", random.Random(seed))
    load(settings, spark=spark)


def quarantined(folder: Path, seed: int, spark: SparkSession) -> None:
    """Both providers, loaded by rules that refused more."""
    generate_ses(folder / "input", events=200, seed=seed, events_per_file=50, forms=Forms(odd_file_kinds=()))
    if ROUNDS:
        sailthru_files(folder, seed, spark)
    with older_rules():
        load(settings_for(folder), spark=spark)


def in_many_batches(folder: Path, seed: int, spark: SparkSession) -> None:
    """Events in many small files."""
    ses_files(folder, seed, spark)
    load(settings_for(folder, "max_files_per_batch=2"), spark=spark)


def is_made_by_parts(warehouse: Path) -> None:
    """The newest commit of `journeys` replaced some days of it."""
    (newest,) = DeltaTable(str(warehouse / "journeys")).history(1)
    assert "send_date" in newest["operationParameters"].get("predicate", ""), newest


SCENARIOS = {
    "summaries": Scenario(
        job="build_summaries",
        options=("--only", ",".join(MADE)),
        run=lambda settings, spark: build(settings, only=MADE, spark=spark),
        steps=("requests committed", *[f"{name} committed" for name in SUMMARIES]),
        short=("messages committed",),
        prepare=partly_summarised,
        check=is_made_by_parts,
        in_order=True,
    ),
    "maintenance": Scenario(
        job="maintain_tables",
        run=lambda settings, spark: maintain(settings, spark=spark),
        steps=("table compacted",),
        prepare=in_many_batches,
        check=is_compacted,
    ),
    "replay": Scenario(
        job="replay_quarantine",
        run=lambda settings, spark: replay(settings, spark=spark),
        steps=("duplicates found", "events committed", STATES[0], *STATES[2:], "quarantine marked"),
        short=("events committed",),
        prepare=quarantined,
        in_order=True,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", names_of(SCENARIOS))
def test_killed_at_each_step_the_tables_are_those_of_a_run_never_killed(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    assert_kills_leave_no_trace(name, SCENARIOS[name], tmp_path, spark)
