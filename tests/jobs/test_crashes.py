"""Killed with SIGKILL anywhere and started again, the tables are those of a job that was never killed.

The short form kills each job after some of its commits. The long form, which kills at each step as often as it has
rounds, is one command, with figures at its end:

    CRASH_ROUNDS=10 CRASH_KILLS=70 ./run-tests.sh tests/jobs/test_crashes.py -n 2 -rP
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from conf.settings import Settings
from jobs.build_summaries import build
from jobs.crash_points import VARIABLE
from jobs.generator import Forms, generate_requests, generate_sailthru, generate_ses
from jobs.replay_quarantine import replay
from jobs.stream_events import load
from jobs.summaries import SUMMARIES
from tests.conftest import settings_for
from tests.jobs.test_increments import change_requests
from tests.jobs.test_replay_quarantine import older_rules
from tests.tables import STATE_TABLES, assert_balanced, assert_is_truth, everything

PROJECT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "0"))
KILLS = int(os.environ.get("CRASH_KILLS", "2"))
SEED = int(os.environ.get("CRASH_SEED", "1"))
PATIENCE_SECONDS = 1800
"""For a start; on a machine that does much else it takes minutes."""
FORMS = Forms(odd_file_kinds=(), broken=0.2)
TWO_FILES, SOME_FILES = "max_files_per_batch=2", "max_files_per_batch=12"


def start_job(job: str, *options: str, kill_at: str = "") -> subprocess.Popen[str]:
    """A job as `./spark-submit.sh` starts it, in a session of its own."""
    command = [sys.executable, "-P", "-m", "jobs", job, *options]
    command += ["--master", "local[2]", "--set", "spark.shuffle_partitions=2"]
    # Java's quick compiler alone: a start takes a fifth less.
    command += ["--set", "spark.conf.spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(PROJECT), VARIABLE: kill_at},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def start(folder: Path, warehouse: str, *options: str, kill_at: str = "") -> subprocess.Popen[str]:
    """A loader of what is below `<folder>/input`, two files at a time."""
    folders = ("--input", str(folder / "input"), "--warehouse", str(folder / warehouse))
    return start_job("stream_events", "--provider", "ses", *options, *folders, "--set", TWO_FILES, kill_at=kill_at)


def run_here(folder: Path, warehouse: str, spark: SparkSession) -> None:
    """The same in this process, to the end."""
    settings = settings_for(folder, TWO_FILES).model_copy(update={"warehouse": str(folder / warehouse)})
    load(settings, provider="ses", spark=spark)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the driver and its JVM."""
    with suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ends_well(process: subprocess.Popen[str]) -> str:
    """Wait for the job, which must exit 0; what it printed."""
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, output
    return output


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A job that is killed at each of its steps."""

    job: str
    options: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    """Of settings."""
    run: Callable[[Settings, SparkSession], object]
    """The job to its end, in this process."""
    steps: tuple[str, ...] = ()
    """None: it is of the short form only."""
    short: tuple[str, ...] = ()
    """The steps of the short form; none: it is of the long form only."""
    prepare: Callable[[Path, int, SparkSession], None]
    """Makes `input`, and if the job needs one the `warehouse`, below a folder from a seed."""
    in_order: bool = False
    """Whether a step is not reached again once a later one was, or then does nothing any more."""
    check: Callable[[Path], None] = lambda warehouse: None
    """That the job did what it is killed at, by the warehouse of the run never killed."""


BATCH = ("files listed", "batch planned", "records parsed", "duplicates found", "events committed")
END_OF_BATCH = ("quarantine committed", "ledger committed", "rows released", "checkpoint committed")
STATES = tuple(f"{table.name} committed" for table in STATE_TABLES)


def ses_files(folder: Path, seed: int, _: SparkSession) -> None:
    """Twelve files of SES events."""
    generate_ses(folder / "input", events=360, seed=seed, forms=FORMS, events_per_file=30)


def sailthru_files(folder: Path, seed: int, _: SparkSession) -> None:
    """Three days of Sailthru exports."""
    generate_sailthru(folder / "input", messages=60, seed=seed, days=2, update_days=1)


def files_of_both(folder: Path, seed: int, spark: SparkSession) -> None:
    """Some files of each provider."""
    ses_files(folder, seed, spark)
    sailthru_files(folder, seed, spark)


def partly_summarised(folder: Path, seed: int, spark: SparkSession) -> None:
    """Both providers and requests loaded and summarised, then some more of each; both ways of a build are at hand."""
    source, settings = folder / "input", settings_for(folder)
    ses = generate_ses(source, events=300, seed=seed, events_per_file=15)
    sailthru = generate_sailthru(source, messages=60, seed=seed, days=2)
    generate_requests(source, ses, sailthru, seed=seed)
    later = [
        file for p in ("ses", "sailthru") for file in sorted(f for f in (source / p).rglob("*") if f.is_file())[-1:]
    ]
    for file in later:
        file.rename(file.with_name(f".{file.name}"))
    load(settings, spark=spark)
    build(settings, spark=spark)
    for file in later:
        file.with_name(f".{file.name}").rename(file)
    change_requests(source / "requests", random.Random(seed))
    load(settings, spark=spark)


def quarantined(folder: Path, seed: int, spark: SparkSession) -> None:
    """Both providers, loaded by rules that refused more."""
    generate_ses(folder / "input", events=200, seed=seed, events_per_file=50, forms=Forms(odd_file_kinds=()))
    sailthru_files(folder, seed, spark)
    with older_rules():
        load(settings_for(folder), spark=spark)


def is_made_by_parts(warehouse: Path) -> None:
    """The newest commit of `journeys` replaced some days of it."""
    (newest,) = DeltaTable(str(warehouse / "journeys")).history(1)
    assert "send_date" in newest["operationParameters"].get("predicate", ""), newest


SCENARIOS = {
    "ses": Scenario(
        job="stream_events",
        options=("--available-now", "--provider", "ses"),
        overrides=(TWO_FILES,),
        run=lambda settings, spark: load(settings, provider="ses", spark=spark),
        steps=(*BATCH, *END_OF_BATCH),
        prepare=ses_files,
    ),
    "sailthru": Scenario(
        job="stream_events",
        options=("--available-now", "--provider", "sailthru"),
        overrides=(SOME_FILES,),
        run=lambda settings, spark: load(settings, provider="sailthru", spark=spark),
        steps=(*BATCH[-1:], *STATES, *END_OF_BATCH[:2]),
        prepare=sailthru_files,
    ),
    "both providers": Scenario(
        job="stream_events",
        options=("--available-now", "--provider", "all"),
        overrides=(SOME_FILES,),
        run=lambda settings, spark: load(settings, spark=spark),
        short=("events committed", STATES[0], "ledger committed"),
        prepare=files_of_both,
    ),
    "summaries": Scenario(
        job="build_summaries",
        run=lambda settings, spark: build(settings, spark=spark),
        steps=("requests committed", *[f"{name} committed" for name in SUMMARIES]),
        short=("messages committed",),
        prepare=partly_summarised,
        check=is_made_by_parts,
        in_order=True,
    ),
    "replay": Scenario(
        job="replay_quarantine",
        run=lambda settings, spark: replay(settings, spark=spark),
        steps=("duplicates found", "events committed", *STATES[::2], "quarantine marked"),
        short=("events committed",),
        prepare=quarantined,
        in_order=True,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, of in SCENARIOS.items() if (of.steps if ROUNDS else of.short)])
def test_killed_at_each_step_the_tables_are_those_of_a_run_never_killed(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    scenario = SCENARIOS[name]
    random_order = random.Random(f"{SEED} {name}")
    kills: Counter[str] = Counter()
    began = time.monotonic()
    for number in range(ROUNDS or 1):
        folder = tmp_path / str(number)
        scenario.prepare(folder, SEED * 1000 + number, spark)
        (folder / "warehouse").mkdir(exist_ok=True)
        shutil.copytree(folder / "warehouse", folder / "whole")

        whole, settings = (
            settings_for(folder, *scenario.overrides).model_copy(update={"warehouse": str(folder / name)})
            for name in ("whole", "warehouse")
        )
        scenario.run(whole, spark)
        scenario.check(folder / "whole")
        steps = scenario.steps if ROUNDS else scenario.short
        for step in steps if scenario.in_order else random_order.sample(steps, len(steps)):
            folders = ("--input", settings.input, "--warehouse", settings.warehouse)
            overrides = [part for override in scenario.overrides for part in ("--set", override)]
            process = start_job(scenario.job, *scenario.options, *overrides, *folders, kill_at=step)
            output, _ = process.communicate(timeout=PATIENCE_SECONDS)
            assert process.returncode == -signal.SIGKILL, (step, output)
            kills[step] += 1
        scenario.run(settings, spark)
        assert everything(folder / "warehouse") == everything(folder / "whole"), f"seed {SEED}, round {number}"
        assert_balanced(folder / "warehouse")
        shutil.rmtree(folder)
    each = ", ".join(f"{step} {count}" for step, count in sorted(kills.items()))
    print(f"{name}: {kills.total()} kills in {time.monotonic() - began:.0f} s, seed {SEED}: {each}")


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_doubled(spark: SparkSession, tmp_path: Path) -> None:
    moments = random.Random(SEED)
    truth = generate_ses(tmp_path / "input", events=KILLS * 300, seed=12, events_per_file=60)
    alive = 0
    for _ in range(KILLS):
        process = start(tmp_path, "killed", "--available-now")
        time.sleep(moments.uniform(8, 40))
        alive += process.poll() is None
        kill(process)
    assert alive >= KILLS * 3 / 4
    run_here(tmp_path, "killed", spark)
    assert_is_truth(tmp_path / "killed", tmp_path / "input", truth)
    print(f"random moments: {alive} kills of {KILLS} before the end, seed {SEED}")


@pytest.mark.slow
def test_sigterm_ends_the_job_with_its_batch_done_and_exit_code_0(spark: SparkSession, tmp_path: Path) -> None:
    truth = generate_ses(tmp_path / "input", events=300, seed=13, events_per_file=100)
    process = start(tmp_path, "stopped", "--set", "trigger_interval_seconds=1")
    assert process.stdout
    for line in process.stdout:
        if "batch 0:" in line:
            break
    process.send_signal(signal.SIGTERM)
    assert "Stopped as asked" in ends_well(process)
    run_here(tmp_path, "stopped", spark)
    assert_is_truth(tmp_path / "stopped", tmp_path / "input", truth)
