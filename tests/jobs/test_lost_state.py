"""Checkpoints, tables, disks and clocks that are not as the stream left them: right tables, or one line that helps."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import IntegerType, StructField, StructType

from conf.errors import ConfigurationError, PipelineError
from conf.settings import Settings
from jobs import batches, stream_events, tables
from jobs.__main__ import main
from jobs.checkpoints import newest_number
from jobs.failures import of_machine
from jobs.generator import Forms, generate_sailthru, generate_ses
from jobs.stream_events import QueryFailedError, load
from schemas.contract import TableContract
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quarantine import QUARANTINE
from tests.conftest import settings_for
from tests.jobs.test_stream_events import event
from tests.tables import assert_balanced, assert_events_are_truth, assert_is_truth, everything, rows_of

FORMS = Forms(odd_file_kinds=(), broken=0.2)


@pytest.fixture(scope="module")
def loaded(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `input` and `warehouse`: SES files in several batches, Sailthru's in one."""
    folder = tmp_path_factory.mktemp("loaded")
    generate_ses(folder / "input", events=60, seed=41, events_per_file=40, forms=FORMS)
    generate_sailthru(folder / "input", messages=20, seed=41, days=1, update_days=0)
    load(settings_for(folder, "max_files_per_batch=2"), provider="ses", spark=spark)
    load(settings_for(folder), provider="sailthru", spark=spark)
    return folder


@pytest.fixture
def again(loaded: Path, tmp_path: Path) -> Path:
    """A folder with a copy of `warehouse` to damage."""
    shutil.copytree(loaded / "warehouse", tmp_path / "warehouse")
    return tmp_path


def refused(folder: Path, loaded: Path, spark: SparkSession) -> str:
    """The one line with which a start is refused, tables untouched."""
    before = everything(folder / "warehouse")
    with pytest.raises(ConfigurationError) as refusal:
        load(settings_for(folder, source=loaded / "input"), spark=spark)
    text = str(refusal.value)
    assert "\n" not in text
    assert everything(folder / "warehouse") == before
    return text


@contextmanager
def fails_before(step: str) -> Iterator[None]:
    """Let a batch fail where it would call `step`."""

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError("pulled the plug")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, step, fails)
        yield


@pytest.mark.parametrize("is_gone", [False, True], ids=["files-there", "a-file-gone"])
def test_a_checkpoint_lost_in_mid_batch_neither_loses_nor_doubles(
    spark: SparkSession, tmp_path: Path, is_gone: bool
) -> None:
    truth = generate_ses(tmp_path / "input", events=200, seed=42, events_per_file=50, forms=FORMS)
    settings = settings_for(tmp_path)
    warehouse = tmp_path / "warehouse"
    with fails_before("to_ledger"), pytest.raises(QueryFailedError, match="pulled the plug"):
        load(settings, provider="ses", spark=spark)
    quarantined = len(rows_of(warehouse, QUARANTINE, ["reason"]))
    assert quarantined == len(truth.quarantine)
    assert not rows_of(warehouse, FILES, ["status"])
    shutil.rmtree(warehouse / "_checkpoints")
    if is_gone:
        next(
            path for path in sorted((tmp_path / "input").rglob("*")) if path.is_file() and path.stat().st_size
        ).unlink()

    load(settings, provider="ses", spark=spark)
    assert_events_are_truth(warehouse, truth)
    assert_balanced(warehouse)
    assert len(rows_of(warehouse, QUARANTINE, ["reason"])) == quarantined
    lost = [row for row in rows_of(warehouse, FILES) if row["reason"] and "checkpoint was lost" in row["reason"]]
    assert sum(row["events_new"] for row in lost) == len(truth.events)
    before = everything(warehouse)
    shutil.rmtree(warehouse / "_checkpoints")
    load(settings, provider="ses", spark=spark)
    assert everything(warehouse) == before


def test_a_file_gone_before_its_batch_is_repeated_keeps_the_events_it_brought(
    spark: SparkSession, tmp_path: Path
) -> None:
    """The other file of the batch holds one of them too: there it is a duplicate now as it was before."""
    folder = tmp_path / "input" / "ses"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text("\n".join(json.dumps(event(i)) for i in (1, 2)))
    (folder / "b.json").write_text("\n".join(json.dumps(event(i)) for i in (2, 3)))
    with fails_before("to_ledger"), pytest.raises(QueryFailedError, match="pulled the plug"):
        load(settings_for(tmp_path), provider="ses", spark=spark)
    (folder / "a.json").unlink()
    load(settings_for(tmp_path), provider="ses", spark=spark)
    ledger = {row["filename"][-6:]: row for row in rows_of(tmp_path / "warehouse", FILES)}
    assert {name: (row["events_new"], row["events_duplicate"]) for name, row in ledger.items()} == {
        "a.json": (2, 0),
        "b.json": (1, 1),
    }
    assert_balanced(tmp_path / "warehouse")


def other_warehouse(folder: Path, loaded: Path, spark: SparkSession) -> None:
    """Its own checkpoint put in place of this one's, more batches behind it."""
    (folder / "other" / "input" / "ses").mkdir(parents=True)
    for i in range(2):
        (folder / "other" / "input" / "ses" / f"{i}.json").write_text(json.dumps(event(i)))
        load(settings_for(folder / "other"), provider="ses", spark=spark)
    checkpoint = newest(folder, "offsets").parents[1]
    shutil.rmtree(checkpoint)
    shutil.copytree(folder / "other" / "warehouse" / "_checkpoints" / "ses", checkpoint)


def newest(folder: Path, name: str) -> Path:
    """A file of the checkpoint; of a log its newest."""
    file = folder / "warehouse" / "_checkpoints" / "ses" / name
    return file / str(newest_number(file)) if file.is_dir() else file


def cut(name: str) -> Callable[..., None]:
    """A file of the checkpoint that was written in part."""

    def damage(folder: Path, *_: Any) -> None:
        file = newest(folder, name)
        file.write_text(file.read_text()[: file.stat().st_size // 2])
        (file.parent / f".{file.name}.crc").unlink(missing_ok=True)

    return damage


def emptied(name: str) -> Callable[..., None]:
    """A file of the checkpoint of which only the name was written."""

    def damage(folder: Path, *_: Any) -> None:
        newest(folder, name).write_text("")

    return damage


def rolled_back(folder: Path, *_: Any) -> None:
    """A copy of the checkpoint from before its last batch."""
    for log in ("offsets", "commits"):
        newest(folder, log).unlink()


def without_metadata(folder: Path, *_: Any) -> None:
    """Spark would give it another id, and begin anew in the middle."""
    (folder / "warehouse" / "_checkpoints" / "ses" / "metadata").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(other_warehouse, "does not know (it is another warehouse's", id="another-warehouse"),
        pytest.param(cut("offsets"), "damaged file offsets/", id="half-an-offset"),
        pytest.param(emptied("offsets"), "damaged file offsets/", id="empty-offset"),
        pytest.param(emptied("commits"), "damaged file commits/", id="empty-commit"),
        pytest.param(cut("metadata"), "damaged file metadata", id="half-the-metadata"),
        pytest.param(without_metadata, "lacks its file metadata", id="no-metadata"),
        pytest.param(rolled_back, "has lost batch ", id="older-copy"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_may_be_removed(
    spark: SparkSession, again: Path, loaded: Path, damage: Callable[..., None], words: str
) -> None:
    damage(again, loaded, spark)
    text = refused(again, loaded, spark)
    assert words in text
    folder = re.search(r"Remove that folder", text) and re.search(r"The checkpoint (\S+)", text)
    assert folder
    before = everything(again / "warehouse")
    shutil.rmtree(folder[1])
    load(settings_for(again, source=loaded / "input"), spark=spark)
    assert everything(again / "warehouse") == before


def test_a_checkpoint_whose_tables_are_all_gone_is_refused_though_new_ones_are_made(
    spark: SparkSession, again: Path, loaded: Path
) -> None:
    for table in (again / "warehouse").glob("[a-z]*"):
        shutil.rmtree(table)
    for _ in range(2):  # when they are made, and when they are there
        with pytest.raises(ConfigurationError, match=r"does not know .* Remove that folder"):
            load(settings_for(again, source=loaded / "input"), spark=spark)
    assert rows_of(again / "warehouse", EVENTS) == rows_of(again / "warehouse", FILES) == []


def test_what_killed_writers_leave_behind_is_never_read(spark: SparkSession, again: Path, loaded: Path) -> None:
    warehouse = again / "warehouse"
    before = everything(warehouse)
    data = next(p for p in (warehouse / "events").rglob("*.parquet") if "_delta_log" not in p.parts)
    shutil.copy(data, data.with_name("part-00000-left-over.snappy.parquet"))
    (warehouse / "events" / "_delta_log" / ".00000000000000000099.json.tmp").write_text("{")
    checkpoint = warehouse / "_checkpoints" / "ses"
    (checkpoint / "offsets" / ".3.0c0ffee0-0000.tmp").write_text("v1\n{")
    (checkpoint / ".metadata.0c0ffee0-0000.tmp").write_text("{")
    load(settings_for(again, source=loaded / "input"), spark=spark)
    assert everything(warehouse) == before


@pytest.mark.parametrize("name", ["events", "quarantine", "files", "profiles", "profile_versions"])
def test_a_table_that_is_gone_is_not_made_anew(spark: SparkSession, again: Path, loaded: Path, name: str) -> None:
    shutil.rmtree(again / "warehouse" / name)
    text = refused(again, loaded, spark)
    assert f"lacks the table `{name}`" in text
    assert "--warehouse" in text
    assert not (again / "warehouse" / name).exists()


def test_a_table_that_was_begun_and_never_committed_is_made(spark: SparkSession, tmp_path: Path) -> None:
    log = tmp_path / "warehouse" / "files" / "_delta_log"
    log.mkdir(parents=True)
    (log / ".00000000000000000000.json.0c0ffee0.tmp").write_text("{")
    tables.create(spark, tmp_path / "warehouse", FILES)
    assert rows_of(tmp_path / "warehouse", FILES) == []


def older(contract: TableContract, *fields: StructField, without: tuple[str, ...] = ()) -> TableContract:
    """The contract with other fields of these names, or without some."""
    others = {field.name: field for field in fields}
    kept = [others.get(f.name, f) for f in contract.schema.fields if f.name not in without]
    return replace(contract, schema=StructType(kept))


def test_columns_that_an_older_table_lacks_are_added_in_place(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "input" / "ses").mkdir(parents=True)
    (tmp_path / "input" / "ses" / "a.json").write_text(json.dumps(event(1)))
    warehouse = tmp_path / "warehouse"
    tables.create(spark, warehouse, older(EVENTS, without=("ip_address", "tags")))
    load(settings_for(tmp_path), provider="ses", spark=spark)
    (row,) = rows_of(warehouse, EVENTS)
    assert row["message_id"] == "m1"
    stored = {f.name: f.metadata for f in tables.read(spark, warehouse, EVENTS).schema.fields}
    assert {name: stored[name]["comment"] for name in ("ip_address", "tags")} == {
        f.name: f.metadata["comment"] for f in EVENTS.schema.fields if f.name in ("ip_address", "tags")
    }
    version = tables.version(spark, warehouse, EVENTS)
    tables.create(spark, warehouse, EVENTS)
    assert tables.version(spark, warehouse, EVENTS) == version


@pytest.mark.parametrize(
    ("made_by", "words"),
    [
        pytest.param(
            older(FILES, StructField("records", IntegerType(), True, {"comment": "", "role": "settled"})),
            "has another type of records",
            id="another-type",
        ),
        pytest.param(older(FILES, without=("events_new",)), "lacks events_new, which cannot be NULL", id="not-null"),
        pytest.param(replace(FILES, partitioned_by=("provider",)), "is partitioned by provider", id="partitions"),
    ],
)
def test_a_table_of_another_shape_is_refused_with_the_command_to_run(
    spark: SparkSession, tmp_path: Path, made_by: TableContract, words: str
) -> None:
    (tmp_path / "input" / "ses").mkdir(parents=True)
    tables.create(spark, tmp_path / "warehouse", made_by)
    with pytest.raises(tables.ContractError) as refusal:
        load(settings_for(tmp_path), provider="ses", spark=spark)
    assert words in str(refusal.value)
    assert "./spark-submit.sh stream_events --available-now --warehouse <new folder>" in str(refusal.value)


def test_a_clock_set_back_is_refused(
    spark: SparkSession, again: Path, loaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = max(row["etl_time"] for row in rows_of(again / "warehouse", FILES, ["etl_time"]))

    def says(at: datetime) -> None:
        monkeypatch.setattr(stream_events, "_now", lambda: at)

    says(newest - timedelta(minutes=50))
    load(settings_for(again, source=loaded / "input"), spark=spark)
    says(newest - timedelta(hours=2))
    assert "raise clock_tolerance_hours" in refused(again, loaded, spark)
    load(settings_for(again, "clock_tolerance_hours=3", source=loaded / "input"), spark=spark)


def test_a_limit_on_the_quarantined_share_ends_the_query_after_its_batch(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "input" / "ses"
    folder.mkdir(parents=True)
    good = [json.dumps(event(i)) for i in range(6)]
    (folder / "1.json").write_text("\n".join([*good, "{}", "garbage", "more garbage"]))
    (folder / "2.json").write_text(json.dumps(event(9)))
    os.utime(folder / "1.json", (1e9, 1e9))
    limit = ("quarantine_limit.share=0.3", "max_files_per_batch=1")
    for _ in range(2):  # it does not go on by being started again
        with pytest.raises(QueryFailedError) as stopped:
            load(settings_for(tmp_path, *limit, "quarantine_limit.min_records=5"), provider="ses", spark=spark)
        assert str(stopped.value).startswith(
            "The query `ses` failed: 3 of 9 records of batch 0 were quarantined, 33.3% where quarantine_limit.share "
            "allows 30.0%; most often as not_json (2)."
        )
        assert len(rows_of(tmp_path / "warehouse", EVENTS)) == 6
        assert len(rows_of(tmp_path / "warehouse", QUARANTINE)) == 3
        assert_balanced(tmp_path / "warehouse")
    load(settings_for(tmp_path, *limit), provider="ses", spark=spark)  # fewer than 100 records are not held to it
    assert len(rows_of(tmp_path / "warehouse", EVENTS)) == 7


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Gives a folder on a file system of its own, of so many KiB; called again, it is made larger."""
    folder = tmp_path / "disk"

    def sized(kib: int) -> Path:
        folder.mkdir(exist_ok=True)
        options = f"size={kib}k" + (",remount" if folder.is_mount() else "")
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
        )
        if made.returncode:
            pytest.skip(f"no right to mount a small disk here: {made.stderr.strip()}")
        return folder

    yield sized
    if folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_stream_with_its_reason_and_room_mends_it(
    spark: SparkSession, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    """The disk grows a little from start to start, so that each step of a batch is the first to find it full."""
    truth = generate_ses(tmp_path / "input", events=300, seed=43, events_per_file=100, forms=FORMS)
    settings = replace_warehouse(tmp_path, small_disk(40))
    reasons: list[str] = []
    for step in range(40):  # what a failed attempt wrote stays until the table is cleaned up
        small_disk(int(40 * 1.3**step))
        if not (reason := failure(settings, spark)):
            break
        reasons.append(reason)
    assert all("No space left on device" in reason and "\n" not in reason for reason in reasons), reasons
    assert len(reasons) > 5
    assert any("The query `ses` failed" in text for text in reasons)
    assert_is_truth(Path(settings.warehouse), tmp_path / "input", truth)


def test_a_warehouse_that_may_not_be_written_is_one_line_and_mended_by_the_right_to(
    spark: SparkSession, tmp_path: Path, small_disk: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace_warehouse(tmp_path, disk := small_disk(20_000))
    truth = generate_ses(tmp_path / "input", events=60, seed=44, events_per_file=30, forms=FORMS)
    load(settings, provider="ses", spark=spark)
    more = generate_ses(tmp_path / "more", events=30, seed=45, forms=FORMS)
    shutil.copytree(tmp_path / "more" / "ses", tmp_path / "input" / "ses" / "more")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    capsys.readouterr()
    options = ["--available-now", "--provider", "ses", "--input", settings.input, "--warehouse", settings.warehouse]
    assert main(["stream_events", *options]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("stream_events failed: ")
    assert "Read-only file system" in told
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    load(settings, provider="ses", spark=spark)
    assert_events_are_truth(Path(settings.warehouse), replace(truth, events=truth.events + more.events))
    assert_balanced(Path(settings.warehouse))


def failure(settings: Settings, spark: SparkSession) -> str:
    """With which words a load fails; none if it does not."""
    try:
        load(settings, provider="ses", spark=spark)
    except PipelineError as problem:
        return str(problem)
    except Exception as problem:  # before the query began: `main` tells it so
        return str(of_machine(problem) or repr(problem))
    return ""


def replace_warehouse(folder: Path, warehouse: Path) -> Settings:
    """Settings of a test whose warehouse lies elsewhere."""
    return settings_for(folder).model_copy(update={"warehouse": f"{warehouse}/warehouse"})
