"""Requests are the same wherever they are kept: in CSV files, a Delta table, or a real PostgreSQL."""

from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import postgresql as database
from jobs.generator import RequestTruth, generate_requests, generate_ses
from jobs.requests import read_requests, texts_of
from tests.conftest import settings_for
from tests.postgresql import PASSWORD, Server
from tests.tables import micros, same_bag

TYPED = """
create type continent as enum ('EU', 'APAC');
create schema "Sales";
create table "Sales"."Sends" (
    "MESSAGE_ID" uuid, "TO" varchar(99), "AT" timestamptz, "LOCAL" timestamp, "REGION" continent, "TAGS" text[]);
insert into "Sales"."Sends" ("MESSAGE_ID", "TO", "AT", "LOCAL", "REGION", "TAGS") values
    ('00000000-0000-0000-0000-000000000001', 'Ada@EXAMPLE.com', '2025-10-20 12:00:00.123456+02',
     '2025-10-20 10:00:00.5', 'EU', array['a']),
    ('00000000-0000-0000-0000-000000000002', null, null, null, null, null),
    ('00000000-0000-0000-0000-000000000003', 'bo@example.com', '2025-10-19 23:59:59.999999Z',
     '2025-10-21 00:00', 'APAC', null),
    ('00000000-0000-0000-0000-000000000004', 'cy@example.com', 'infinity', '-infinity', 'APAC', null),
    (null, 'di@example.com', '2025-10-20 12:00Z', '2025-10-20 12:00', 'EU', null)
"""
COLUMNS = ("requests.columns.recipient=to", "requests.columns.region=region")


@pytest.fixture(scope="module")
def typed(server: Server) -> str:
    """The name of a table with names in capitals, types of all kinds, and NULLs."""
    server.sql(*TYPED.split(";\n"))
    return '"Sales"."Sends"'


def settings_of(folder: Path, server: Server, *overrides: str) -> Settings:
    """Settings that read requests from the server."""
    return settings_for(folder, "requests.source=postgresql", f"requests.jdbc_url={server.url}", *overrides)


def found(spark: SparkSession, settings: Settings) -> list[tuple[str, str | None, int | None, str | None]]:
    """The requests read, as plain rows in the order of the columns."""
    rows = read_requests(spark, settings).collect()
    return [(r.message_id, r.recipient, _micros_in_utc(r.request_time), r.region) for r in rows]


def _micros_in_utc(time: datetime | None) -> int | None:
    return None if time is None else micros(time.replace(tzinfo=UTC))


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0) -> int:
    """An instant of October 2025 as microseconds since 1970."""
    return micros(datetime(2025, 10, day, hour, minute, second, microsecond, tzinfo=UTC)) or 0


@pytest.mark.parametrize(
    ("column", "first", "third"),
    [
        pytest.param("at", at(20, 10, 0, 0, 123456), at(19, 23, 59, 59, 999999), id="with-a-zone"),
        pytest.param("Local", at(20, 10, 0, 0, 500000), at(21), id="without-a-zone-is-utc"),
    ],
)
def test_typed_columns_in_capitals_come_right(
    spark: SparkSession, postgresql: Server, typed: str, tmp_path: Path, column: str, first: int, third: int
) -> None:
    table = (f"requests.table='{typed}'", *COLUMNS, f"requests.columns.request_time={column}")
    settings = settings_of(tmp_path, postgresql, *table)
    same_bag(
        found(spark, settings),
        [
            (f"{0:08}-0000-0000-0000-{1:012}", "Ada@example.com", first, "EU"),
            (f"{0:08}-0000-0000-0000-{2:012}", None, None, None),
            (f"{0:08}-0000-0000-0000-{3:012}", "bo@example.com", third, "APAC"),
            (f"{0:08}-0000-0000-0000-{4:012}", "cy@example.com", None, "APAC"),
        ],
    )


@pytest.mark.parametrize(
    ("column", "kept"),
    [pytest.param("at", ["1", "4"], id="with-a-zone"), pytest.param("local", ["1", "3"], id="without-a-zone")],
)
def test_since_is_the_databases_work(
    spark: SparkSession, postgresql: Server, typed: str, tmp_path: Path, column: str, kept: list[str]
) -> None:
    table = (f"requests.table='{typed}'", *COLUMNS, f"requests.columns.request_time={column}")
    settings = settings_of(tmp_path, postgresql, *table, "requests.since=2025-10-20T02:00:00+02:00")
    rows = database.read(spark, postgresql.url, table=typed)
    plan = texts_of(rows, settings.requests, typed)._jdf.queryExecution().executedPlan().toString()
    pushed = plan.partition("PushedFilters: [")[2].partition("ReadSchema")[0]
    assert f"GreaterThanOrEqual({column.upper()},2025-10-20" in pushed
    asked = len(postgresql.log.read_text())
    rows_found = found(spark, settings)
    assert f'("{column.upper()}" >= \'2025-10-20 00:00:00' in postgresql.log.read_text()[asked:]
    same_bag([row[0][-1] for row in rows_found], kept)


def test_since_is_deltas_work_too(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql(
        "select * from values ('m1', 'EU', timestamp_ntz'2025-10-20 00:00:00'), "
        "('m2', 'EU', timestamp_ntz'2025-10-19 23:59:59.999999'), ('m3', 'EU', null) "
        "as (message_id, region, request_time)"
    ).write.format("delta").save(str(tmp_path / "delta"))
    source = ("requests.source=delta", f"requests.path={tmp_path / 'delta'}")
    settings = settings_for(tmp_path, *source, "requests.since=2025-10-20T02:00:00+02:00")
    rows = texts_of(spark.read.format("delta").load(str(tmp_path / "delta")), settings.requests, "delta")
    plan = rows._jdf.queryExecution().executedPlan().toString()
    assert "GreaterThanOrEqual(request_time,2025-10-20T00:00)" in plan
    same_bag(found(spark, settings), [("m1", None, at(20), "EU")])


def test_requests_are_the_same_from_every_source(spark: SparkSession, postgresql: Server, tmp_path: Path) -> None:
    ses = generate_ses(tmp_path / "mail", events=300, seed=5)
    truth = generate_requests(tmp_path / "input", ses, seed=5)
    texts = ("message_id", "recipient", "request_time", "region")
    postgresql.sql("create table raw_requests (message_id text, recipient text, request_time text, region text)")
    files = [path for path in (tmp_path / "input" / "requests").glob("*.csv") if path.stat().st_size]
    reader = spark.read.option("header", "true").option("escape", '"')
    rows = reduce(DataFrame.union, [reader.csv(str(path)).select(*texts) for path in files])
    rows.write.format("delta").save(str(tmp_path / "delta"))
    options = {**database.options(postgresql.url), "dbtable": "raw_requests"}
    rows.write.format("jdbc").mode("append").options(**options).save()
    wanted = [of_truth(request) for request in truth.requests]
    since = "2025-10-21T00:00:00Z"
    later = [row for row in wanted if row[2] is not None and row[2] >= at(21)]
    assert 0 < len(later) < len(wanted)
    for settings in (
        settings_for(tmp_path),
        settings_for(tmp_path, "requests.source=delta", f"requests.path={tmp_path / 'delta'}"),
        settings_of(tmp_path, postgresql, "requests.table=raw_requests"),
    ):
        same_bag(found(spark, settings), wanted)
        only_later = settings.requests.model_copy(update={"since": datetime.fromisoformat(since)})
        same_bag(found(spark, settings.model_copy(update={"requests": only_later})), later)


def of_truth(request: RequestTruth) -> tuple[str, str | None, int | None, str | None]:
    """A request as it must be read."""
    return request.message_id, request.recipient, request.request_time, request.region


def test_a_query_may_give_the_requests(spark: SparkSession, postgresql: Server, typed: str, tmp_path: Path) -> None:
    query = f'select "MESSAGE_ID", max("REGION"::text) as region from {typed} group by 1 order by 1;'
    settings = settings_of(tmp_path, postgresql, f"requests.query='{query}'")
    assert {(row[0][-1], row[1], row[2], row[3]) for row in found(spark, settings)} == {
        ("1", None, None, "EU"),
        ("2", None, None, None),
        ("3", None, None, "APAC"),
        ("4", None, None, "APAC"),
    }


def test_the_driver_finds_the_password_in_the_file_of_passwords(
    spark: SparkSession, postgresql: Server, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGPASSFILE itself is read when the JVM starts, so here its property stands in for it."""
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "passwords").write_text(f"127.0.0.1:{postgresql.port}:*:postgres:{PASSWORD}\n")
    (tmp_path / "passwords").chmod(0o600)
    system = spark._jvm.java.lang.System  # type: ignore[union-attr]
    system.setProperty("org.postgresql.pgpassfile", str(tmp_path / "passwords"))
    try:
        settings = settings_of(tmp_path, postgresql, f"requests.table='{typed}'", *COLUMNS)
        assert len(found(spark, settings)) == 4
    finally:
        system.clearProperty("org.postgresql.pgpassfile")


@pytest.mark.parametrize(
    ("environ", "overrides", "words"),
    [
        pytest.param(
            {"PGPASSWORD": "not-this-one"}, ["table=t"], "password authentication failed", id="wrong-password"
        ),
        pytest.param({"PGPASSWORD": ""}, ["table=t"], "PGPASSWORD, or of the file", id="no-password"),
        pytest.param({}, ["table=nowhere"], 'relation "nowhere" does not exist', id="no-table"),
        pytest.param(
            {}, ["query=select 1 as n"], "names no column `message_id` or `region`, but n;", id="other-columns"
        ),
        pytest.param({}, ["query=selec"], "syntax error", id="no-sql"),
    ],
)
def test_what_cannot_be_read_is_one_line_without_a_password(
    spark: SparkSession,
    postgresql: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    overrides: list[str],
    words: str,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = settings_of(tmp_path, postgresql, *(f"requests.{one}" for one in overrides))
    with pytest.raises(ConfigurationError) as caught:
        read_requests(spark, settings)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (PASSWORD, "not-this-one"))


def test_a_server_out_of_reach_is_one_line_and_no_wrong_use(spark: SparkSession, tmp_path: Path) -> None:
    url = "jdbc:postgresql://127.0.0.1:1/postgres"
    settings = settings_for(
        tmp_path, "requests.source=postgresql", f"requests.jdbc_url={url}?connectTimeout=5", "requests.table=t"
    )
    with pytest.raises(
        database.DatabaseError, match=f"^PostgreSQL at {url}: Connection to 127.0.0.1:1 refused"
    ) as caught:
        read_requests(spark, settings)
    assert caught.value.exit_code == 1


def test_a_failure_while_rows_are_read_is_one_line(spark: SparkSession, postgresql: Server, tmp_path: Path) -> None:
    query = "select 1 / (n - 5) as message_id, n as region from generate_series(1, 9) n"
    with pytest.raises(database.DatabaseError, match=r"^PostgreSQL at \S+: ERROR: division by zero$"):
        read_requests(spark, settings_of(tmp_path, postgresql, f"requests.query={query}"))


def test_no_plan_shows_the_password(spark: SparkSession, postgresql: Server, typed: str) -> None:
    rows = database.read(spark, postgresql.url, table=typed)
    assert PASSWORD not in rows._jdf.queryExecution().toString()
    assert PASSWORD not in str(spark.sparkContext.getConf().getAll())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param(["source=delta", "path=nowhere"], "is no Delta table", id="no-delta-table"),
        pytest.param(["path=nowhere"], "is no folder", id="no-folder"),
    ],
)
def test_a_path_that_holds_nothing_is_refused(
    spark: SparkSession, tmp_path: Path, overrides: list[str], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^requests\.path: .* {words}"):
        read_requests(spark, settings_for(tmp_path, *(f"requests.{one}" for one in overrides)))


def test_csv_columns_may_have_other_names(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.csv").write_text("id,Market,message_id\nm1,EU,x\n")
    (folder / "b.csv").write_text("MARKET,Id\nAPAC,m2\n")
    named = ("requests.columns.message_id=ID", "requests.columns.region=market")
    settings = settings_for(tmp_path, f"requests.path={folder}", *named)
    same_bag(found(spark, settings), [("m1", None, None, "EU"), ("m2", None, None, "APAC")])
    with pytest.raises(ConfigurationError, match=r"a\.csv: the first line names no column `request_time`"):
        read_requests(
            spark, settings_for(tmp_path, f"requests.path={folder}", *named, "requests.since=2025-01-01T00:00Z")
        )
