"""The history of profiles end to end: whatever the order in which files come, it is what they say."""

import gzip
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import SparkSession

from jobs import tables
from jobs.build_summaries import build
from jobs.generator import generate_sailthru
from jobs.stream_events import load
from schemas.contract import Role
from schemas.profiles_history import PROFILES_HISTORY, TRACKED
from schemas.sailthru import PROFILE_VERSIONS, PROFILES, VERSIONS_TABLE
from tests.conftest import settings_for
from tests.jobs.test_sailthru import arrive, shuffled
from tests.tables import content, micros, rows_of, same_bag

NAME = re.compile(r"(?:([0-9]+)_)?profile(?:[.]([0-9]{8}))?[.]json")
NEW_YORK = ZoneInfo("America/New_York")
TIMES, LISTS = ("create_date", "signup_time", "optout_time"), ("lists_signup", "lists_remove")
DELIVERIES: dict[str, tuple[Callable[[list[Path]], list[Path]], int]] = {
    "in order": (lambda files: files, 3),
    "reversed": (lambda files: files[::-1], 1000),
    "one at a time": (shuffled, 1),
}
"""In which order files come, and how many of them in a batch."""
Said = dict[str, Any]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `input` with some days of profiles of two accounts, an undated export among them."""
    folder = tmp_path_factory.mktemp("exports")
    generate_sailthru(folder / "all", messages=200, days=2, update_days=1, seed=8, profiles=20)
    for number, file in enumerate(sorted((folder / "all").rglob("*profile*.json*"))):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        target = folder / "input" / file.relative_to(folder / "all").with_name(file.name.removesuffix(".gz"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(otherwise(data, number))
    return folder / "input"


def otherwise(text: bytes, number: int) -> bytes:
    """Some people with another address or variable than in other files, which the next file may take back."""
    changed = re.sub(rb'"email":"([a-m])', rb'"email":"x\1', text) if number % 3 == 0 else text
    return changed.replace(b'"plan level":2', b'"plan level":"%d"' % (number % 2))


def said(folder: Path) -> dict[tuple[str, str], dict[date | None, Said]]:
    """Of each profile what is tracked of it by file date, read by plain Python."""
    found: dict[tuple[str, str], dict[date | None, Said]] = defaultdict(dict)
    for file in folder.rglob("*.json"):
        name = NAME.fullmatch(file.name)
        assert name, file
        day = date.fromisoformat(name[2]) if name[2] else None
        for record in records_of(file):
            tracked = {column: record.get(column) for column in TRACKED}
            times = {column: instant(record.get(column)) for column in TIMES}
            found[name[1] or "", record["id"]][day] = by_meaning({**tracked, **times})
    return found


def records_of(file: Path) -> Iterator[Said]:
    """The records of a file that are profiles."""
    for line in file.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("id"):
            yield record


def by_meaning(tracked: Said) -> Said:
    """What is tracked, with lists by name however they are stated."""
    return {**tracked, **{name: lists_of(tracked[name]) for name in LISTS}}


def lists_of(stated: Any) -> dict[str, int | None] | None:
    """The times of lists by their names."""
    if isinstance(stated, list):
        return {one["name"]: instant(one["signup_time"]) for one in stated}
    return None if stated is None else {name: instant(text) for name, text in stated.items()}


def instant(text: str | None) -> int | None:
    """The microseconds since 1970 of a wall clock in New York."""
    return micros(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)) if text else None


def expected(folder: Path) -> list[str]:
    """The rows of `profiles_history`, computed by plain Python."""
    rows = []
    for key, by_date in said(folder).items():
        spans: list[list[Any]] = []
        for day in sorted(by_date, key=lambda day: day or date.min):
            if not spans or spans[-1][2] != by_date[day]:
                spans.append([day, None, by_date[day]])
        for before, after in pairwise(spans):
            before[1] = after[0]
        rows += [in_words(*key, *span[:2], span is spans[-1], span[2]) for span in spans]
    return rows


def found(warehouse: Path) -> list[str]:
    """The same of the table."""
    rows = []
    for row in rows_of(warehouse, PROFILES_HISTORY):
        times = {name: micros(row[name]) for name in TIMES}
        texts = {name: json.loads(row[name]) if row[name] else None for name in (*LISTS, "vars")}
        meaning = by_meaning({**{name: row[name] for name in TRACKED}, **times, **texts})
        rows.append(in_words(*[row[name] for name in PROFILES_HISTORY.columns[:5]], meaning))
    return rows


def in_words(*values: Any) -> str:
    """A row that can be counted; the order of keys says nothing."""
    return json.dumps(values, sort_keys=True, default=str)


@pytest.mark.slow
def test_in_whatever_order_files_come_the_history_is_what_they_say(
    spark: SparkSession, exports: Path, tmp_path: Path
) -> None:
    wanted = expected(exports)
    assert len(wanted) > 1.5 * len(said(exports))
    versions: dict[str, Counter[str]] = {}
    for name, (order, files_per_batch) in DELIVERIES.items():
        folder, warehouse = tmp_path / name, tmp_path / name / "warehouse"
        shutil.copytree(exports, folder / "input")
        arrive(folder / "input", order)
        settings = settings_for(folder, f"max_files_per_batch={files_per_batch}")
        load(settings, provider="sailthru", spark=spark)
        build(settings, only=[PROFILES_HISTORY.name], spark=spark)
        same_bag(found(warehouse), wanted)
        same = [*PROFILES.key, *TRACKED]
        current = [row for row in rows_of(warehouse, PROFILES_HISTORY) if row["is_current"]]
        same_bag(
            [repr([row[column] for column in same]) for row in current],
            [repr([row[column] for column in same]) for row in rows_of(warehouse, PROFILES)],
        )
        versions[name] = content(warehouse, PROFILE_VERSIONS, Role.IDENTITY, Role.SETTLED)
    assert versions["reversed"] == versions["one at a time"] == versions["in order"]


def test_files_that_come_again_add_no_version(spark: SparkSession, exports: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    shutil.copytree(exports, tmp_path / "input")
    load(settings_for(tmp_path), provider="sailthru", spark=spark)
    before = rows_of(warehouse, PROFILE_VERSIONS)
    shutil.copytree(exports / "sailthru", tmp_path / "input" / "sailthru" / "again")
    load(settings_for(tmp_path), provider="sailthru", spark=spark)
    same_bag(list(map(repr, rows_of(warehouse, PROFILE_VERSIONS))), list(map(repr, before)))
    assert {row["file_date"] is None for row in before} == {True, False}


def test_a_warehouse_made_before_gets_the_table_and_its_history_begins_with_the_newest_states(
    spark: SparkSession, exports: Path, tmp_path: Path
) -> None:
    early, late = sorted(exports.rglob("4321_profile.2*"))[:2]
    source, warehouse = tmp_path / "input" / "sailthru", tmp_path / "warehouse"
    source.mkdir(parents=True)
    shutil.copy(early, source)
    load(settings_for(tmp_path), provider="sailthru", spark=spark)
    shutil.rmtree(warehouse / PROFILE_VERSIONS.name)
    spark.sql(f"alter table delta.`{tables.uri(warehouse, PROFILES)}` unset tblproperties ('{VERSIONS_TABLE}')")
    before = {row["id"] for row in rows_of(warehouse, PROFILES, ["id"])}
    shutil.copy(late, source)
    load(settings_for(tmp_path), provider="sailthru", spark=spark)
    build(settings_for(tmp_path), only=[PROFILES_HISTORY.name], spark=spark)
    versions, history = rows_of(warehouse, PROFILE_VERSIONS), rows_of(warehouse, PROFILES_HISTORY)
    assert {f"{row['file_date']:%Y%m%d}" for row in versions} == {late.name.split(".")[1]}
    assert before <= {row["id"] for row in history}
