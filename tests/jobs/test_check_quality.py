"""Whole warehouses pass every check of severity error, broken ones do not; freshness is what DuckDB makes of them."""

import json
import shutil
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import tables
from jobs.__main__ import main
from jobs.check_quality import QualityError, check
from schemas.catalog import TABLES
from schemas.contract import TableContract
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quality import QUALITY
from tests.conftest import settings_for
from tests.jobs.conftest import Built
from tests.tables import AS_TESTED, rows_of, same_bag


def test_a_whole_warehouse_passes_every_check_of_severity_error(built: Built) -> None:
    found = {(r["table_name"], r["check_kind"], r["column_names"]): r for r in built.rows("quality")}
    assert [key for key, row in found.items() if row["severity"] == "error" and not row["passed"]] == []
    unique = {name: row["rows_checked"] for (name, kind, _), row in found.items() if kind == "unique"}
    stored = [table for table in TABLES if table.written_by and table is not QUALITY]
    assert unique == {table.name: DeltaTable(str(built.warehouse / table.name)).count() for table in stored}
    kinds = Counter(kind for _, kind, _ in found)
    promised = [f for table in AS_TESTED if table is not QUALITY for f in table.schema.fields if not f.nullable]
    assert kinds["not_null"] == len(promised)
    assert set(kinds) == {"not_null", "unique", "accepted_values", "range", "relationship", "ledger_balance"}


def test_what_has_never_come_warns_with_the_keys_that_are_named(built: Built) -> None:
    found = {
        (r["table_name"], r["column_names"]): r for r in built.rows("quality") if r["check_kind"] == "relationship"
    }
    messages = {key[2] for key in built.truth.messages}
    vain = [r.message_id for r in built.requests.requests if r.message_id not in messages]
    of_requests = found["requests", "message_id"]
    assert vain
    assert (of_requests["severity"], of_requests["rows_failing"]) == ("warning", len(vain))
    assert of_requests["sample_keys"] == [f'{{"message_id":"{name}"}}' for name in sorted(set(vain))[:5]]
    profiles = {(row["client_id"], row["id"]) for row in rows_of(built.warehouse, _table("profiles"))}
    stated = [(r["client_id"], r["profile_id"]) for r in rows_of(built.warehouse, _table("sailthru_messages"))]
    of_profiles = found["sailthru_messages", "client_id, profile_id"]
    assert of_profiles["rows_checked"] == sum(profile is not None for _, profile in stated)
    assert of_profiles["rows_failing"] == sum(key[1] is not None and key not in profiles for key in stated)


def _table(name: str) -> TableContract:
    return next(table for table in TABLES if table.name == name)


def _once_more(events: DataFrame) -> DataFrame:
    return events.orderBy("event_id").limit(1)


def _unbalanced(files: DataFrame) -> DataFrame:
    whole = files.where((F.col("events") > 0) & (F.col("quarantined") == 0)).orderBy("filename").limit(1)
    none = F.lit(0).cast("bigint")
    return whole.withColumns({"filename": F.lit("file:///odd"), "events_new": none, "events_duplicate": none})


def test_a_broken_warehouse_fails_by_name(
    built: Built, spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event is there twice, and a line of the ledger does not balance."""
    shutil.copytree(built.warehouse, tmp_path / "warehouse")
    settings = settings_for(tmp_path, "progress=json", source=Path(built.settings.input))
    added = {}
    for contract, broken in ((EVENTS, _once_more), (FILES, _unbalanced)):
        rows = broken(tables.read(spark, tmp_path / "warehouse", contract)).localCheckpoint()
        (added[contract.name],) = rows.collect()
        rows.write.format("delta").mode("append").save(tables.uri(tmp_path / "warehouse", contract))
    with pytest.raises(QualityError) as raised:
        check(settings, spark=spark)
    assert raised.value.exit_code == 1
    said = str(raised.value)
    assert said.count("\n") == 0
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    told = {
        f"{r['table_name']} {r['check_kind']} ({r['column_names']})": r["sample_keys"]
        for r in lines
        if r.get("severity") == "error"
    }
    assert said.split("failed: ")[1].split(". The table")[0].split("; ") == list(told)
    expected = {
        "events unique (event_id)": added["events"].event_id,
        "files ledger_balance (events_new)": added["events"].filename,
        "files ledger_balance (events, events_new, events_duplicate)": added["files"].filename,
    }
    assert told.keys() == expected.keys()
    for check_name, key in expected.items():
        (sample,) = told[check_name]
        assert key in sample


def test_a_person_reads_what_fails_and_an_example_within_80_columns(
    built: Built, spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(built.warehouse, tmp_path / "warehouse")
    check(settings_for(tmp_path, source=Path(built.settings.input)), spark=spark)
    said = capsys.readouterr().out
    assert "warning: requests" in said
    assert "named in events (message_id)" in said
    assert "error:" not in said
    assert max(map(len, said.splitlines())) <= 80
    stored = rows_of(tmp_path / "warehouse", QUALITY)
    assert f"{sum(row['passed'] for row in stored)} of {len(stored)} checks passed." in said


def test_a_folder_without_tables_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check_quality", "--warehouse", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "No table `events`" in said
    assert said.count("\n") == 1


DUCKDB_FILES = r"""
select provider, status, modified_at, etl_time, filename,
       coalesce(data_set, '') as data_set,
       coalesce(regexp_extract(parse_filename(filename), '^([0-9]+)_', 1), '') as client_id,
       try_strptime(regexp_extract(filename, '[.]([0-9]{8})[.]json([.]gz)?$', 1), '%Y%m%d')::date as named
from files
where status <> 'skipped'
"""
DUCKDB_FRESHNESS = """
with taken as (from duck_files),
loaded as (
    select provider, client_id, data_set, count(*) as files, count(*) filter (status = 'not_readable') as unread,
           max(modified_at) as modified, max(etl_time) as loaded,
           list(distinct named) filter (status <> 'not_readable' and named is not null) as dates
    from taken group by all),
happened as (
    select t.client_id, t.data_set, e.provider, max(event_time) as newest, list(distinct event_date) as days
    from events e join (select distinct filename, client_id, data_set from taken) t using (filename) group by all),
spans as (
    select provider, client_id, min(named) as first, max(named) as last
    from taken where status <> 'not_readable' group by all)
select provider, client_id, data_set, files, unread, newest, list_max(dates) as newest_date, modified, loaded, dates,
       days, first, last
from loaded left join happened using (provider, client_id, data_set) left join spans using (provider, client_id)
"""


def test_freshness_is_what_duckdb_computes(built: Built) -> None:
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for contract in (EVENTS, FILES):
        connection.register(contract.name, DeltaTable(str(built.warehouse / contract.name)).to_pyarrow_table())
    connection.execute(f"create temp view duck_files as {DUCKDB_FILES}")
    answer = connection.sql(DUCKDB_FRESHNESS)
    wanted = [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]
    found = built.rows("freshness")
    (as_of,) = {row["as_of"] for row in found}
    assert abs(datetime.now(UTC) - as_of) < timedelta(hours=2)

    def lag(at: datetime | None) -> int | None:
        return None if at is None else int((as_of - at).total_seconds())

    def gaps(there: list[date] | None, first: date | None, last: date | None) -> tuple[date, ...] | None:
        if not there or first is None or last is None:
            return None
        days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
        return tuple(day for day in days if day not in there)

    def listed(days: Any) -> tuple[date, ...] | None:
        return None if days is None else tuple(days)

    same_bag(
        [
            (
                *(r[name] for name in ("provider", "client_id", "data_set", "files", "files_not_readable")),
                *(r[name] for name in ("newest_event_at", "newest_file_date", "newest_modified_at", "newest_load_at")),
                *(r[f"{name}_lag_seconds"] for name in ("event", "modified", "load")),
                listed(r["missing_dates"]),
                listed(r["days_without_events"]),
            )
            for r in found
        ],
        [
            (
                *(r[name] for name in ("provider", "client_id", "data_set", "files", "unread")),
                *(r[name] for name in ("newest", "newest_date", "modified", "loaded")),
                *(lag(r[name]) for name in ("newest", "modified", "loaded")),
                gaps(r["dates"], r["first"], r["last"]),
                gaps(r["days"], min(r["days"]), max(r["days"])) if r["days"] else None,
            )
            for r in wanted
        ],
    )
    assert any(row["missing_dates"] for row in found)
    assert any(row["days_without_events"] for row in found)
