"""What the notebook shows of made-up events, against their truth."""

from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import tables
from jobs.notebook import look_up, save
from tests.jobs.conftest import Built
from tests.summaries import fractions
from transforms import exploration


@pytest.fixture(autouse=True)
def _registered(built: Built, spark: SparkSession) -> None:
    tables.register(spark, built.warehouse)


def test_the_funnel_is_the_truth(built: Built, spark: SparkSession) -> None:
    wanted: Counter[tuple[str, str]] = Counter()
    for (provider, _, _), message in built.truth.messages.items():
        steps = ("recipients_sent", "is_delivered", "is_opened", "is_clicked")
        for name, step in zip(("sent", "delivered", "opened", "clicked"), steps, strict=True):
            is_reached = bool(message[step]) and (name == "sent" or message["is_delivered"])
            wanted[provider, name] += is_reached
    found = {row.provider: row.asDict() for row in exploration.funnel(spark.table("messages")).collect()}
    assert {key: found[key[0]][key[1]] for key in wanted} == dict(wanted)


def test_rates_of_kinds_add_up_to_the_truth(built: Built, spark: SparkSession) -> None:
    rows = exploration.rates_of_kinds(spark.table("messages"), most=3).collect()
    assert len(rows) == 4
    wanted: Counter[str] = Counter()
    for message in built.truth.messages.values():
        wanted.update(fractions(message))
    assert {name: sum(row[name] for row in rows) for name in wanted} == dict(wanted)
    assert sum(row.messages for row in rows) == len(built.truth.messages)


def test_flows_are_the_truth_and_nothing_is_lost_on_the_way(built: Built, spark: SparkSession) -> None:
    flows = exploration.flows(spark.table("journeys")).collect()
    into, out = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    for row in flows:
        out[row.step, row.source] += row.journeys
        into[row.step + 1, row.target] += row.journeys
    for key in ((1, "delivered"), (2, "opened")):
        assert into[key] == out[key]
    messages = built.truth.messages.values()
    later = into[2, "bounced later"]
    assert into[1, "delivered"] - later == sum(m["recipients_delivered"] for m in messages)
    assert into[1, "bounced"] + later == sum(m["recipients_bounced"] for m in messages)
    assert into[1, "suppressed"] == sum(m["recipients_suppressed"] for m in messages)
    sent = sum(count for (column, state), count in into.items() if column == 1 and state != "no send seen")
    assert sent == sum(m["recipients_sent"] for m in messages)


def test_waits_are_the_truth(built: Built, spark: SparkSession) -> None:
    wanted: Counter[tuple[str, int]] = Counter()
    for journey in built.truth.journeys.values():
        for wait in exploration.WAITS:
            if (seconds := journey[f"seconds_to_{wait}"]) is not None:
                wanted[wait, sum(seconds >= bound for bound, _ in exploration.WAIT_BOUNDS)] += 1
    found = exploration.waits(spark.table("journeys")).collect()
    assert {(row.wait, row.span): row.journeys for row in found} == dict(wanted)


def test_the_list_to_take_away_holds_everybody_of_the_view(built: Built, spark: SparkSession, tmp_path: Path) -> None:
    built_requests = spark.createDataFrame([("none", None)], "message_id string, region string")
    rows = exploration.reminders(spark.table("opened_not_clicked"), built_requests)
    file = tmp_path / "new" / "list.csv"
    wanted = [j for key, j in built.truth.journeys.items() if key[3] and j["is_opened"] and not j["is_clicked"]]
    assert save(rows, str(file)) == f"{len(wanted):,} rows in {file}"
    lines = file.read_text("utf-8").splitlines()
    assert lines[0].startswith("recipient,region,email_kind,send_date")
    assert len(lines) == len(wanted) + 1
    assert list(file.parent.iterdir()) == [file]


def test_what_is_not_known_is_said(spark: SparkSession) -> None:
    assert look_up(spark, "nobody@example.com") == "Nothing is known of nobody@example.com."
