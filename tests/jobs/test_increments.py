"""Summaries brought up to date piece by piece are those made anew from everything.

In the short form an increment is of one provider's files, or of requests and purchases alone, and `journeys` and some
others are made after it, so that what is new is of one or more. In the long form it is of all, and all are made, and
looked at, after each of ten; a seed gives other files and another order:

    INCREMENTS=10 INCREMENT_SEED=2 ./run-tests.sh tests/jobs/test_increments.py -rP
"""

import csv
import math
import os
import random
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import sources as sources_module
from jobs.build_summaries import build
from jobs.generator import Forms, generate_purchases, generate_requests, generate_sailthru, generate_ses
from jobs.maintenance import vacuum
from jobs.parts import anew_if_changed
from jobs.stream_events import load
from jobs.summaries import SUMMARIES
from schemas.events import EVENTS
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGES
from schemas.person_events import PERSON_EVENTS
from schemas.restatement import RESTATEMENT
from schemas.sailthru import PROFILE_VERSIONS, SAILTHRU_MESSAGES
from schemas.sessions import SESSIONS
from tests.conftest import settings_for
from tests.jobs.test_maintain_tables import MIB, compact
from tests.tables import everything, rows_of

INCREMENTS = int(os.environ.get("INCREMENTS", "0"))
SEED = int(os.environ.get("INCREMENT_SEED", "1"))
MADE = [name for name, summary in SUMMARIES.items() if INCREMENTS or summary.part not in (None, anew_if_changed)]
"""The short form makes those that are made by parts."""
FORMS = Forms(odd_file_kinds=(), broken=0.05)


def assert_equal_to_made_anew(settings: Settings, folder: Path, spark: SparkSession, only: Collection[str]) -> None:
    """A copy of the warehouse, made anew, has the same content."""
    shutil.copytree(settings.warehouse, folder / "anew")
    build(settings.model_copy(update={"warehouse": str(folder / "anew")}), only=only, full=True, spark=spark)
    anew, found = everything(folder / "anew"), everything(Path(settings.warehouse))
    assert found.keys() == anew.keys()
    for name, rows in anew.items():
        assert found[name] == rows, (name, found[name] - rows, rows - found[name])
    shutil.rmtree(folder / "anew")


def made_by_parts(warehouse: Path) -> int:
    """How often some days of `journeys` were replaced."""
    commits = [c for c in DeltaTable(str(warehouse / "journeys")).history() if c["operation"] == "WRITE"]
    return sum("send_date" in commit.get("operationParameters", {}).get("predicate", "") for commit in commits)


def change_requests(folder: Path, chance: random.Random) -> None:
    """Some rows of one file are corrected, removed or brought again with another region and a later time."""
    file = chance.choice(sorted(folder.glob("*.csv")))
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header, *rows = csv.reader(lines)
    changed = []
    for row in rows:
        what = chance.random()
        if what < 0.03:
            continue
        if what < 0.06 and len(row) == len(header):
            row[header.index("region")] = "Atlantis"
        changed.append(row)
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([header, *changed])


def bring(files: list[Path], made: Path, source: Path, again: str = "") -> None:
    """Files of what was made, delivered; a second time in another folder."""
    for file in files:
        place = source / file.relative_to(made).parent / again / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)


def some_of(names: Sequence[str], chance: random.Random) -> set[str]:
    """`journeys`, and a fifth of the others but for `quality`, which looks at all tables at once."""
    others = sorted(set(names) - {"journeys", "quality"})
    return {"journeys", *chance.sample(others, len(others) // 5)}


def compact_some(spark: SparkSession, warehouse: Path) -> None:
    """Tables that summaries are made of, and some summaries, which are made of each other."""
    scattered = (EVENTS, SAILTHRU_MESSAGES, PROFILE_VERSIONS, JOURNEYS, MESSAGES, PERSON_EVENTS)
    assert sum(compact(spark, warehouse, contract, MIB) for contract in scattered) > 0


@pytest.mark.slow
def test_ten_increments_in_any_order_equal_a_full_build(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late, repeated and re-sent records, requests added, corrected and removed, and compactions before and after."""
    monkeypatch.setattr(sources_module, "MOST_TOUCHED", math.inf)
    for bound in ("SMALL_BYTES", "LARGE_BYTES"):
        monkeypatch.setattr(sources_module, bound, 0)
    monkeypatch.setattr(sources_module, "MOST_CHANGED", 1.0)
    chance, made = random.Random(SEED), tmp_path / "made"
    ses = generate_ses(made, events=1200, seed=SEED, forms=FORMS, events_per_file=60, days=5)
    clients = ("4321", "77")
    sailthru = generate_sailthru(made, messages=120, seed=SEED, days=4, update_days=3, clients=clients)
    generate_requests(made, ses, sailthru, seed=SEED)
    generate_purchases(made, sailthru, seed=SEED)
    files = [
        file for name in ("ses", "sailthru", "purchases") for file in sorted((made / name).rglob("*")) if file.is_file()
    ]
    asked = sorted((made / "requests").glob("*.csv"))
    chance.shuffle(files)
    chance.shuffle(asked)
    settings = settings_for(tmp_path, "campaigns.many=2", "campaigns.response_days=2")
    source, parts, loads = Path(settings.input), 11, 0
    for number in range(parts):
        bring(files[number::parts], made, source)
        bring(asked[number::parts], made, source)
        if number:
            bring(chance.sample(files[number - 1 :: parts], 2), made, source, again=f"again{number}")
        if number % 3:
            change_requests(source / "requests", chance)
        if number in (3, 7):
            compact_some(spark, Path(settings.warehouse))
        is_last = number == parts - 1
        is_whole = is_last or INCREMENTS or not number
        if is_whole or number % 2:
            load(settings, provider="all" if is_whole else chance.choice(("ses", "sailthru")), spark=spark)
            loads += 1
        if number in (5, 7):
            compact_some(spark, Path(settings.warehouse))
        build(settings, only=MADE if is_whole else some_of(MADE, chance), spark=spark)
        if INCREMENTS:
            assert_equal_to_made_anew(settings, tmp_path, spark, MADE)
    assert_equal_to_made_anew(settings, tmp_path, spark, MADE)
    assert made_by_parts(Path(settings.warehouse)) == loads - 1


def test_without_an_old_version_or_with_other_settings_all_is_made_anew(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a VACUUM, or where the kind of email is told otherwise now."""
    monkeypatch.setattr(sources_module, "MOST_TOUCHED", 1.0)
    settings = settings_for(tmp_path)
    for seed in (1, 2, 3, 4):
        generate_ses(Path(settings.input) / f"ses/{seed}", events=40, seed=seed, forms=Forms.plain())
    held = [Path(settings.input) / f"ses/{seed}" for seed in (2, 3, 4)]
    for folder in held:
        folder.rename(tmp_path / folder.name)
    warehouse, only = Path(settings.warehouse), ["journeys", "messages", "restatement"]

    def bring_and_build(*overrides: str, only: Sequence[str] = only) -> None:
        folder = held.pop(0)
        (tmp_path / folder.name).rename(folder)
        load(settings, spark=spark)
        build(settings_for(tmp_path, *overrides), only=only, spark=spark)

    load(settings, spark=spark)
    build(settings, only=only, spark=spark)
    bring_and_build()
    assert made_by_parts(warehouse) == 1
    bring_and_build("email_kind_tag=ses:from-domain")
    assert made_by_parts(warehouse) == 1
    assert {row["email_kind"] for row in rows_of(warehouse, MESSAGES)} != {"unknown"}
    bring_and_build("email_kind_tag=ses:from-domain", only=only[:2])
    assert made_by_parts(warehouse) == 2
    assert vacuum(spark, warehouse, MESSAGES, 0) > 0
    build(settings_for(tmp_path, "email_kind_tag=ses:from-domain"), only=only[2:], spark=spark)
    days = Counter(row["send_date"] for row in rows_of(warehouse, MESSAGES))
    assert {row["send_date"]: row["messages"] for row in rows_of(warehouse, RESTATEMENT)} == days


def test_a_summary_made_alone_is_of_what_is_there_now(spark: SparkSession, tmp_path: Path) -> None:
    """Not of the stored table that it is usually made of, which may be older, or not there at all."""
    settings, alone = settings_for(tmp_path), ["sessions"]

    def opened() -> int:
        return sum(row["events"] for row in rows_of(Path(settings.warehouse), SESSIONS))

    def bring_more(seed: int) -> None:
        generate_ses(Path(settings.input) / f"ses/{seed}", events=60, seed=seed, forms=Forms.plain())
        load(settings, spark=spark)

    bring_more(1)
    for _ in range(2):
        build(settings, only=alone, spark=spark)
    before = opened()
    build(settings, only=["person_events", *alone], spark=spark)
    assert opened() == before > 0
    bring_more(2)
    build(settings, only=alone, spark=spark)
    found = opened()
    assert found > before
    build(settings, only=["person_events", *alone], spark=spark)
    assert opened() == found


def test_only_what_was_added_is_new_though_files_were_put_together(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a compaction alone nothing is new; of one between loads no row that was there before."""
    monkeypatch.setattr(sources_module, "MOST_TOUCHED", 1.0)
    settings, only = settings_for(tmp_path, "progress=json"), ["journeys", "messages"]
    warehouse = Path(settings.warehouse)

    def bring_more(seed: int) -> int:
        before = len(rows_of(warehouse, EVENTS)) if (warehouse / "events").exists() else 0
        generate_ses(Path(settings.input) / f"ses/{seed}", events=60, seed=seed, forms=Forms.plain(), days=2)
        load(settings, spark=spark)
        return len(rows_of(warehouse, EVENTS)) - before

    bring_more(1)
    bring_more(2)
    build(settings, only=only, spark=spark)
    since = {"events_version": DeltaTable(str(warehouse / "events")).version()}
    assert compact(spark, warehouse, EVENTS, MIB) > 0
    assert compact(spark, warehouse, JOURNEYS, 1) == 0
    assert hows(settings, only, spark) == ["nothing new"] * 2
    new = bring_more(3)
    assert compact(spark, warehouse, EVENTS, MIB) > 0
    new += bring_more(4)
    rows = sources_module.Sources(spark, settings, full=False).new_events(since)
    assert rows is not None
    assert rows.count() == new == rows.select("event_id").distinct().count()
    assert hows(settings, only, spark) == ["brought up to date"] * 2


def test_requests_that_cannot_be_read_are_refused_before_a_summary_is_written(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Though what is new of messages is looked for meanwhile."""
    settings, only = settings_for(tmp_path), ["journeys", "messages", "region_summary"]

    def versions() -> dict[str, int]:
        return {name: DeltaTable(f"{settings.warehouse}/{name}").version() for name in only}

    for seed in (1, 2):
        generate_ses(Path(settings.input) / f"ses/{seed}", events=60, seed=seed, forms=Forms.plain())
        load(settings, spark=spark)
        if seed == 1:
            build(settings, only=only, spark=spark)
    were, requests = versions(), Path(settings.input) / "requests"
    requests.mkdir()
    (requests / "a.csv").write_text("neither,nor\n1,2\n")
    with pytest.raises(ConfigurationError, match=r"a\.csv"):
        build(settings, only=only, spark=spark)
    assert versions() == were
    shutil.rmtree(requests)
    build(settings, only=only, spark=spark)
    assert all(now > then for now, then in zip(versions().values(), were.values(), strict=True))


def hows(settings: Settings, only: list[str], spark: SparkSession) -> list[str]:
    """How each summary was made by a build."""
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.build_summaries._tell", lambda _name, made, *_: told.append(made.how))
        build(settings, only=only, spark=spark)
    return told
