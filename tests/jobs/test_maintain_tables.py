"""`maintain_tables`: fewer files with the same rows, old files gone, nobody in the way of anybody."""

import json
import os
import re
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pytest
from delta.exceptions import ConcurrentDeleteReadException
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from conf.errors import ConfigurationError
from jobs import maintenance, tables
from jobs.generator import Forms, generate_sailthru, generate_ses
from jobs.locks import only_maintenance, writing
from jobs.maintain_tables import MaintenanceError, maintain
from jobs.maintenance import Files, maintained, remove_left_over, scattered, vacuum
from jobs.stream_events import load
from schemas.catalog import TABLES
from schemas.contract import TableContract
from schemas.events import EVENTS
from schemas.files import FILES
from tests.conftest import settings_for
from tests.jobs.test_tables import DAYS
from tests.tables import (
    assert_events_are_truth,
    assert_files_are_truth,
    assert_is_sailthru_truth,
    assert_is_truth,
    everything,
    operations,
    rows_of,
)

pytestmark = pytest.mark.usefixtures("one_partition")

MIB = 1024**2
FIRST, SECOND = date(2025, 10, 26), date(2025, 10, 27)


def data_files(warehouse: Path, contract: TableContract) -> set[str]:
    """The data files of the newest version."""
    return set(DeltaTable(str(warehouse / contract.name)).file_uris())


def on_disk(warehouse: Path, contract: TableContract) -> set[str]:
    """All data files that lie there."""
    return {str(file) for file in (warehouse / contract.name).rglob("*.parquet") if "_delta_log" not in file.parts}


def numbers(warehouse: Path) -> Counter[tuple[date | None, int]]:
    """The rows of DAYS."""
    return Counter((row["day"], row["number"]) for row in rows_of(warehouse, DAYS))


@pytest.fixture(scope="module")
def parts(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with DAYS: four files of two days and of none, in each numbers from all over; one of a third day.

    No test changes it.
    """
    folder = tmp_path_factory.mktemp("parts")
    tables.create(spark, folder, DAYS)
    for start in range(4):
        rows = [(day, number) for day in (FIRST, SECOND, None) for number in range(start, 4000, 4)]
        add(spark, folder, rows)
    add(spark, folder, [(date(2025, 10, 28), 1)])
    return folder


@pytest.fixture
def days(parts: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may change."""
    return shutil.copytree(parts, tmp_path / "days")


@pytest.fixture(scope="module")
def batches(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that three batches of one file each were loaded into; no test changes it."""
    folder = tmp_path_factory.mktemp("batches")
    generate_ses(folder / "input", events=60, seed=1, forms=Forms.plain(), events_per_file=20)
    load(settings_for(folder, "max_files_per_batch=1"), spark=spark)
    return folder / "warehouse"


@pytest.fixture
def loaded(batches: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may change."""
    return shutil.copytree(batches, tmp_path / "warehouse")


def compact(spark: SparkSession, warehouse: Path, contract: TableContract, target_bytes: int) -> int:
    """Of how many partitions the files were put together."""
    return sum(map(len, maintenance.compact(spark, warehouse, contract, target_bytes)))


def add(spark: SparkSession, warehouse: Path, rows: list[tuple[date | None, int]]) -> None:
    """One commit, a file for each day."""
    frame = spark.createDataFrame(rows, DAYS.stored_schema).coalesce(1)
    frame.write.format("delta").mode("append").save(tables.uri(warehouse, DAYS))


def test_files_of_a_day_become_one_and_rows_stay(spark: SparkSession, days: Path) -> None:
    before, rows = data_files(days, DAYS), numbers(days)
    done = maintained(spark, days, DAYS, MIB)
    assert (done.parts, done.before.count, done.after.count, done.failure) == (3, 13, 4, None)
    assert numbers(days) == rows
    alone = {file for file in before if "2025-10-28" in file}
    assert alone < data_files(days, DAYS), "the only file of a day is left as it is"
    assert maintained(spark, days, DAYS, MIB).parts == 0
    delta = DeltaTable(tables.uri(days, DAYS))
    assert not {"deletionVectors", "columnMapping"} & set(delta.protocol().writer_features or [])
    connection = duckdb.connect()
    connection.register("days", delta.to_pyarrow_table())
    found = connection.execute("select count(*), sum(number) from days").fetchone()
    assert found == (rows.total(), sum(number for _, number in rows.elements()))
    assert polars.read_delta(tables.uri(days, DAYS)).height == rows.total()


def test_where_several_files_are_left_each_holds_a_range(spark: SparkSession, days: Path) -> None:
    for start in range(2):
        add(spark, days, [(FIRST, number) for number in range(4000 + start, 6000, 2)])
    rows = numbers(days)
    target = maintenance.files_of(spark, days, DAYS)[FIRST].size // 3 + 1
    assert compact(spark, days, DAYS, target) == 3
    assert operations(days / DAYS.name).count("OPTIMIZE") > 1, "more than one commit takes"
    assert numbers(days) == rows
    actions = pa.table(DeltaTable(tables.uri(days, DAYS)).get_add_actions(flatten=True)).to_pydict()
    ranges = sorted(
        zip(*(actions[name] for name in ("partition.day", "min.number", "max.number")), strict=True), key=str
    )
    of_first = sorted((low, high) for day, low, high in ranges if day == FIRST)
    assert len(of_first) > 1
    assert sum(high - low for low, high in of_first) < 1.1 * 6000, of_first  # before: 4 * 4,000 + 2 * 2,000


def test_only_what_can_do_with_half_its_files_is_written_again() -> None:
    found = {
        FIRST: Files(2, 250),
        SECOND: Files(4, 200),
        None: Files(2, 3),
        date(2025, 10, 28): Files(11, 1001),
        date(2025, 10, 29): Files(1, 1),
    }
    assert list(scattered(found, 100)) == [SECOND, None]


def test_a_dry_run_says_what_would_be_and_changes_nothing(
    spark: SparkSession, loaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(loaded.parent, "progress=json", "maintenance.retention_hours=24")
    orphan = aged_copy(loaded, EVENTS, hours=30)
    before = sorted(loaded.rglob("*"))
    would = maintain(settings, only=[EVENTS.name, FILES.name], dry_run=True, spark=spark)
    assert sorted(loaded.rglob("*")) == before
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["table"] for line in lines[:-1]] == [one.table for one in would]
    assert lines[-1]["dry_run"]
    assert lines[-1]["removed"] == 1
    done = maintain(settings, only=[EVENTS.name, FILES.name], spark=spark)
    assert [(one.after.count, one.parts, one.removed) for one in would] == [
        (one.after.count, one.parts, one.removed) for one in done
    ]
    assert done[0].parts > 0
    assert not orphan.exists()


def aged_copy(warehouse: Path, contract: TableContract, *, hours: float) -> Path:
    """A data file that no commit names, as killed jobs leave them."""
    model = Path(sorted(data_files(warehouse, contract))[0])
    orphan = model.with_name(f"part-{hours}-{model.name}")
    shutil.copy(model, orphan)
    os.utime(orphan, (time.time() - hours * 3600,) * 2)
    return orphan


def test_files_without_a_version_go_when_their_time_is_over(spark: SparkSession, days: Path) -> None:
    old, young = (aged_copy(days, DAYS, hours=hours) for hours in (200, 30))
    rows = numbers(days)
    assert vacuum(spark, days, DAYS, 168) == 1
    assert (old.exists(), young.exists()) == (False, True)
    assert vacuum(spark, days, DAYS, 24) == 1
    assert not young.exists()
    compact(spark, days, DAYS, MIB)
    assert vacuum(spark, days, DAYS, 24) == 0, "what was just put together can still be read"
    version = DeltaTable(tables.uri(days, DAYS)).version()
    vacuum(spark, days, DAYS, 0)
    assert on_disk(days, DAYS) == data_files(days, DAYS)
    assert DeltaTable(tables.uri(days, DAYS)).version() == version
    assert numbers(days) == rows


def test_temporary_files_of_killed_writers_go_when_they_are_old(tmp_path: Path) -> None:
    names = (".00000000000000000007.json.a-b.tmp", "..00000000000000000007.json.a-b.tmp.crc", ".7.a.TID1.tmp")
    for folder, hours in (("old", 30), ("new", 1)):
        (tmp_path / folder).mkdir()
        for name in (*names, "00000000000000000007.json", ".00000000000000000007.json.crc"):
            (tmp_path / folder / name).touch()
            os.utime(tmp_path / folder / name, (time.time() - hours * 3600,) * 2)
    limit = datetime.now(UTC) - timedelta(hours=24)
    assert remove_left_over(tmp_path, limit, dry_run=True) == len(names)
    assert remove_left_over(tmp_path, limit) == len(names)
    left = ["old/.00000000000000000007.json.crc", "old/00000000000000000007.json"]
    assert [str(file.relative_to(tmp_path)) for file in sorted(tmp_path.glob("old/*"))] == left
    assert len(list(tmp_path.glob("new/*"))) == 5
    assert remove_left_over(tmp_path / "nothing", limit) == 0


def test_commits_of_others_in_the_way_are_waited_for(
    spark: SparkSession, loaded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(loaded.parent)
    conflicts, wanted = iter(range(100)), 2
    real = maintenance._compact_some

    def sometimes(session: SparkSession, warehouse: Path, contract: TableContract, *rest: object) -> object:
        if contract is EVENTS and next(conflicts) < wanted:
            raise ConcurrentDeleteReadException("[DELTA_CONCURRENT_DELETE_READ] a file that was read is gone")
        return real(session, warehouse, contract, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(maintenance, "_compact_some", sometimes)
    monkeypatch.setattr(maintenance, "PAUSE_SECONDS", 0.0)
    only = [EVENTS.name, FILES.name]
    wanted = 100
    with pytest.raises(MaintenanceError, match="1 of 2 tables: events: others changed it"):
        maintain(settings, only=only, spark=spark)
    assert re.search(r"files: 3 files of \S+, put together to 1 file", capsys.readouterr().out), "others are done"
    assert len(data_files(loaded, FILES)) == 1
    conflicts, wanted = iter(range(100)), 2
    (done,) = maintain(settings, only=only[:1], spark=spark)
    assert done.parts > 0
    assert done.failure is None


def test_who_changes_rows_is_waited_for_and_who_adds_them_is_not(spark: SparkSession, days: Path, loaded: Path) -> None:
    with writing(loaded, EVENTS.name):
        assert compact(spark, loaded, EVENTS, MIB) > 0
    before = data_files(days, DAYS)
    with writing(days, DAYS.name):
        waiting = threading.Thread(target=compact, args=(spark, days, DAYS, MIB))
        waiting.start()
        waiting.join(5)
        assert waiting.is_alive()
        assert data_files(days, DAYS) == before
    waiting.join()
    assert len(data_files(days, DAYS)) == 4


def test_another_maintenance_and_a_name_that_is_none_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    with pytest.raises(ConfigurationError, match="No table `events`"):
        maintain(settings, spark=spark)
    tables.create(spark, Path(settings.warehouse), EVENTS)
    with pytest.raises(ConfigurationError, match="no table sessions yet"):
        maintain(settings, only=["sessions"], spark=spark)
    with only_maintenance(Path(settings.warehouse)), pytest.raises(ConfigurationError, match="Another maintain_tables"):
        maintain(settings, spark=spark)


# --- Beside the stream


def compact_all(spark: SparkSession, warehouse: Path, target_bytes: int) -> None:
    """What the job does to the files of each table that is there."""
    for table in TABLES:
        if tables.is_there(warehouse, table):
            compact(spark, warehouse, table, target_bytes)


@pytest.mark.slow
def test_beside_the_stream_and_by_it_the_truth_holds(spark: SparkSession, tmp_path: Path) -> None:
    """Both providers in some batches, after each of which the stream compacts.

    Beside it are the whole job, once there are rows, and all the time what the job does to files.
    """
    source, warehouse = tmp_path / "input", tmp_path / "warehouse"
    forms = Forms(odd_file_kinds=(), broken=0.1)
    ses = generate_ses(source, events=300, seed=5, forms=forms, events_per_file=15)
    sailthru = generate_sailthru(source, messages=30, seed=5, days=1, update_days=1)
    overrides = ("max_files_per_batch=12", "maintenance.every_batches=1", "maintenance.target_file_bytes=64KiB")
    settings = settings_for(tmp_path, *overrides)
    compacted_times = 0
    with ThreadPoolExecutor(1) as beside:
        stream = beside.submit(load, settings, spark=spark)
        while not stream.done():
            if tables.is_there(warehouse, FILES) and rows_of(warehouse, FILES, ["status"]):
                if compacted_times:
                    compact_all(spark, warehouse, settings.maintenance.target_file_bytes)
                else:
                    maintain(settings, spark=spark)
                compacted_times += 1
            wait([stream], timeout=3)
        stream.result()  # raises what ended it
    assert compacted_times > 1
    compact_all(spark, warehouse, settings.maintenance.target_file_bytes)
    assert_events_are_truth(warehouse, ses)
    assert_is_sailthru_truth(warehouse, sailthru)
    assert_files_are_truth(warehouse, source, [*ses.files, *sailthru.files], [*ses.quarantine, *sailthru.quarantine])
    before = everything(warehouse)
    assert load(settings, spark=spark) == []
    assert everything(warehouse) == before
    commits = DeltaTable(str(warehouse / "events")).history()
    assert Counter(commit["operation"] for commit in commits)["OPTIMIZE"] > 2


def test_a_stream_puts_files_together_every_so_many_batches(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = generate_ses(tmp_path / "input", events=90, seed=6, forms=Forms.plain(), events_per_file=30)
    settings = settings_for(tmp_path, "max_files_per_batch=1", "maintenance.every_batches=2")
    reports = load(settings, spark=spark)
    assert len(reports) == 3
    told = [line.split()[1] for line in capsys.readouterr().out.splitlines() if ", put together to " in line]
    assert Counter(told)["files:"] == 1
    assert len(data_files(tmp_path / "warehouse", FILES)) == 2, "one of two batches, one of the third"
    assert_is_truth(tmp_path / "warehouse", tmp_path / "input", truth)
