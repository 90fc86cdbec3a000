"""What is new of a Delta table between two versions, against what delta-rs lists of both."""

import os
import shutil
import time
from datetime import date
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
from delta.tables import DeltaTable as SparkTable
from deltalake import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DateType, IntegerType, StructType

from jobs import tables
from schemas.contract import TableContract, column

DAYS = TableContract(
    name="days",
    grain="one number of a day",
    key=("number",),
    written_by=(),
    schema=StructType(
        [column("day", DateType(), comment="A day, or none."), column("number", IntegerType(), comment="A number.")]
    ),
    partitioned_by=("day",),
    statistics=("number",),
)


@pytest.fixture(scope="module")
def warehouse(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a table whose files were added, rewritten, removed and brought back."""
    warehouse = tmp_path_factory.mktemp("tables")
    tables.create(spark, warehouse, DAYS)
    path = tables.uri(warehouse, DAYS)
    for rows in ([(date(2025, 10, 26), 1), (None, 2)], [(date(2025, 10, 26), 3), (date(2025, 10, 27), 4)]):
        spark.createDataFrame(rows, DAYS.stored_schema).coalesce(1).write.format("delta").mode("append").save(path)
    table = SparkTable.forPath(spark, path)
    table.delete("number in (1, 4)")
    table.update("day is null", {"number": "5"})
    table.optimize().executeCompaction()
    table.restoreToVersion(2)
    table.delete("day is not null")
    return warehouse


def files_of(warehouse: Path, version: int) -> set[str]:
    """The data files of a version, relative to the table."""
    path = tables.uri(warehouse, DAYS)
    return {uri.split(f"{path}/")[1] for uri in DeltaTable(path, version=version).file_uris()}


def length(warehouse: Path, files: set[str]) -> int:
    return sum((warehouse / DAYS.name / file).stat().st_size for file in files)


def names(files: set[str]) -> set[str]:
    return {file.rpartition("/")[2] for file in files}


def test_files_and_days_that_two_versions_do_not_share(warehouse: Path) -> None:
    newest = DeltaTable(tables.uri(warehouse, DAYS)).version()
    files = [files_of(warehouse, version) for version in range(newest + 1)]
    days = {"2025-10-26": date(2025, 10, 26), "2025-10-27": date(2025, 10, 27), "__HIVE_DEFAULT_PARTITION__": None}
    for before, now in combinations_with_replacement(range(newest + 1), 2):
        found = tables.difference(warehouse, DAYS, before, now)
        assert found
        assert found.added == names(files[now] - files[before]), (before, now)
        assert found.removed == names(files[before] - files[now]), (before, now)
        folders = {file.split("/")[0] for file in files[now] ^ files[before]}
        assert found.days == {days[folder.partition("=")[2]] for folder in folders}, (before, now)
        assert found.added_bytes == length(warehouse, files[now] - files[before]), (before, now)
    assert len(files) > 6


def test_the_length_of_a_version_with_and_without_its_checksum_file(
    spark: SparkSession, warehouse: Path, tmp_path: Path
) -> None:
    history = DeltaTable(tables.uri(warehouse, DAYS)).history()
    newest, (restored,) = len(history) - 1, [of["version"] for of in history if of["operation"] == "RESTORE"]
    for version in range(restored):
        expected = length(warehouse, files_of(warehouse, version))
        assert tables.size_in_bytes(spark, warehouse, DAYS, version) == expected, version
    shutil.copytree(warehouse / DAYS.name, tmp_path / DAYS.name)
    for checksum in (tmp_path / DAYS.name / "_delta_log").glob("*.crc"):
        checksum.unlink()
    assert tables.size_in_bytes(spark, tmp_path, DAYS, newest) == length(warehouse, files_of(warehouse, newest)) > 0


def test_what_was_only_put_into_other_files_is_no_difference(spark: SparkSession, tmp_path: Path) -> None:
    first, second = date(2025, 10, 26), date(2025, 10, 27)
    tables.create(spark, tmp_path, DAYS)
    path = tables.uri(tmp_path, DAYS)

    def add(*rows: tuple[date, int]) -> None:
        frame = spark.createDataFrame(list(rows), DAYS.stored_schema).coalesce(1)
        frame.write.format("delta").mode("append").save(path)

    for number in range(2):
        add((first, number), (second, number))
    SparkTable.forPath(spark, path).optimize().executeCompaction()
    assert tables.difference(tmp_path, DAYS, 2, 3) == tables.Difference(frozenset(), frozenset(), frozenset())
    assert tables.has_same_rows(tmp_path, DAYS, 2, 3)
    assert tables.has_same_rows(tmp_path, DAYS, 3, 3)
    add((first, 2))
    SparkTable.forPath(spark, path).optimize().executeCompaction()
    assert not tables.has_same_rows(tmp_path, DAYS, 2, 5)
    found = tables.difference(tmp_path, DAYS, 2, 5)
    assert found
    files = [{file for file in files_of(tmp_path, version) if str(first) in file} for version in (2, 5)]
    assert found == tables.Difference(frozenset({first}), frozenset(names(files[1])), frozenset(names(files[0])))
    gone = next(iter(files_of(tmp_path, 2) - files[0]))
    (tmp_path / DAYS.name / gone).unlink()
    assert tables.difference(tmp_path, DAYS, 2, 5) is None, "the earlier version must be there as a whole"
    (tmp_path / DAYS.name / "_delta_log" / f"{5:020}.json").unlink()
    assert not tables.has_same_rows(tmp_path, DAYS, 3, 5)


def test_a_commit_says_how_many_rows_it_wrote_in_place_of_all(spark: SparkSession, tmp_path: Path) -> None:
    first, second = date(2025, 10, 26), date(2025, 10, 27)

    def rows(*of: tuple[date, int]) -> DataFrame:
        return spark.createDataFrame(list(of), DAYS.stored_schema)

    tables.replace(spark, tmp_path, rows((first, 1), (second, 2)), DAYS, "two rows into a new table")
    tables.replace(spark, tmp_path, rows((first, 3), (first, 4), (second, 5)), DAYS, "three in place of two")
    tables.replace_parts(spark, tmp_path, rows((second, 6)), DAYS, [second], "one in place of one of them")
    rows((first, 7)).write.format("delta").mode("append").save(tables.uri(tmp_path, DAYS))
    tables.replace(spark, tmp_path, rows(), DAYS, "none")
    tables.replace(spark, tmp_path, rows(), DAYS, "none in place of none")
    written = [tables.rows_written(tmp_path, DAYS, version) for version in range(7)]
    assert written == [None, 2, 3, None, None, 0, None]


def test_a_version_of_long_ago_can_be_read(spark: SparkSession, tmp_path: Path) -> None:
    """Where its files are there: summaries may be brought up to date from one that is older than a week."""
    tables.create(spark, tmp_path, DAYS)
    for number in range(2):
        rows = spark.createDataFrame([(date(2025, 10, 26), number)], DAYS.stored_schema)
        rows.write.format("delta").mode("append").save(tables.uri(tmp_path, DAYS))
    shutil.copytree(tmp_path / DAYS.name, tmp_path / "old" / DAYS.name)  # which Spark has not seen yet
    for commit in (tmp_path / "old" / DAYS.name / "_delta_log").glob("*[01].json"):
        os.utime(commit, (time.time() - 60 * 24 * 3600,) * 2)
    assert tables.read(spark, tmp_path / "old", DAYS, 1).count() == 1


def test_a_version_whose_log_or_files_are_gone_has_no_difference(warehouse: Path, tmp_path: Path) -> None:
    shutil.copytree(warehouse, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / DAYS.name
    newest = DeltaTable(str(folder)).version()
    assert tables.difference(tmp_path, DAYS, newest, newest - 1) is None
    gone = sorted(files_of(tmp_path, 2) - files_of(tmp_path, newest))[0]
    (folder / gone).unlink()
    assert tables.difference(tmp_path, DAYS, 2, newest) is None
    assert tables.difference(tmp_path, DAYS, newest, newest)
    assert tables.difference(tmp_path, DAYS, 0, newest)  # that has no files
    (folder / "_delta_log" / f"{1:020}.json").unlink()
    assert tables.difference(tmp_path, DAYS, 0, newest) is None
    assert tables.difference(tmp_path, DAYS, 1, newest) is None


def test_without_the_checkpoint_that_it_is_based_on_a_version_cannot_be_read(
    spark: SparkSession, warehouse: Path, tmp_path: Path
) -> None:
    """As Delta's clean-up may leave it: the commits of a version and of those after it, and a newer checkpoint."""
    shutil.copytree(warehouse, tmp_path, dirs_exist_ok=True)
    log = tmp_path / DAYS.name / "_delta_log"
    newest = DeltaTable(str(log.parent)).version()
    for version in (2, newest):
        DeltaTable(str(log.parent), version=version).create_checkpoint()
    for version in (0, 1):
        (log / f"{version:020}.json").unlink()
    assert tables.difference(tmp_path, DAYS, 1, newest) is None
    for before in (2, 3):
        assert tables.difference(tmp_path, DAYS, before, newest)
        assert tables.read(spark, tmp_path, DAYS, before).count()
    for file in log.glob(f"{2:020}.checkpoint*"):
        file.unlink()
    assert tables.difference(tmp_path, DAYS, 3, newest) is None
    with pytest.raises(AnalysisException):
        tables.read(spark, tmp_path, DAYS, 3).count()


def test_bounds_are_true_of_all_rows_of_the_ids_and_of_few_others(spark: SparkSession) -> None:
    march, june, of_blast = "0102019581e2c000", "0102019726b04000", "12345678"
    wanted = [f"{march}-a", f"{march}-c", f"{of_blast}.1", f"{of_blast}.30"]
    near, far = f"{march}-b", [f"{june}-a", f"{of_blast[:-1]}9.1", "68fb0c"]
    rows = spark.createDataFrame([(name,) for name in (*wanted, near, *far)], "message_id string")

    def found(*ids: str) -> set[str]:
        given = spark.createDataFrame([(name,) for name in ids], "message_id string")
        return {row.message_id for row in rows.where(tables.bounds(given)).collect()}

    assert found(*wanted) == {*wanted, near}
    assert found() == set()
    assert found(*[f"{number:09}" for number in range(99)]) == {*wanted, near, *far}  # too many to be worth it
