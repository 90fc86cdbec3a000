"""Sailthru records become the events and versions that fixtures/sailthru.jsonl states, each case with its reason."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from tests.transforms.test_ses import LIMITS
from transforms.records import RAW_LINES
from transforms.sailthru import Account, data_set_of, to_events

CASES = [json.loads(line) for line in (Path(__file__).parent / "fixtures" / "sailthru.jsonl").read_text().splitlines()]
ACCOUNT = Account(client_id="77", time_zone="America/New_York")


def rows_of(spark: SparkSession, files: list[tuple[str, str]]) -> DataFrame:
    lines = [(f"file:/in/{i}/{name}", 0, raw, None, None, False, None) for i, (name, raw) in enumerate(files)]
    return to_events(spark.createDataFrame(lines, RAW_LINES), LIMITS, ACCOUNT)


def plain(value: object) -> object:
    match value:
        case datetime():
            return value.replace(tzinfo=UTC).isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case Row() | list():
            return [plain(v) for v in value]
    return value


def test_each_record_becomes_the_rows_it_should(spark: SparkSession) -> None:
    found: dict[int, list[Row]] = {}
    for row in rows_of(spark, [(case["name"], case["raw"]) for case in CASES]).orderBy("place").collect():
        found.setdefault(int(row.filename.split("/")[-2]), []).append(row)
    for i, case in enumerate(CASES):
        first, *others = found[i]
        assert (first.outcome, first.reason) == (case["outcome"], case["reason"]), case["why"]
        assert [row.outcome for row in others] == [None] * len(others), case["why"]
        events = [row for row in found[i] if row.event_id]
        assert [{name: plain(row[name]) for name in e} for row, e in zip(events, case["events"], strict=True)] == case[
            "events"
        ], case["why"]
        tables = {name for name in ("sailthru_messages", "blasts", "profiles") if first[name] is not None}
        if case["outcome"] == "accepted":
            table = case.get("table", "sailthru_messages")
            assert tables == {table}, case["why"]
            version = first[table]
            stated = case.get("version", {})
            assert {name: plain(version[name]) for name in stated} == stated, case["why"]
            assert version.record == case["raw"], case["why"]
        else:
            assert not tables, case["why"]
            assert bytes(first.record).decode() == case["raw"], case["why"]


def message(**fields: object) -> str:
    return json.dumps({"profile_id": "p", "send_time": "2025-10-24T08:00:03", "blast_id": 1, "message_id": 2, **fields})


def ids(rows: DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows.collect():
        found.setdefault(row.filename.split("/")[-2], []).append(row.event_id)
    return {name: sorted(events) for name, events in found.items()}


def test_a_record_sent_again_with_more_in_it_states_the_same_events_and_some(spark: SparkSession) -> None:
    at, click = {"ts": {"$date": 1761308531000}}, {"url": "u", "ts": {"$date": 1761308531000}}
    name = "4321_message_blast.20251025.json"
    found = ids(
        rows_of(
            spark,
            [
                (name, message(opens=[at], clicks=[click])),
                ("4321_message_blast_update.20251026.json.gz", message(clicks=[click], opens=[at])),
                (name, message(opens=[at, at], clicks=[click, {**click, "url": "v"}, click])),
                ("4322_message_blast.20251025.json", message(opens=[at], clicks=[click])),
                (name, message(opens=[{"ts": {"$date": "2025-10-24T12:22:11Z"}}], clicks=[click], device="x")),
            ],
        )
    )
    assert found["0"] == found["1"] == found["4"]
    assert len(found["0"]) == 3
    assert len(set(found["2"])) == 6
    assert set(found["0"]) < set(found["2"])
    assert not set(found["0"]) & set(found["3"]), "two clients never collide"


@pytest.mark.parametrize(
    ("name", "data_set"),
    [
        ("4321_message_blast.20251025.json.gz", "message_blast"),
        ("4484_message_blast_updates.20180912.json", "message_blast_update"),
        ("4321_message_transactional_update.20251025.json.gz", "message_transactional_update"),
        ("message_transactional_updates.json", "message_transactional_update"),
        ("blast.20160401.json", "blast"),
        ("4321_profile.json.gz", "profile"),
        ("4321_profile.20251025.csv", None),
        ("4321-profile.20251025.json", None),
        ("4321_message_blast_20251025.json", None),
        ("my_blast.20251025.json", None),
        ("notes.txt", None),
    ],
)
def test_the_data_set_is_told_by_the_file_name(name: str, data_set: str | None) -> None:
    assert data_set_of(name) == data_set
