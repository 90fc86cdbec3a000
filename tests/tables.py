"""Tables of a warehouse as plain rows, read without Spark, to compare with each other and with the truth."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from jobs.generator import FileTruth, QuarantineTruth, SailthruTruth, Truth
from jobs.s3 import S3Path
from schemas.catalog import tables_with
from schemas.contract import Role, TableContract
from schemas.events import EVENTS, REPLAYED
from schemas.files import FILES
from schemas.metrics import DEFAULT_PROFILE
from schemas.quarantine import QUARANTINE
from schemas.sailthru import BLASTS, PROFILE_VERSIONS, PROFILES, SAILTHRU_MESSAGES
from tests.conftest import settings_for

NEWEST_TABLES = (SAILTHRU_MESSAGES, BLASTS, PROFILES)
AS_TESTED = tables_with(DEFAULT_PROFILE, settings_for(Path("unused")).features.wanted)
"""All tables, with the columns that the settings of tests give them."""
STATE_TABLES = (*NEWEST_TABLES, PROFILE_VERSIONS)
LAGS = ("as_of", "event_lag_seconds", "modified_lag_seconds", "load_lag_seconds")
LOAD_COLUMNS = ("etl_time", "batch_id", "replayed_at", "first_published_at", *LAGS)


def rows_of(warehouse: Path, contract: TableContract, columns: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a table, read by delta-rs."""
    table = DeltaTable(str(warehouse / contract.name)).to_pyarrow_table(columns=list(columns or contract.columns))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def operations(table: Path) -> list[str]:
    """What was done in each version of a table from 0 on, of which none is left out; nothing if it is not there."""
    files = sorted((table / "_delta_log").glob("?" * 20 + ".json"))
    assert [int(file.stem) for file in files] == list(range(len(files)))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [line["commitInfo"]["operation"] for line in lines if "commitInfo" in line]


def content(warehouse: Path, contract: TableContract, *roles: Role) -> Counter[str]:
    """The rows as an order-free bag over the columns of `roles` (all but load time and batch, if none is given)."""
    columns = contract.columns_of(*roles) if roles else contract.columns
    columns = [name for name in columns if name not in LOAD_COLUMNS]
    return Counter(repr(sorted(row.items())) for row in rows_of(warehouse, contract, columns))


def everything(warehouse: Path) -> dict[str, Counter[str]]:
    """The content of every table that is there, load times and batch ids aside."""
    return {table.name: content(warehouse, table) for table in AS_TESTED if (warehouse / table.name).exists()}


def micros(at: datetime | None) -> int | None:
    """An instant as microseconds since 1970."""
    return None if at is None else round(at.timestamp() * 1_000_000)


def assert_is_truth(warehouse: Path, source: Path | S3Path, truth: Truth) -> None:
    """Every event, every ledger line and every quarantined record is as the generator knows it must be."""
    assert_events_are_truth(warehouse, truth)
    assert_files_are_truth(warehouse, source, truth.files, truth.quarantine)


def assert_files_are_truth(
    warehouse: Path, source: Path | S3Path, files: Iterable[FileTruth], quarantine: Iterable[QuarantineTruth]
) -> None:
    """Ledger and quarantine are as the generator of the files below `source` knows they must be."""
    prefix = f"{source}/" if isinstance(source, S3Path) else f"file://{source}/"
    ledger = {row["filename"].removeprefix(prefix): row for row in rows_of(warehouse, FILES)}
    counts = ("records", "accepted", "quarantined", "control", "events", "status")
    found = {name: tuple(row[c] for c in counts) for name, row in ledger.items()}
    expected = {f.filename: tuple(getattr(f, c) for c in counts) for f in files}
    differing = {n: (found.get(n), expected.get(n)) for n in found | expected if found.get(n) != expected.get(n)}
    assert not differing, f"found, expected: {differing}"
    rows = rows_of(warehouse, QUARANTINE)
    assert Counter((r["filename"].removeprefix(prefix), r["reason"]) for r in rows) == Counter(
        (q.filename, q.reason) for q in quarantine
    )
    stated = {(q.filename, q.sha256, q.length) for q in quarantine if q.sha256}
    assert stated <= {(r["filename"].removeprefix(prefix), r["record_sha256"], r["record_length"]) for r in rows}
    assert_balanced(warehouse)


def assert_is_sailthru_truth(warehouse: Path, truth: SailthruTruth) -> None:
    """Events and state tables hold what the generator knows they must, each once."""
    columns = ("event_class", "account", "message_id", "profile_id", "campaign", "link")
    times = ("event_time", "completion_time", "timestamp")
    same_bag(
        [
            (*(row[c] for c in columns), *(micros(row[c]) for c in times))
            for row in rows_of(warehouse, EVENTS, (*columns, *times, "provider"))
            if row["provider"] == "sailthru"
        ],
        [(*(getattr(e, c) for c in columns), *(getattr(e, c) for c in times)) for e in truth.events],
    )
    for contract, rows in zip(NEWEST_TABLES, (truth.messages, truth.blasts, truth.profiles), strict=True):
        names = list(rows[0]) if rows else []
        same_bag(
            [tuple(plain(row[name]) for name in names) for row in rows_of(warehouse, contract)],
            [tuple(plain(row[name], name) for name in names) for row in rows],
        )


def plain(value: Any, name: str = "") -> Any:
    """A value of a table or of the truth in the one form in which both are compared."""
    match value:
        case datetime():
            return micros(value)
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:.2f}"
        case list() | tuple():
            return tuple(plain(v) for v in value)
        case dict():  # a struct; of one field its value
            fields = tuple(map(plain, value.values()))
            return fields if len(fields) > 1 else fields[0]
        case str() if name == "message_revenue":
            return f"{Decimal(value):.2f}"
    return value


def same_bag(found: list[Any], expected: list[Any]) -> None:
    """Both hold the same rows, each as often."""
    lacking, surplus = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    assert not lacking, f"{lacking.total()} lacking, {surplus.total()} surplus: {list(lacking)[:2]} {list(surplus)[:2]}"
    assert not surplus, f"{surplus.total()} surplus: {list(surplus)[:3]}"


def assert_events_are_truth(warehouse: Path, truth: Truth) -> None:
    """The `events` table holds each distinct SES event of the truth, once."""

    def texts(values: Iterable[str] | None) -> tuple[str, ...] | None:
        return None if values is None else tuple(values)

    same = (
        "event_class",
        "message_id",
        "source",
        "event_type",
        "event_subclass",
        "link",
        "ip_address",
        "user_agent",
    )
    found = [
        (
            *(row[c] for c in same),
            row["feedback_id"],
            *(micros(row[c]) for c in ("event_time", "completion_time", "timestamp")),
            texts(row["event_recipients"]),
            texts(row["destination"]),
        )
        for row in rows_of(warehouse, EVENTS)
        if row["provider"] == "ses"
    ]
    expected = [
        (
            *(getattr(e, c) for c in same),
            e.feedback_id,
            e.event_time,
            e.completion_time,
            e.timestamp,
            e.event_recipients,
            e.destination,
        )
        for e in truth.events
    ]
    same_bag(found, expected)


def assert_balanced(warehouse: Path) -> None:
    """The ledger adds up, and its sums are the numbers of rows of the other tables (design.md section 3)."""
    total: Counter[str] = Counter()
    for row in rows_of(warehouse, FILES):
        assert row["records"] == row["accepted"] + row["quarantined"] + row["control"], row
        assert row["events"] == row["events_new"] + row["events_duplicate"], row
        total.update({c: row[c] for c in ("events_new", "quarantined")})
    events = rows_of(warehouse, EVENTS, ["event_id", "batch_id"])
    assert total["events_new"] == sum(not row["batch_id"].startswith(REPLAYED) for row in events)
    assert total["quarantined"] == len(rows_of(warehouse, QUARANTINE, ["reason"]))
    assert len(events) == len({row["event_id"] for row in events})
