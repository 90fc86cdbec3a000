"""Summaries outside of Delta hold the same rows, whatever is in them, and are never seen half."""

import csv
import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as t

from conf.errors import ConfigurationError
from jobs import tables
from jobs.__main__ import main
from jobs.build_summaries import build
from jobs.export import Database, Files, Target, export, target_of
from jobs.postgresql import DatabaseError
from jobs.summaries import SUMMARIES
from schemas.metrics import DEFAULT_PROFILE
from schemas.views import VIEWS
from tests.conftest import settings_for
from tests.jobs.conftest import Built
from tests.postgresql import PASSWORD, USER, Server
from tests.tables import same_bag
from transforms.export import is_nested

NAMES = {*SUMMARIES, *(view.name for view in VIEWS if set(view.of) <= set(SUMMARIES))}

ODD = """
select id, text, note, count, rate, is_so, at, day, struct(text as text, at as at, null as nothing) as parts,
       array(text, null) as texts, map('k\\0', text) as named
from values
    (1, '', cast(null as string), 9007199254740993L, 0.1D, true, timestamp'2025-10-20 10:00:00.123456', null),
    (2, ' "a", b; \\\\ ', 'line\\nline\\rline\\r\\nline', -1L, 1e300D, false, timestamp'2025-10-20 10:00:00', null),
    (3, 'nul \\0 and \\\\u0000 \\\\\\\\u0000', 'é 😀 #', null, null, null, null, null),
    (4, 'null', '\\\\N', 0L, -0.5D, true, timestamp'1969-12-31 23:59:59.999999', date'0001-01-01')
    as rows (id, text, note, count, rate, is_so, at, day)
"""


def exact(value: Any) -> Any:
    """A value as JSON can say it, exactly."""
    match value:
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case date():
            return value.isoformat()
        case Decimal():
            return float(value)
        case dict():
            return {name: exact(part) for name, part in value.items()}
        case list() | tuple():
            return [exact(part) for part in value]
    return value


def of_text(text: Any, data_type: t.DataType) -> Any:
    """The value that a text of a CSV file or of PostgreSQL's JSON says, as `exact` gives it."""
    if text is None or (text == "" and not isinstance(data_type, t.StringType)):
        return None
    match data_type:
        case t.BooleanType():
            return {"true": True, "false": False}[str(text).lower()]
        case t.IntegerType() | t.LongType():
            return int(text)
        case t.DoubleType() | t.DecimalType():
            return float(text)
        case t.TimestampType():
            return exact(datetime.fromisoformat(text))
        case t.DateType():
            return str(text)
    return json.loads(text) if is_nested(data_type) and isinstance(text, str) else text


def bag(rows: list[Mapping[str, Any]]) -> list[str]:
    """Rows that can be compared in any order."""
    return [json.dumps(row, sort_keys=True) for row in rows]


def of_delta(rows: DataFrame) -> list[Mapping[str, Any]]:
    """The rows that the export is to hold."""
    return [exact(row.asDict(recursive=True)) for row in rows.collect()]


def without_nul(value: Any) -> Any:
    """A value with U+FFFD where it has NUL."""
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case dict():
            return {without_nul(name): without_nul(part) for name, part in value.items()}
        case list():
            return [without_nul(part) for part in value]
    return value


def of_csv(file: Path, schema: t.StructType) -> list[Mapping[str, Any]]:
    """The rows as Python reads the file; it cannot tell NULL from the empty text."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [{f.name: of_text(row[f.name], f.dataType) for f in schema.fields} for row in csv.DictReader(lines)]


def of_parquet(file: Path) -> list[Mapping[str, Any]]:
    """The rows as Arrow reads the file."""
    return [exact(row) for row in pq.read_table(file).to_pylist(maps_as_pydicts="strict")]


def of_postgresql(server: Server, table: str, schema: t.StructType) -> list[Mapping[str, Any]]:
    """The rows as the server gives them."""
    rows = [json.loads(str(text)) for [text] in server.sql(f'select row_to_json(t) from "{table}" t')]
    return [{f.name: of_text(row[f.name], f.dataType) for f in schema.fields} for row in rows]


def without_empty(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows in which the top-level texts that are NULL are empty, as a reader of CSV sees them."""
    return [{name: "" if value is None else value for name, value in row.items()} for row in rows]


def database(server: Server, schema: str = "public") -> Database:
    """The server as a target."""
    return Database(server.url, schema)


def test_every_summary_and_view_is_the_same_everywhere(
    built: Built, spark: SparkSession, postgresql: Server, tmp_path: Path
) -> None:
    targets: list[Target] = [Files("csv", tmp_path), Files("parquet", tmp_path), database(postgresql)]
    for target in targets:
        target.check(spark)
        assert set(export(spark, built.warehouse, list(SUMMARIES), target, DEFAULT_PROFILE)) == NAMES
    assert {file.name for file in tmp_path.iterdir()} == {f"{n}.{form}" for n in NAMES for form in ("csv", "parquet")}
    for name in NAMES:
        rows = spark.table(name)
        wanted = of_delta(rows)
        assert wanted
        same_bag(bag(without_empty(of_csv(tmp_path / f"{name}.csv", rows.schema))), bag(without_empty(wanted)))
        same_bag(bag(of_parquet(tmp_path / f"{name}.parquet")), bag(wanted))
        same_bag(bag(of_postgresql(postgresql, name, rows.schema)), bag(wanted))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_odd_values_come_through_in_files(spark: SparkSession, tmp_path: Path, form: str) -> None:
    rows = spark.sql(ODD)
    Files(form, tmp_path).write(spark, "odd", "", rows)
    wanted = of_delta(rows)
    if form == "parquet":
        same_bag(bag(of_parquet(tmp_path / "odd.parquet")), bag(wanted))
        return
    same_bag(bag(without_empty(of_csv(tmp_path / "odd.csv", rows.schema))), bag(without_empty(wanted)))
    file = f"read_csv('{tmp_path}/odd.csv', all_varchar=true, allow_quoted_nulls=false)"
    texts = duckdb.sql(f"select id, text, note from {file} order by id")
    assert texts is not None
    assert texts.fetchall() == [(str(row["id"]), row["text"], row["note"]) for row in wanted]  # NULL is not ''


def test_odd_values_come_through_in_postgresql_but_for_nul(spark: SparkSession, postgresql: Server) -> None:
    rows = spark.sql(ODD)
    database(postgresql).write(spark, "odd", "it's odd", rows)
    same_bag(bag(of_postgresql(postgresql, "odd", rows.schema)), bag(without_nul(of_delta(rows))))
    found = postgresql.sql("select column_name, data_type from information_schema.columns where table_name = 'odd'")
    assert dict(found) == {
        "id": "integer",
        "text": "text",
        "note": "text",
        "count": "bigint",
        "rate": "double precision",
        "is_so": "boolean",
        "at": "timestamp with time zone",
        "day": "date",
        "parts": "jsonb",
        "texts": "jsonb",
        "named": "jsonb",
    }
    assert postgresql.sql("select obj_description('odd'::regclass)") == [["it's odd"]]


def test_columns_keep_their_comments_in_postgresql(built: Built, spark: SparkSession, postgresql: Server) -> None:
    contract = SUMMARIES["region_summary"].contract
    rows = tables.read(spark, built.warehouse, contract)
    database(postgresql).write(spark, "commented", contract.grain, rows)
    found = postgresql.sql(
        "select attname, col_description(attrelid, attnum) from pg_attribute "
        "where attrelid = 'commented'::regclass and attnum > 0"
    )
    assert dict(found) == {f.name: f.metadata["comment"] for f in contract.schema.fields}


def test_an_empty_summary_is_a_file_with_its_header(spark: SparkSession, tmp_path: Path) -> None:
    Files("csv", tmp_path).write(spark, "none", "", spark.range(9).where("id > 9"))
    Files("parquet", tmp_path).write(spark, "none", "", spark.range(9).where("id > 9"))
    assert (tmp_path / "none.csv").read_text() == "id\n"
    assert pq.read_table(tmp_path / "none.parquet").schema.names == ["id"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_is_exchanged_only_when_it_is_complete(spark: SparkSession, tmp_path: Path, form: str) -> None:
    target = Files(form, tmp_path)
    target.write(spark, "n", "", spark.range(3))
    before = (tmp_path / f"n.{form}").read_bytes()
    with pytest.raises(CapturedException):
        target.write(spark, "n", "", spark.range(9).selectExpr("1 div (id - 8) as id"))
    assert (tmp_path / f"n.{form}").read_bytes() == before
    target.write(spark, "n", "", spark.range(4))
    assert [file.name for file in tmp_path.iterdir()] == [f"n.{form}"]
    assert (tmp_path / f"n.{form}").read_bytes() != before


def test_a_table_is_exchanged_in_one_transaction(spark: SparkSession, postgresql: Server) -> None:
    """An older transaction goes on seeing the rows before, which it would not after a `truncate` or a rename."""
    target = database(postgresql)
    target.write(spark, "n", "", spark.range(3))
    command = [postgresql.binaries / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(postgresql.port), "-U", USER]
    with subprocess.Popen(
        [*map(str, command), "postgres"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PGPASSWORD": PASSWORD},
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def counted(sql: str) -> str:
            print(sql, "select count(*) from n;", file=reader.stdin, flush=True)
            return str(reader.stdout and reader.stdout.readline().strip())

        assert counted("begin isolation level repeatable read;") == "3"
        target.write(spark, "n", "", spark.range(5))
        assert counted("") == "3"
        assert counted("commit;") == "5"
    with pytest.raises(CapturedException):
        target.write(spark, "n", "", spark.range(9).selectExpr("1L div (id - 8) as id"))
    assert postgresql.sql("select count(*) from n") == [["5"]]


def test_what_people_made_of_a_table_stays(spark: SparkSession, postgresql: Server) -> None:
    target = database(postgresql)
    target.write(spark, "used", "", spark.range(3))
    postgresql.sql("create view top as select max(id) from used", "create index by_id on used (id)")
    target.write(spark, "used", "", spark.range(5))
    assert postgresql.sql("select * from top") == [["4"]]
    assert postgresql.sql("select indexname from pg_indexes where tablename = 'used'") == [["by_id"]]
    with pytest.raises(DatabaseError, match=r"cannot drop table used because other objects depend on it.*view top"):
        target.write(spark, "used", "", spark.range(5).selectExpr("id", "id as more"))
    postgresql.sql("drop view top")
    target.write(spark, "used", "", spark.range(5).selectExpr("id", "id as more"))
    assert postgresql.sql("select sum(more) from used") == [["10"]]


def test_a_run_exports_what_it_made_and_the_views_of_it(
    own: Built, spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = target_of(f"csv:{tmp_path / 'new' / 'folder'}", own.settings)
    build(own.settings, only=["region_summary"], targets=[target], spark=spark)
    assert {file.name for file in (tmp_path / "new" / "folder").iterdir()} == {
        "region_summary.csv",
        "region_summary_total.csv",
    }
    assert f"exported to csv:{tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "words"),
    [
        pytest.param("pdf", "--export: found 'pdf'; wanted csv:FOLDER, parquet:FOLDER or postgresql.", id="unknown"),
        pytest.param("csv", "--export: found 'csv'; wanted csv:FOLDER", id="no-folder"),
        pytest.param("postgresql", "--export postgresql: set export.jdbc_url", id="no-database"),
    ],
)
def test_a_place_that_is_none_is_one_line(
    where: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build_summaries", "--warehouse", str(tmp_path), "--export", where]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_place_that_cannot_be_written_to_is_refused_at_the_start(
    spark: SparkSession, postgresql: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings = settings_for(tmp_path, f"export.jdbc_url={postgresql.url}", "export.jdbc_schema=No where")
    with pytest.raises(ConfigurationError, match="no schema `No where`"):
        target_of("postgresql", settings).check(spark)
    with pytest.raises(ConfigurationError, match="cannot be made"):
        target_of(f"csv:{tmp_path / 'file' / 'folder'}", settings).check(spark)
