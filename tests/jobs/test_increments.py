"""Summaries brought up to date piece by piece are those made anew from everything.

The long form looks after each of ten increments; a seed gives other files and another order:

    INCREMENTS=10 INCREMENT_SEED=2 ./run-tests.sh tests/jobs/test_increments.py -rP
"""

import csv
import os
import random
import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.settings import Settings
from jobs import sources as sources_module
from jobs import summaries
from jobs.build_summaries import build
from jobs.generator import Forms, generate_requests, generate_sailthru, generate_ses
from jobs.stream_events import load
from jobs.summaries import SUMMARIES
from tests.conftest import settings_for
from tests.tables import everything

INCREMENTS = int(os.environ.get("INCREMENTS", "0"))
SEED = int(os.environ.get("INCREMENT_SEED", "1"))
BY_PARTS = [name for name, summary in SUMMARIES.items() if summary.part]
FORMS = Forms(odd_file_kinds=(), broken=0.05)


def assert_equal_to_made_anew(settings: Settings, folder: Path, spark: SparkSession) -> None:
    """A copy of the warehouse, made anew, has the same content."""
    shutil.copytree(settings.warehouse, folder / "anew")
    build(settings.model_copy(update={"warehouse": str(folder / "anew")}), full=True, spark=spark)
    anew, found = everything(folder / "anew"), everything(Path(settings.warehouse))
    assert found.keys() == anew.keys()
    for name, rows in anew.items():
        assert found[name] == rows, (name, found[name] - rows, rows - found[name])
    shutil.rmtree(folder / "anew")


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


@pytest.mark.slow
def test_ten_increments_in_any_order_equal_a_full_build(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late, repeated and re-sent records, and requests added, corrected and removed."""
    monkeypatch.setattr(sources_module, "MOST_TOUCHED", 1.0)
    monkeypatch.setattr(summaries, "MOST_OF_CAMPAIGNS", 1.0)
    chance, made = random.Random(SEED), tmp_path / "made"
    ses = generate_ses(made, events=1200, seed=SEED, forms=FORMS, events_per_file=60, days=5)
    clients = ("4321", "77")
    sailthru = generate_sailthru(made, messages=120, seed=SEED, days=4, update_days=3, clients=clients)
    generate_requests(made, ses, sailthru, seed=SEED)
    files = [file for name in ("ses", "sailthru") for file in sorted((made / name).rglob("*")) if file.is_file()]
    asked = sorted((made / "requests").glob("*.csv"))
    chance.shuffle(files)
    chance.shuffle(asked)
    settings = settings_for(tmp_path, "campaigns.many=2", "campaigns.response_days=2")
    source, parts = Path(settings.input), 11
    for number in range(parts):
        bring(files[number::parts], made, source)
        bring(asked[number::parts], made, source)
        if number:
            bring(chance.sample(files[number - 1 :: parts], 2), made, source, again=f"again{number}")
            change_requests(source / "requests", chance)
        load(settings, spark=spark)
        build(settings, only=BY_PARTS if number < parts - 1 and not INCREMENTS else SUMMARIES, spark=spark)
        if INCREMENTS:
            assert_equal_to_made_anew(settings, tmp_path, spark)
    assert_equal_to_made_anew(settings, tmp_path, spark)
