"""`stream_events` end to end: the truth, again and in any form, hostile input, other engines, the plan."""

import gzip
import json
import os
import random
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import sinks, tables
from jobs.generator import Forms, generate_sailthru, generate_ses
from jobs.locks import only_loader
from jobs.providers import PROVIDERS, Parser
from jobs.reading import read_text
from jobs.stream_events import QueryFailedError, load
from schemas.contract import Role
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quarantine import QUARANTINE
from tests.conftest import settings_for
from tests.tables import (
    assert_balanced,
    assert_events_are_truth,
    assert_is_truth,
    content,
    rows_of,
)
from transforms.events import repeated
from transforms.records import Limits, raw_lines
from transforms.ses import to_events

SETTLED = (Role.IDENTITY, Role.SETTLED)


def event(number: int, **mail: object) -> dict[str, object]:
    """A made-up Open."""
    return {
        "eventType": "Open",
        "mail": {
            "messageId": f"m{number}",
            "timestamp": "2025-10-25T18:00:00.000Z",
            "destination": ["a@B.example"],
        }
        | mail,
        "open": {"timestamp": f"2025-10-25T19:00:00.{number % 1000:03}Z", "ipAddress": "198.51.100.1"},
    }


@pytest.mark.slow
def test_the_truth_of_all_shapes_mixed(spark: SparkSession, tmp_path: Path) -> None:
    events = int(os.environ.get("TRUTH_EVENTS", "6000"))
    truth = generate_ses(tmp_path / "input", events=events, seed=7, events_per_file=max(400, events // 40))
    load(settings_for(tmp_path, "max_files_per_batch=40"), provider="ses", spark=spark)
    assert_is_truth(tmp_path / "warehouse", tmp_path / "input", truth)


@pytest.mark.slow
def test_the_same_events_in_other_files_and_order_are_duplicates(spark: SparkSession, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    generate_ses(plain, events=600, seed=5, forms=Forms.plain(), events_per_file=100)
    lines = [line for f in sorted(plain.rglob("*")) if f.is_file() for line in f.read_bytes().splitlines()]

    def warehouse(name: str, files: dict[str, bytes], per_batch: int = 100) -> Path:
        folder = tmp_path / name
        (folder / "input" / "ses").mkdir(parents=True)
        for file, data in files.items():
            (folder / "input" / "ses" / file).write_bytes(data)
        load(settings_for(folder, f"max_files_per_batch={per_batch}"), provider="ses", spark=spark)
        return folder / "warehouse"

    shuffled = random.Random(1).sample(lines, len(lines))
    reordered = [json.dumps(dict(reversed(json.loads(line).items()))).encode() for line in shuffled]
    wrapped = [
        json.dumps({"Type": "Notification", "Message": line.decode() + "\n"}).encode() for line in reversed(lines)
    ]
    once = content(warehouse("once", {"a.json": b"\n".join(lines)}), EVENTS, *SETTLED)
    many = warehouse(
        "many",
        {
            "1.gz": gzip.compress(b"\r\n".join(reordered[:300])),
            "2.json": b"".join(reordered[250:]),
            "3.json": b"\n".join(wrapped),
            "4.json": b"\n\n".join(shuffled),
        },
        per_batch=1,
    )
    assert content(many, EVENTS, *SETTLED) == once
    total = sum(row["events_duplicate"] for row in rows_of(many, FILES))
    assert total == 300 + len(reordered[250:]) + 2 * len(lines) - len(lines)
    assert_balanced(many)


def test_files_whose_names_look_like_globs_are_each_read_once(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "input" / "ses"
    folder.mkdir(parents=True)
    names = ["a[1].json", "{a} b.json", "what?", "*.gz", "back\\slash", "plain.json", "other.json"]
    for number, name in enumerate(names):
        line = json.dumps(event(number)).encode()
        (folder / name).write_bytes(gzip.compress(line) if name.endswith(".gz") else line)
    load(settings_for(tmp_path), provider="ses", spark=spark)
    found = {Path(row["filename"]).name: row for row in rows_of(tmp_path / "warehouse", FILES)}
    assert {name: (row["records"], row["events_new"], row["status"]) for name, row in found.items()} == dict.fromkeys(
        names, (1, 1, "ok")
    )
    assert_balanced(tmp_path / "warehouse")


def test_no_file_of_any_bytes_stops_the_stream(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "input" / "ses"
    (folder / "dt=1").mkdir(parents=True)
    noise = random.Random(2)
    good = [json.dumps(event(i)).encode() for i in range(200)]
    deep = b'{"eventType":"Open","mail":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}"
    mutated = []
    for line in good:
        broken = bytearray(line)
        for _ in range(3):
            broken[noise.randrange(len(broken))] = noise.randrange(256)
        mutated.append(bytes(broken).replace(b"\n", b" "))
    files = {
        "random": noise.randbytes(20_000),
        "mutated.json": b"\n".join(mutated),
        "deep.json": deep,
        "giant-line.json": b'{"eventType":"Open","x":"' + b"y" * 50_000_000 + b'"}\n' + good[0],
        "utf8.json": b'{"eventType":"\xff\xfe"}\n',
        "numbers.json": json.dumps(event(1, messageId=10**400, count=10**400)).encode()
        + b'\n{"eventType":"Open","mail":{"messageId":"n","timestamp":1e999},"open":{"x":1e400}}\n',
        "years.json": b"\n".join(
            json.dumps(event(1, timestamp=f"{year}-01-01T00:00:00Z")).encode() for year in ("0000", "99999")
        ),
        "cut.gz": gzip.compress(b"\n".join(good))[:-30],
        "gzip-named.json": gzip.compress(b"\n".join(good[:50])),
        "plain-named.gz": b"\n".join(good[50:100]),
        "empty.json": b"",
        ".hidden": good[0],
        "[1]{a} =é.json": good[101],
        "a:colon+100%25.json": good[102],
        "dt=1/part.json": good[103],
        "old.json": good[104],
        "replaced.json": good[105],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    os.utime(folder / "old.json", (1_577_836_800, 1_577_836_800))
    settings = settings_for(tmp_path)
    load(settings, provider="ses", spark=spark)
    (folder / "replaced.json").write_bytes(good[106] + b"\n" + good[107])
    load(settings, provider="ses", spark=spark)

    warehouse = tmp_path / "warehouse"
    ledger: dict[str, list[str]] = {}
    for row in rows_of(warehouse, FILES):
        ledger.setdefault(row["filename"].removeprefix(f"file://{folder}/"), []).append(row["status"])
    odd = {"cut.gz": "cut_off", "empty.json": "empty", ".hidden": "skipped"}
    assert ledger == {name: [odd.get(name, "ok")] * (2 if name == "replaced.json" else 1) for name in files}
    assert_balanced(warehouse)
    reasons = {
        name: {r["reason"] for r in rows_of(warehouse, QUARANTINE) if r["filename"].endswith(f"/{name}")}
        for name in ("deep.json", "giant-line.json", "utf8.json", "years.json", "cut.gz")
    }
    assert reasons == {
        "deep.json": {"not_json"},
        "giant-line.json": {"too_large"},
        "utf8.json": {"not_json"},
        "years.json": {"time_out_of_range"},
        "cut.gz": {"cut_off"},
    }
    found = {row["message_id"] for row in rows_of(warehouse, EVENTS)}
    assert {f"m{i}" for i in [0, *range(108)]} - found <= {"m105"} | {f"m{i}" for i in range(200)} - {"m0"}
    assert {"m0", "m101", "m102", "m103", "m104", "m105", "m106", "m107"} <= found


def test_a_file_that_vanishes_before_it_is_read_is_a_ledger_line(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "input" / "ses"
    folder.mkdir(parents=True)
    for name in ("stays.json", "goes.json"):
        (folder / name).write_bytes(json.dumps(event(1)).encode())
    monkeypatch.setattr(
        "jobs.batches.still_there", lambda files: [not file.uri.endswith("/goes.json") for file in files]
    )
    load(settings_for(tmp_path), provider="ses", spark=spark)
    rows = rows_of(tmp_path / "warehouse", FILES)
    assert {r["filename"].rsplit("/", 1)[1]: r["status"] for r in rows} == {
        "stays.json": "ok",
        "goes.json": "not_readable",
    }


def test_batches_are_bounded_by_files_and_by_bytes(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "input" / "ses"
    folder.mkdir(parents=True)
    line = json.dumps(event(1)).encode()
    for i in range(5):
        (folder / f"{i}.json").write_bytes(line)
    by_bytes = load(settings_for(tmp_path, f"max_bytes_per_batch={2 * len(line)}"), provider="ses", spark=spark)
    assert [report.files for report in by_bytes] == [2, 2, 1]
    assert [report.backlog for report in by_bytes] == [3, 1, 0]


def test_a_new_checkpoint_takes_nothing_twice(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "input" / "ses"
    folder.mkdir(parents=True)
    (folder / "a.json").write_bytes(json.dumps(event(1)).encode())
    load(settings_for(tmp_path), provider="ses", spark=spark)
    shutil.rmtree(tmp_path / "warehouse" / "_checkpoints")
    (folder / "b.json").write_bytes(json.dumps(event(2)).encode())
    load(settings_for(tmp_path), provider="ses", spark=spark)
    assert sorted(row["message_id"] for row in rows_of(tmp_path / "warehouse", EVENTS)) == ["m1", "m2"]
    assert len(rows_of(tmp_path / "warehouse", FILES)) == 2


def test_a_second_loader_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "input" / "ses").mkdir(parents=True)
    with (
        only_loader(tmp_path / "warehouse", "ses"),
        pytest.raises(ConfigurationError, match=r"Another loader of ses \(process \d+\)"),
    ):
        load(settings_for(tmp_path), provider="ses", spark=spark)


@pytest.mark.parametrize("available_now", [True, False])
def test_a_provider_whose_query_fails_leaves_the_other_alone(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available_now: bool
) -> None:
    ses = generate_ses(tmp_path / "input", events=60, seed=8, forms=Forms.plain(), events_per_file=30)
    generate_sailthru(tmp_path / "input", messages=10, seed=8, days=1, update_days=1)

    def fails(_: Settings) -> Parser:
        raise RuntimeError("no parser today")

    monkeypatch.setitem(PROVIDERS, "sailthru", replace(PROVIDERS["sailthru"], parser=fails))
    with pytest.raises(QueryFailedError, match=r"^The query `sailthru` failed: .*no parser today"):
        load(settings_for(tmp_path), spark=spark, available_now=available_now)
    if available_now:
        assert_events_are_truth(tmp_path / "warehouse", ses)
    load(settings_for(tmp_path), provider="ses", spark=spark)
    assert_events_are_truth(tmp_path / "warehouse", ses)


def test_every_engine_reads_every_table(spark: SparkSession, tmp_path: Path) -> None:
    generate_ses(tmp_path / "input", events=90, seed=9, forms=Forms(broken=0.3), events_per_file=30)
    load(settings_for(tmp_path), provider="ses", spark=spark)
    for contract in (EVENTS, QUARANTINE, FILES):
        path = str(tmp_path / "warehouse" / contract.name)
        arrow = DeltaTable(path).to_pyarrow_table()
        assert arrow.column_names == contract.columns
        assert polars.scan_delta(path).select(polars.len()).collect().item() == arrow.num_rows
        assert duckdb.connect().execute("select count(*) from arrow").fetchone() == (arrow.num_rows,)
        stored = spark.read.format("delta").load(path).schema
        comments = {f.name: f.metadata.get("comment") for f in stored.fields}
        assert comments == {f.name: f.metadata["comment"] for f in contract.schema.fields}


def test_the_plan_of_ordinary_files_is_native_and_parses_each_text_once(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    limits = Limits(
        max_record_bytes=1 << 20,
        earliest=datetime(2000, 1, 1, tzinfo=UTC),
        latest=datetime(2030, 1, 1, tzinfo=UTC),
    )
    rows = to_events(raw_lines(read_text(spark, [f"file://{tmp_path}/a.json"])), limits)
    plan = rows._jdf.queryExecution().executedPlan().toString()
    assert "Python" not in plan
    # The line, a piece of a line, the list of a Records dump and an element of it, the content of a wrapper, a line
    # that is no object, the fields of a record of unknown class, and a body that is itself a text.
    assert plan.count("from_json(") == 8


@pytest.mark.slow
def test_a_batch_opens_no_more_files_of_a_large_table_than_of_a_small_one(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5,000 events, one of them 400 days late, into 100,000 rows and into 1,000,000 of ten times as many days."""
    opened: list[int] = []

    def counting(rows: DataFrame, known: DataFrame) -> DataFrame:
        opened.append(len(known.inputFiles()))
        return repeated(rows, known)

    monkeypatch.setattr(sinks, "repeated", counting)
    last = datetime(2025, 10, 25, 19, 50, tzinfo=UTC)
    for rows in (100_000, 1_000_000):
        settings = settings_for(tmp_path / str(rows))
        warehouse, folder = Path(settings.warehouse), Path(settings.input) / "ses"
        folder.mkdir(parents=True)
        new = [event(i % 50, messageId=f"new-{i}") for i in range(4999)]
        late = json.dumps(event(99)).replace("2025-10-25T", "2024-09-20T")
        (folder / "a.json").write_text("\n".join([*map(json.dumps, new), late]))
        tables.create(spark, warehouse, EVENTS)
        number = F.col("id") % (rows - 5000)  # a file's worth of rows is 400 days older
        days = F.when(F.col("id") < rows - 5000, F.lit(0)).otherwise(F.lit(400))
        seconds = F.lit(int(last.timestamp())) - number * F.lit(1.7) - days * 86_400
        old = spark.range(0, rows, 1, rows // 5000).select(
            F.format_string("%032x", "id").alias("event_id"),
            F.timestamp_seconds(seconds).alias("event_time"),
            F.to_date(F.timestamp_seconds(seconds)).alias("event_date"),
            F.lit(last).alias("etl_time"),
        )
        texts = [f.name for f in EVENTS.stored_schema.fields if not f.nullable and f.name not in old.columns]
        old = old.select("*", *[F.lit("old").alias(name) for name in texts])
        absent = [f for f in EVENTS.stored_schema.fields if f.name not in old.columns]
        old = old.select("*", *[F.lit(None).cast(f.dataType).alias(f.name) for f in absent])
        old.select(*EVENTS.columns).write.format("delta").mode("append").save(tables.uri(warehouse, EVENTS))
        reports = load(settings, provider="ses", spark=spark)
        assert [(r.records, r.new) for r in reports] == [(5000, 5000)]
    assert 2 <= opened[1] <= opened[0] < 10
