"""The summaries against the truth of made-up events, and against DuckDB, which computes them from `events` its way."""

import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from conf.errors import ConfigurationError
from jobs import build_summaries, tables
from jobs.__main__ import main
from jobs.build_summaries import build
from jobs.locks import only_builder
from jobs.parts import Summary
from jobs.requests import read_requests
from jobs.sources import Sources
from jobs.storage import Location
from jobs.summaries import SUMMARIES
from schemas.campaigns import campaigns
from schemas.contract import TableContract
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGES
from schemas.quality import QUALITY
from schemas.region_summary import REGION_SUMMARY, region_summary
from schemas.views import VIEWS
from tests.conftest import settings_for
from tests.jobs.conftest import Built
from tests.summaries import (
    COUNT_OF_CLASS,
    SUMS,
    WAIT_SHARES,
    WAITS,
    asked,
    assert_regions_are,
    duckdb_regions,
    picked,
    rates_hold,
)
from tests.tables import rows_of, same_bag

STATES = ("sent", "suppressed", "delivered", "bounced", "opened", "clicked", "complained", "unsubscribed")
FLAGS = tuple(f"is_{state}" for state in STATES)
SECONDS = ("seconds_to_deliver", "seconds_to_open", "seconds_to_click")
JOURNEY_KEY = ("provider", "account", "message_id", "recipient")
OF_JOURNEY = (*COUNT_OF_CLASS.values(), *FLAGS, "path", "last_state", *SECONDS, "message_opened", "message_clicked")
OF_MESSAGE = (
    *COUNT_OF_CLASS.values(),
    *(f"recipients_{s}" for s in ("sent", "suppressed", "delivered", "bounced")),
    *("is_delivered", "is_opened", "is_clicked", "is_complained", "is_unsubscribed", "send_date"),
)
KINDS = ("hard_bounced", "soft_bounced")
"""Of bounces: told by DuckDB alone, for the made-up truth has no statuses."""


def test_journeys_are_the_truth(built: Built) -> None:
    names = (*JOURNEY_KEY, *OF_JOURNEY)
    wanted = [dict(zip(JOURNEY_KEY, key, strict=True)) | row for key, row in built.truth.journeys.items()]
    same_bag(picked(built.rows("journeys"), names), picked(wanted, names))
    steps = {tuple(r[k] for k in JOURNEY_KEY): len(r["steps"]) for r in built.rows("journeys")}
    assert steps == {key: row["steps"] for key, row in built.truth.journeys.items()}


def test_messages_are_the_truth(built: Built) -> None:
    names = (*JOURNEY_KEY[:3], *OF_MESSAGE)
    wanted = [dict(zip(JOURNEY_KEY[:3], key, strict=True)) | row for key, row in built.truth.messages.items()]
    same_bag(picked(built.rows("messages"), names), picked(wanted, names))


def test_regions_are_the_truth(built: Built) -> None:
    assert_regions_are(built.rows("region_summary"), built.truth)


def test_duckdb_computes_the_same(built: Built, duck: duckdb.DuckDBPyConnection) -> None:
    kinds = tuple(f"is_{kind}" for kind in KINDS)
    for kind in kinds:
        assert {row["provider"] for row in built.rows("journeys") if row[kind]} == {"ses", "sailthru"}
    journeys = (*JOURNEY_KEY, *COUNT_OF_CLASS.values(), *FLAGS, *kinds, "path", *SECONDS, "email_kind")
    same_bag(picked(built.rows("journeys"), journeys), picked(asked(duck, "from duck_journeys"), journeys))
    messages = (*JOURNEY_KEY[:3], *OF_MESSAGE, *(f"recipients_{kind}" for kind in KINDS), "email_kind")
    same_bag(picked(built.rows("messages"), messages), picked(asked(duck, "from duck_messages"), messages))
    waits = tuple(f"seconds_to_{name}_{suffix}" for name in WAITS for suffix in WAIT_SHARES)
    assert any(row["seconds_to_click_p95"] for row in built.rows("region_summary"))
    regions = ("region", "email_kind", "send_date", *SUMS, *waits)
    same_bag(picked(built.rows("region_summary"), regions), picked(asked(duck, duckdb_regions()), regions))


def test_days_are_published_as_duckdb_counts_them(built: Built, duck: duckdb.DuckDBPyConnection) -> None:
    wanted = asked(
        duck,
        """select provider, send_date, count(*) as messages, sum(recipients_sent)::bigint as recipients_sent,
                  sum(recipients_delivered)::bigint as recipients_delivered,
                  sum(recipients_bounced)::bigint as recipients_bounced, count_if(is_opened) as messages_opened,
                  count_if(is_clicked) as messages_clicked, count_if(is_complained) as messages_complained,
                  count_if(is_unsubscribed) as messages_unsubscribed
           from duck_messages group by all""",
    )
    names = tuple(wanted[0])
    found = built.rows("restatement")
    same_bag(picked(found, names), picked(wanted, names))
    assert all(row[f"first_{name}"] == row[name] for row in found for name in names[2:])


def test_no_rate_is_above_1(built: Built, spark: SparkSession) -> None:
    """On lost deliveries, blocked images, several recipients, suppressed sends, late bounces, not-spam complaints."""
    tables.register(spark, built.warehouse)
    total = [row.asDict() for row in spark.table("region_summary_total").collect()]
    rates_hold([*built.rows("region_summary"), *total])
    journeys = built.rows("journeys")
    assert any(j["is_opened"] and not j["delivered"] and j["provider"] == "ses" and j["recipient"] for j in journeys)
    assert any(j["clicked"] and not j["opened"] for j in journeys)
    assert any(j["recipient"] is None for j in journeys)
    assert any(j["is_suppressed"] for j in journeys)
    assert any(j["is_bounced"] and j["delivered"] for j in journeys)
    assert any(j["complained"] and not j["is_complained"] for j in journeys)


def test_another_profile_has_its_own_metrics_in_table_and_total(
    built: Built, spark: SparkSession, tmp_path: Path
) -> None:
    shutil.copytree(built.warehouse, tmp_path / "warehouse")
    ours = "metrics.profiles.ours"
    settings = settings_for(
        tmp_path,
        *(f"{ours}.reach.numerator=opened", f"{ours}.reach.denominator=sent", "metrics.profile=ours"),
        source=Path(built.settings.input),
    )
    with pytest.raises(ConfigurationError, match="made with other metrics"):
        build(settings, only=["quality"], spark=spark)
    build(settings, only=["region_summary", "campaigns", "quality"], spark=spark)
    stored, of_campaigns = (
        rows_of(tmp_path / "warehouse", contract(settings.metrics.chosen)) for contract in (region_summary, campaigns)
    )
    for rows in (stored, of_campaigns):
        assert [name for name in rows[0] if name.endswith("_rate")] == ["reach_rate"]
    tables.register(spark, tmp_path / "warehouse", settings.metrics.chosen)
    total = {row.region: row for row in spark.table("region_summary_total").collect()}
    sent = [message for message in built.truth.messages.values() if message["recipients_sent"]]
    opened = sum(message["is_opened"] for message in sent)
    assert (total["all"].reach_numerator, total["all"].reach_denominator) == (opened, len(sent))
    assert total["all"].reach_rate == opened / len(sent)
    parts = {name: sum(row[name] for row in stored) for name in ("reach_numerator", "reach_denominator")}
    regions = [row for region, row in total.items() if region != "all"]
    assert parts == {name: sum(row[name] for row in regions) for name in parts}
    assert opened <= parts["reach_numerator"] <= parts["reach_denominator"]
    checked = [row for row in rows_of(tmp_path / "warehouse", QUALITY) if row["column_names"] == "reach_rate"]
    assert {(row["passed"], row["rows_checked"]) for row in checked} == {(True, len(stored)), (True, len(of_campaigns))}
    assert sum(row["reach_denominator"] for row in of_campaigns) == len(sent)
    tables.register(spark, built.warehouse)


def test_the_total_counts_each_message_once(built: Built, spark: SparkSession) -> None:
    tables.register(spark, built.warehouse)
    total = {row.region: row for row in spark.table("region_summary_total").collect()}
    assert (
        total["all"].messages
        == len(built.truth.messages)
        < sum(r.messages for r in total.values()) - total["all"].messages
    )
    assert total["all"].requests == len(built.requests.requests)
    everything = Counter({k: sum(m[k] for m in built.truth.messages.values()) for k in COUNT_OF_CLASS.values()})
    assert {k: total["all"][k] for k in COUNT_OF_CLASS.values()} == dict(everything)


@pytest.mark.parametrize(
    ("view", "holds"),
    [
        pytest.param("opened_not_clicked", lambda j: j["is_opened"] and not j["is_clicked"], id="opened-not-clicked"),
        pytest.param(
            "delivered_not_opened",
            lambda j: j["is_delivered"] and not j["is_opened"] and not j["message_opened"],
            id="delivered-not-opened",
        ),
        pytest.param("bounced_after_delivery", lambda j: j["bounced_after_delivery"], id="bounced-after-delivery"),
        pytest.param("delayed_then_delivered", lambda j: j["delayed_then_delivered"], id="delayed-then-delivered"),
        pytest.param(
            "clicked_without_open", lambda j: j["clicked"] > 0 and j["opened"] == 0, id="clicked-without-open"
        ),
    ],
)
def test_a_view_holds_the_journeys_of_its_name(
    built: Built, spark: SparkSession, view: str, holds: Callable[[dict[str, Any]], bool]
) -> None:
    tables.register(spark, built.warehouse)
    wanted = [key for key, journey in built.truth.journeys.items() if holds(journey)]
    assert wanted
    same_bag([tuple(row) for row in spark.table(view).select(*JOURNEY_KEY).collect()], wanted)


def test_bought_after_click_is_what_was_clicked_and_brought_revenue(built: Built, spark: SparkSession) -> None:
    tables.register(spark, built.warehouse)
    revenue = {
        (row["client_id"], row["message_id"]): row["message_revenue"]
        for row in built.rows("sailthru_messages")
        if row["message_revenue"]
    }
    clicked = [key for key, journey in built.truth.journeys.items() if journey["is_clicked"] and key[0] == "sailthru"]
    wanted = [(*key, revenue[key[1:3]]) for key in clicked if key[1:3] in revenue]
    assert 0 < len(wanted) < len(clicked)
    found = spark.table("bought_after_click").select(*JOURNEY_KEY, "message_revenue").collect()
    same_bag([tuple(row) for row in found], wanted)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_spark_and_duckdb_read_the_views_alike(built: Built, spark: SparkSession, view: Any) -> None:
    tables.register(spark, built.warehouse)
    connection = duckdb.connect()
    for name in view.of:
        connection.register(name, DeltaTable(str(built.warehouse / name)).to_pyarrow_table())
    columns = [c for c in spark.table(view.name).columns if c not in ("tags", "steps", "timestamp")]
    columns = [c for c in columns if not c.endswith(("_at", "_time"))]
    listed = ", ".join(f'"{c}"' for c in columns)
    found = connection.execute(f"select {listed} from ({view.sql})").fetchall()
    by_spark = spark.table(view.name).select(*[f"`{c}`" for c in columns]).collect()
    assert by_spark
    assert Counter(map(repr, found)) == Counter(repr(tuple(row)) for row in by_spark)


OLD_SQL = """
with per_message as (
    select message_id,
           count(case when event_class = 'send' then 1 end) as sent,
           count(case when event_class = 'delivery' then 1 end) as delivered,
           count(case when event_class = 'bounce' then 1 end) as bounced,
           count(case when event_class = 'open' then 1 end) as opened,
           count(case when event_class = 'click' then 1 end) as clicked,
           max(completion_time) as last_seen
    from ses_mail
    where source is not null or etl_time is not null
    group by message_id)
select r.region, count(*) as requested, sum(m.sent) as sent, sum(m.delivered) as delivered, sum(m.bounced) as bounced,
       sum(case when m.opened > 0 and m.clicked = 0 then 1 else 0 end) as opened_not_clicked,
       sum(case when m.message_id is null then 1 else 0 end) as without_events
from requests r left join per_message m on r.message_id = m.message_id
group by r.region
order by r.region
"""
"""As the analysts wrote it for the table before this one."""


def test_the_analysts_old_sql_runs_unchanged(
    built: Built, spark: SparkSession, duck: duckdb.DuckDBPyConnection
) -> None:
    tables.register(spark, built.warehouse)
    requests = [(r.message_id, r.region) for r in built.requests.requests]
    spark.createDataFrame(requests, "message_id string, region string").createOrReplaceTempView("requests")
    by_spark = [tuple(row) for row in spark.sql(OLD_SQL).collect()]
    duck.execute("create or replace temp view ses_mail as from events")
    by_duckdb = [
        tuple(int(v) if i and v is not None else v for i, v in enumerate(r)) for r in duck.execute(OLD_SQL).fetchall()
    ]
    assert Counter(by_spark) == Counter(by_duckdb)
    per_message: dict[str, Counter[str]] = {}
    for key, message in built.truth.messages.items():
        per_message.setdefault(key[2], Counter()).update({k: message[k] for k in ("sent", "opened", "clicked")})
    wanted: Counter[str | None] = Counter()
    for request in built.requests.requests:
        counts = per_message.get(request.message_id, Counter())
        wanted[request.region] += counts["opened"] > 0 and counts["clicked"] == 0
    assert {row[0]: row[5] for row in by_spark} == dict(wanted)


def test_a_reader_never_sees_half_of_a_summary(own: Built, spark: SparkSession) -> None:
    wanted = {t.name: len(own.rows(t.name)) for t in (JOURNEYS, MESSAGES, REGION_SUMMARY)}
    seen: Counter[tuple[str, int]] = Counter()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for name in wanted:
                seen[name, DeltaTable(str(own.warehouse / name)).to_pyarrow_table(columns=[]).num_rows] += 1

    reader = threading.Thread(target=read)
    reader.start()
    build(own.settings, only=list(wanted), full=True, spark=spark)
    done.set()
    reader.join()
    assert set(seen) == set(wanted.items())
    assert min(seen.values()) > 2


def test_only_the_summary_asked_for_is_made(own: Built, spark: SparkSession) -> None:
    before = {t.name: DeltaTable(str(own.warehouse / t.name)).version() for t in (JOURNEYS, MESSAGES, REGION_SUMMARY)}
    rows = Counter(map(repr, own.rows("region_summary")))
    build(own.settings, only=["region_summary"], full=True, spark=spark)
    after = {name: DeltaTable(str(own.warehouse / name)).version() for name in before}
    assert after == {**before, "region_summary": before["region_summary"] + 1}
    assert Counter(map(repr, own.rows("region_summary"))) == rows
    note = json.loads(DeltaTable(str(own.warehouse / "region_summary")).history(1)[0]["userMetadata"])
    versions = {t.name: DeltaTable(str(own.warehouse / t.name)).version() for t in (EVENTS, FILES)}
    assert {f"{name}_version": version for name, version in versions.items()}.items() <= note.items()
    build(own.settings, only=["region_summary"], spark=spark)
    assert DeltaTable(str(own.warehouse / "region_summary")).version() == after["region_summary"]  # nothing is new


def test_a_second_build_is_refused(own: Built, spark: SparkSession) -> None:
    with only_builder(own.warehouse), pytest.raises(ConfigurationError, match="Another build_summaries"):
        build(own.settings, spark=spark)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--only", "mesages"], "did you mean `messages`?", id="unknown-summary"),
        pytest.param(["--only", ","], "no summary", id="nothing-named"),
        pytest.param([], "run stream_events first", id="no-events"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build_summaries", "--warehouse", str(tmp_path), *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_requests_of_files_with_other_columns_in_other_order_and_without_ids(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "input" / "requests"
    (folder / "folder.csv").mkdir(parents=True)
    (folder / "a.csv").write_text(
        '\ufeffregion,Message_ID,team\r\n EU ,m1,x\r\n"NA, ""east""",m2,y\r\n,m3,z\r\nEU,,none\r\n', newline=""
    )
    (folder / "b.csv").write_text(
        "message_id,recipient,request_time,region\n"
        "m4,Ada@EXAMPLE.com,2025-11-01T00:00:00+01:00,APAC\n"
        "m4,Ada@example.com,2025-10-31 22:00,EU\n"
        "m4,bo@example.com,yesterday,EU\n"
        "m5,bo@example.com,99999-01-01T00:00:00Z,\tEU\u00a0\r\n"
        'm6,"never closed,2025-10-31 22:00,EU\n'
        "m7,cy@example.com,2025-10-31 22:00,EU\n"
    )
    (folder / "empty.csv").write_text("")
    rows = {(r.message_id, r.recipient): r for r in read_requests(spark, settings_for(tmp_path), tells=True).collect()}
    assert {key: row.region for key, row in rows.items()} == {
        ("m1", None): "EU",
        ("m2", None): 'NA, "east"',
        ("m3", None): None,
        ("m4", "Ada@example.com"): "EU",
        ("m4", "bo@example.com"): "EU",
        ("m5", "bo@example.com"): "EU",
        ("m6", "never closed,2025-10-31 22:00,eu"): None,
        ("m7", "cy@example.com"): "EU",
    }
    assert f"{rows['m4', 'Ada@example.com'].request_time:%d %H:%M}" == "31 22:00"
    assert rows["m4", "bo@example.com"].request_time is rows["m5", "bo@example.com"].request_time is None
    assert "1 rows without a message id and 1 repeated ones" in capsys.readouterr().err


@pytest.mark.parametrize("header", ["message_id;region", "", "x" * 200_000])
def test_a_request_file_without_region_is_refused(spark: SparkSession, tmp_path: Path, header: str) -> None:
    folder = tmp_path / "input" / "requests"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text(header + "\nm1;EU\n")
    with pytest.raises(ConfigurationError, match="names no column `message_id` or `region`"):
        read_requests(spark, settings_for(tmp_path))


def test_a_summary_waits_for_each_that_it_reads(
    own: Built, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would compute again what another thread is about to write."""
    asked_by, asked_for = threading.local(), set[tuple[str, str]]()
    make, is_fresh = build_summaries._make, Sources.is_fresh

    def making(session: SparkSession, warehouse: Location, summary: Summary, *rest: Any, **named: Any) -> Any:
        asked_by.name = summary.contract.name
        return make(session, warehouse, summary, *rest, **named)

    def asking(sources: Sources, contract: TableContract) -> bool:
        asked_for.add((asked_by.name, contract.name))
        return is_fresh(sources, contract)

    def all_before(name: str) -> set[str]:
        before = SUMMARIES[name].after & SUMMARIES.keys()
        return {*before, *(name for one in before for name in all_before(one))}

    monkeypatch.setattr(build_summaries, "_make", making)
    monkeypatch.setattr(Sources, "is_fresh", asking)
    build(own.settings, full=True, spark=spark)
    known = {("messages", "journeys"), ("purchases", "journeys"), ("sessions", "person_events")}
    assert asked_for >= {*known, ("recipient_features", "recipient_features_wide")}
    assert [(by, of) for by, of in asked_for if by != of and of not in all_before(by)] == []
