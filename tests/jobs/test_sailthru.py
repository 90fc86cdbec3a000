"""Sailthru exports end to end: whatever the order in which files come, the tables settle to the truth."""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import tables
from jobs.generator import Forms, generate_sailthru, generate_ses
from jobs.providers import PROVIDERS
from jobs.reading import read_text
from jobs.stream_events import load
from schemas.files import FILES
from schemas.sailthru import SAILTHRU_MESSAGES
from tests.conftest import settings_for
from tests.tables import (
    STATE_TABLES,
    assert_balanced,
    assert_events_are_truth,
    assert_files_are_truth,
    assert_is_sailthru_truth,
    rows_of,
)
from tests.transforms.test_ses import LIMITS
from transforms.records import raw_lines

MESSAGES = int(os.environ.get("SAILTHRU_MESSAGES", "400"))
BATCHES = int(os.environ.get("TOGETHER_BATCHES", "3"))
IS_FULL_SIZE = MESSAGES > 10_000
DAYS, UPDATES = (14, 7) if IS_FULL_SIZE else (3, 2)
WINTER, SUMMER = date(2025, 10, 31), date(2026, 3, 6)
"""Starts of runs that cross the change of clocks."""


def arrive(folder: Path, order: Callable[[list[Path]], list[Path]]) -> None:
    """Give the files below `folder` times of modification in this order: the stream takes them so."""
    files = sorted((f for f in folder.rglob("*") if f.is_file()), key=lambda f: (f.name.split(".")[1:2], f.name))
    for i, file in enumerate(order(files)):
        os.utime(file, (1_760_000_000 + i, 1_760_000_000 + i))


def shuffled(files: list[Path]) -> list[Path]:
    return random.Random(5).sample(files, len(files))


LONG = pytest.mark.skipif(not IS_FULL_SIZE, reason="of the long form")


@pytest.mark.parametrize(
    ("start", "order", "files_per_batch"),
    [
        pytest.param(WINTER, sorted, 1000, id="all-at-once-into-winter"),
        pytest.param(SUMMER, sorted, 1000, id="all-at-once-into-summer", marks=LONG),
        pytest.param(WINTER, lambda files: files, 20, id="in-order", marks=LONG),
        pytest.param(WINTER, lambda files: files[::-1], 20, id="reversed"),
        pytest.param(SUMMER, shuffled, 20, id="shuffled"),
    ],
)
def test_in_whatever_order_files_come_the_tables_are_the_truth(
    spark: SparkSession,
    tmp_path: Path,
    start: date,
    order: Callable[[list[Path]], list[Path]],
    files_per_batch: int,
) -> None:
    truth = generate_sailthru(
        tmp_path / "input", messages=MESSAGES, start=start, days=DAYS, update_days=UPDATES, clients=("4321", "77")
    )
    arrive(tmp_path / "input", order)
    settings = settings_for(tmp_path, f"max_files_per_batch={files_per_batch}")
    load(settings, provider="sailthru", spark=spark)
    assert_is_sailthru_truth(tmp_path / "warehouse", truth)
    assert_files_are_truth(tmp_path / "warehouse", tmp_path / "input", truth.files, truth.quarantine)
    ledger = rows_of(tmp_path / "warehouse", FILES, ["filename", "data_set"])
    found = {row["filename"].removeprefix(f"file://{tmp_path}/input/"): row["data_set"] for row in ledger}
    assert found == truth.data_sets


@pytest.mark.slow
def test_one_file_at_a_time_and_all_of_them_twice(spark: SparkSession, tmp_path: Path) -> None:
    messages, days, updates = (MESSAGES, DAYS, UPDATES) if IS_FULL_SIZE else (60, 1, 1)
    truth = generate_sailthru(
        tmp_path / "input", messages=messages, start=WINTER, days=days, update_days=updates, seed=3
    )
    folder = tmp_path / "input" / "sailthru"
    arrive(folder, shuffled)
    settings = settings_for(tmp_path, "max_files_per_batch=1")
    first = load(settings, provider="sailthru", spark=spark)
    assert len(first) == len(truth.files)
    assert_is_sailthru_truth(tmp_path / "warehouse", truth)
    shutil.copytree(folder, folder / "again")
    again = load(settings_for(tmp_path), provider="sailthru", spark=spark)
    assert sum(report.new for report in again) == 0
    assert sum(report.duplicate for report in again) == sum(file.events for file in truth.files)
    assert_is_sailthru_truth(tmp_path / "warehouse", truth)
    assert_balanced(tmp_path / "warehouse")


@pytest.mark.slow
def test_both_providers_stream_together(spark: SparkSession, tmp_path: Path) -> None:
    """Many batches of each, into the same tables at the same time."""
    forms = replace(Forms(), odd_file_kinds=(), odd_files=0)
    ses = generate_ses(tmp_path / "input", events=400, seed=4, forms=forms, events_per_file=20)
    sailthru = generate_sailthru(tmp_path / "input", messages=200, days=2, update_days=2, seed=4)
    at_a_time = min(len(ses.files), len(sailthru.files)) // BATCHES
    reports = load(settings_for(tmp_path, f"max_files_per_batch={at_a_time}"), provider="all", spark=spark)
    batches = {name: sum(report.provider == name for report in reports) for name in PROVIDERS}
    assert min(batches.values()) >= BATCHES
    warehouse = tmp_path / "warehouse"
    assert_is_sailthru_truth(warehouse, sailthru)
    assert_events_are_truth(warehouse, ses)
    assert_files_are_truth(
        warehouse, tmp_path / "input", [*ses.files, *sailthru.files], [*ses.quarantine, *sailthru.quarantine]
    )


def test_the_plan_is_native_and_parses_each_text_once(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "4321_blast.json").write_text("{}")
    lines = raw_lines(read_text(spark, [f"file://{tmp_path}/4321_blast.json"]))
    rows = PROVIDERS["sailthru"].parser(settings_for(tmp_path))(lines, LIMITS)
    plan = rows._jdf.queryExecution().executedPlan().toString()
    assert "Python" not in plan
    # The line, a piece of a line, a line that is no object; opens, clicks, and none of either.
    assert plan.count("from_json(") == 5


def test_every_engine_reads_the_state_tables(spark: SparkSession, tmp_path: Path) -> None:
    generate_sailthru(tmp_path / "input", messages=60, days=2, update_days=1)
    load(settings_for(tmp_path), provider="sailthru", spark=spark)
    for contract in STATE_TABLES:
        path = str(tmp_path / "warehouse" / contract.name)
        arrow = DeltaTable(path).to_pyarrow_table()
        assert arrow.column_names == contract.columns
        assert arrow.num_rows
        stored = spark.read.format("delta").load(path).schema
        comments = {f.name: f.metadata.get("comment") for f in stored.fields}
        assert comments == {f.name: f.metadata["comment"] for f in contract.schema.fields}


@pytest.mark.slow
def test_an_upsert_costs_what_it_touches_not_what_the_table_holds(spark: SparkSession, tmp_path: Path) -> None:
    """5,000 messages of seven days into 50,000 known ones of 14 days, and into 500,000 of 140."""
    rewritten: list[dict[str, int]] = []
    for known in (50_000, 500_000):
        settings = settings_for(tmp_path / str(known))
        warehouse = Path(settings.warehouse)
        tables.create(spark, warehouse, SAILTHRU_MESSAGES)
        a_day = 3_572
        sent = F.timestamp_seconds(F.lit(1_761_900_000) - (F.col("id") / a_day).cast("int") * 86_400)
        given = {
            "client_id": F.lit("4321"),
            "message_id": F.concat(F.lit("1."), F.col("id").cast("string")),
            "send_time": sent,
            "send_date": F.to_date(sent),
            "record": F.sha2(F.col("id").cast("string").cast("binary"), 256),
            "version": F.lit("20251001 first"),
            "etl_time": sent,
        }
        columns = [
            given.get(f.name, F.lit("old" if not f.nullable else None).cast(f.dataType)).alias(f.name)
            for f in SAILTHRU_MESSAGES.stored_schema.fields
        ]
        path = tables.uri(warehouse, SAILTHRU_MESSAGES)
        old = spark.range(0, known, 1, 4).select(*columns)
        old.repartition("send_date").write.format("delta").mode("append").save(path)
        folder = Path(settings.input) / "sailthru"
        folder.mkdir(parents=True)
        with (folder / "4321_message_blast_update.20251101.json").open("w") as out:
            for i in range(5_000):
                day = 31 - i * 5 // a_day
                record = {"blast_id": 1, "message_id": i * 5, "send_time": f"2025-10-{day}T04:40:00", "profile_id": "p"}
                out.write(json.dumps(record) + "\n")
        load(settings, provider="sailthru", spark=spark)
        assert spark.read.format("delta").load(path).count() == known
        metrics = DeltaTable(path).history(1)[0]["operationMetrics"]
        names = ("numTargetRowsUpdated", "numTargetBytesRemoved", "numTargetBytesAdded", "numTargetFilesRemoved")
        rewritten.append({name: int(metrics[name]) for name in names})
        days = [date(2025, 10, 31 - i) for i in range(7)]
        read = spark.read.format("delta").load(path).where(F.col("send_date").isin(days))
        assert len(read.inputFiles()) <= 14
    small, large = rewritten
    assert small["numTargetRowsUpdated"] == large["numTargetRowsUpdated"] == 5_000
    for name, value in large.items():
        assert 0.8 <= value / small[name] <= 1.25, (name, small, large)
