"""What of records is not as the formats' pages say: kept by the stream, and visible in `drift`."""

import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs import tables
from jobs.build_summaries import build
from jobs.generator import Forms, generate_sailthru, generate_ses
from jobs.stream_events import load
from schemas.drift import DRIFT
from schemas.events import EVENTS
from tests.conftest import settings_for
from tests.jobs.test_stream_events import event
from tests.tables import content, rows_of

MONDAY, TUESDAY = 1_760_000_000, 1_760_086_400


def drifted(warehouse: Path) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    """The rows of `drift` by class or data set, kind, path and type."""
    return {(r["name"], r["kind"], r["path"], r["json_type"]): r for r in rows_of(warehouse, DRIFT)}


def put(folder: Path, name: str, *records: Any, at: int) -> None:
    """A file of records, modified at this time."""
    file = folder / "input" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(json.dumps(record) for record in records))
    os.utime(file, (at, at))


def changed(number: int, **at_paths: Any) -> dict[str, Any]:
    """An open with values put in at paths (`__` for a dot)."""
    record: dict[str, Any] = deepcopy(event(number))
    for path, value in at_paths.items():
        *outer, key = path.split("__")
        inner = record
        for name in outer:
            inner = inner[name]
        inner[key] = value
    return record


def test_what_is_not_as_it_should_be_is_kept_and_shown(spark: SparkSession, tmp_path: Path) -> None:
    mail = event(1)["mail"]
    opening = {"timestamp": "2025-10-25T19:00:00.000Z", "ipAddress": "198.51.100.1"}
    wrapped = {"Type": "Notification", "Message": json.dumps(changed(2, mail__tenant="blue"))}
    put(
        tmp_path,
        "ses/monday.json",
        changed(1, open__tls={"version": "1.3"}),
        wrapped,
        changed(3, mail__destination="ada@example.com"),
        {"eventType": "Inbox Placement", "mail": mail, "placement": {"timestamp": "2025-10-25T19:00:00Z"}},
        {"eventType": "Open", "mail": mail, "opening": opening},
        {"eventType": "Open", "mail": mail, "opening": {**opening, "timestamp": "2025-10-25T20:00:00.000Z"}},
        {"eventType": "Click", "mail": mail, "click": {"at": "2025-10-25T21:00:00Z", "link": "a"}},
        {"eventType": "Click", "mail": mail, "click": {"at": "2025-10-25T22:00:00Z", "link": "b"}},
        {"eventType": "Bounce", "mail": mail, "bounce": {"bouncedRecipients": [{"name": "a"}, {"name": "b"}]}},
        at=MONDAY,
    )
    put(tmp_path, "sailthru/4321_blast.20251025.json", {"id": 7, "name": "a", "day": 5, "sender": "x"}, at=MONDAY)
    settings = settings_for(tmp_path)
    load(settings, spark=spark)
    build(settings, only=["drift"], spark=spark)
    warehouse = tmp_path / "warehouse"
    found = drifted(warehouse)
    assert {key: row["records"] for key, row in found.items()} == {
        ("open", "unknown_field", "open.tls", "object"): 1,
        ("open", "unknown_field", "mail.tenant", "string"): 1,
        ("open", "other_type", "mail.destination", "string"): 1,
        ("inbox_placement", "new_class", "", "none"): 1,
        ("inbox_placement", "unknown_field", "placement", "object"): 1,
        ("open", "missing_field", "open.timestamp", "none"): 2,
        ("open", "unknown_field", "opening", "object"): 2,
        ("click", "missing_field", "click.timestamp", "none"): 2,
        ("click", "unknown_field", "click.at", "string"): 2,
        ("bounce", "missing_field", "bounce.timestamp", "none"): 1,
        ("bounce", "unknown_field", "bounce.bouncedRecipients.name", "string"): 2,
        ("blast", "other_type", "day", "number"): 1,
        ("blast", "unknown_field", "sender", "string"): 1,
    }
    tls = found["open", "unknown_field", "open.tls", "object"]
    assert tls["sample"] == '{"version":"1.3"}'
    assert tls["filename"].endswith("/ses/monday.json")
    assert tls["first_seen_at"].timestamp() == tls["last_seen_at"].timestamp() == MONDAY
    opened = "2025-10-25T19:00:00.001Z"
    kept = [r for r in rows_of(warehouse, EVENTS) if r["message_id"] == "m1" and r["event_class"] != "bounce"]
    ordered = sorted(kept, key=lambda r: (r["event_class"], r["event_time"], r["event_data"]))
    assert [(r["event_class"], r["event_time"].hour, json.loads(r["event_data"])) for r in ordered] == [
        ("click", 18, {"at": "2025-10-25T21:00:00Z", "link": "a"}),
        ("click", 18, {"at": "2025-10-25T22:00:00Z", "link": "b"}),
        ("inbox_placement", 19, {"timestamp": "2025-10-25T19:00:00Z"}),
        ("open", 19, opening),
        ("open", 19, {"ipAddress": "198.51.100.1", "timestamp": opened, "tls": {"version": "1.3"}}),
        ("open", 20, {**opening, "timestamp": "2025-10-25T20:00:00.000Z"}),
    ]


def test_files_are_read_once_for_it_and_all_together_say_the_same(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "input" / "sailthru").mkdir(parents=True)
    (tmp_path / "input" / "sailthru" / "4321_blast.20251025.json").write_text("no JSON\n")
    put(tmp_path, "ses/monday.json", changed(1, mail__tenant="blue"), changed(2, mail__tenant="red"), at=MONDAY)
    settings, warehouse = settings_for(tmp_path), tmp_path / "warehouse"
    load(settings, spark=spark)
    build(settings, only=["drift"], spark=spark)
    put(tmp_path, "ses/tuesday.json", changed(3, mail__tenant="green"), changed(4, mail__size=5), at=TUESDAY)
    put(tmp_path, "ses/earlier.json", changed(5, mail__tenant="grey"), at=MONDAY - 60)
    load(settings, spark=spark)
    build(settings, only=["drift"], spark=spark)
    tenant = drifted(warehouse)["open", "unknown_field", "mail.tenant", "string"]
    assert tenant["records"] == 4
    assert tenant["sample"] == '"grey"'
    assert [tenant[name].timestamp() for name in ("first_seen_at", "last_seen_at")] == [MONDAY - 60, TUESDAY]
    step_by_step = content(warehouse, DRIFT)
    build(settings, only=["drift"], full=True, spark=spark)
    assert content(warehouse, DRIFT) == step_by_step
    for file in (tmp_path / "input" / "ses").iterdir():
        file.unlink()
    build(settings, only=["drift"], spark=spark)
    assert content(warehouse, DRIFT) == step_by_step


def test_records_as_the_pages_have_them_are_no_drift(spark: SparkSession, tmp_path: Path) -> None:
    generate_ses(tmp_path / "input", events=200, seed=6, forms=Forms.plain())
    generate_sailthru(tmp_path / "input", messages=40, seed=6, days=1, update_days=1, odd=False)
    settings = settings_for(tmp_path)
    load(settings, spark=spark)
    warehouse = tmp_path / "warehouse"
    for made, when in enumerate(("at first", "nothing new"), start=1):
        build(settings, only=["drift"], spark=spark)
        assert drifted(warehouse) == {}, when
        said = tables.note_of(warehouse, DRIFT)
        assert said is not None, "all files would be read again next time"
        assert json.loads(said)["files_version"] == DeltaTable(str(warehouse / "files")).version()
        assert DeltaTable(str(warehouse / "drift")).version() == made
