"""Killed with SIGKILL anywhere and started again, the tables are those of a job that was never killed.

The short form kills each job after some of its commits. The long form, which kills at each step as often as it has
rounds, is one command, with figures at its end:

    CRASH_ROUNDS=10 CRASH_KILLS=70 ./run-tests.sh tests/jobs/test_crashes*.py -n 2 -rP
"""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.generator import Forms, SailthruTruth, Truth, generate_sailthru, generate_ses
from jobs.s3 import S3Path
from jobs.stream_events import load
from tests.conftest import settings_for
from tests.crashes import (
    ROUNDS,
    SEED,
    STATES,
    Scenario,
    assert_kills_leave_no_trace,
    killed_at,
    places_of,
    sailthru_files,
    start_job,
)
from tests.moto import Queue
from tests.s3 import Bucket
from tests.tables import (
    assert_events_are_truth,
    assert_files_are_truth,
    assert_is_sailthru_truth,
    assert_is_truth,
)

pytestmark = pytest.mark.usefixtures("one_partition")

KILLS = int(os.environ.get("CRASH_KILLS", "0"))
FORMS = Forms(odd_file_kinds=(), broken=0.2)
TWO_FILES, SOME_FILES = "max_files_per_batch=2", "max_files_per_batch=12"
BATCH = ("files listed", "batch planned", "records parsed", "duplicates found", "events committed")
END_OF_BATCH = ("quarantine committed", "ledger committed", "rows released", "checkpoint committed")
STEPS = (*BATCH, *END_OF_BATCH)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the driver and its JVM."""
    with suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ses_files(folder: Path, seed: int, _: SparkSession) -> None:
    """Twelve files of SES events."""
    generate_ses(folder / "input", events=360, seed=seed, forms=FORMS, events_per_file=30)


def is_compacted(warehouse: Path) -> None:
    """Files of `events` were put together."""
    commits = DeltaTable(str(warehouse / "events")).history()
    assert any(commit["operation"] == "OPTIMIZE" for commit in commits), commits


SCENARIOS = {
    "ses": Scenario(
        job="stream_events",
        options=("--available-now", "--provider", "ses"),
        overrides=(TWO_FILES,),
        run=lambda settings, spark: load(settings, provider="ses", spark=spark),
        steps=STEPS,
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
    "ses, with compactions": Scenario(
        job="stream_events",
        options=("--available-now", "--provider", "ses"),
        overrides=(TWO_FILES, "maintenance.every_batches=1"),
        run=lambda settings, spark: load(settings, provider="ses", spark=spark),
        steps=("table compacted", "tables maintained"),
        prepare=ses_files,
        check=is_compacted,
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(not ROUNDS, reason="of the long form: in the short form the stream is killed on S3")
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_each_step_the_tables_are_those_of_a_run_never_killed(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    assert_kills_leave_no_trace(name, SCENARIOS[name], tmp_path, spark)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "provider", "step"),
    [
        pytest.param("listing", "sailthru", STATES[0], id="listing"),
        pytest.param("notifications", "ses", "ledger committed", id="notifications"),
    ],
)
def test_killed_on_s3_nothing_is_lost_or_doubled(
    spark: SparkSession, tmp_path: Path, bucket: Bucket, queue: Queue, mode: str, provider: str, step: str
) -> None:
    """The short form kills where the rows of a batch are committed in part, and after the ledger's line."""
    discovery = (f"mode={mode}", f"ses_queue_url={queue.url}", "visibility_seconds=5", "wait_seconds=1")
    overrides = (
        f"max_files_per_batch={2 if ROUNDS else 100}",
        "s3.lease_seconds=2",
        *(f"discovery.{setting}" for setting in discovery),
    )
    options = ("--available-now", "--provider", provider, *(part for one in overrides for part in ("--set", one)))
    for number in range(ROUNDS or 1):
        folder, place = bucket.folder / str(number), S3Path(bucket.name, str(number))
        source, seed = tmp_path / str(number) / "input", SEED * 1000 + number
        truth: Truth | SailthruTruth
        if provider == "ses":
            truth = generate_ses(source, events=180, seed=seed, forms=FORMS, events_per_file=30)
        else:
            truth = generate_sailthru(source, messages=20, seed=seed, days=1, update_days=1)
        bucket.upload(source.parent, str(number))
        if mode == "notifications":
            queue.send(*bucket.notifications(f"{number}/input/ses"))
        settings = settings_for(folder, *overrides).model_copy(
            update={"input": f"{place}/input", "warehouse": f"{place}/warehouse"}
        )
        every = [*STEPS, *(STATES if provider == "sailthru" else ())]
        steps = random.Random(seed).sample(every, len(every)) if ROUNDS else [step]
        for at in steps:
            killed_at(at, "stream_events", *options, *places_of(settings))
        load(settings, provider=provider, spark=spark)
        if isinstance(truth, Truth):
            assert_events_are_truth(folder / "warehouse", truth)
        else:
            assert_is_sailthru_truth(folder / "warehouse", truth)
        assert_files_are_truth(folder / "warehouse", place / "input", truth.files, truth.quarantine)
        assert queue.count() == 0
        print(f"on S3, {mode}: killed after {', '.join(steps)}, seed {SEED}")


@pytest.mark.slow
@pytest.mark.skipif(not KILLS, reason="of the long form")
def test_killed_at_random_moments_nothing_is_lost_or_doubled(spark: SparkSession, tmp_path: Path) -> None:
    moments = random.Random(SEED)
    truth = generate_ses(tmp_path / "input", events=KILLS * 300, seed=12, events_per_file=60)
    settings, alive = settings_for(tmp_path, TWO_FILES), 0
    options = ("--available-now", "--provider", "ses", "--set", TWO_FILES)
    for _ in range(KILLS):
        process = start_job("stream_events", *options, *places_of(settings))
        time.sleep(moments.uniform(8, 40))
        alive += process.poll() is None
        kill(process)
    assert alive >= KILLS * 3 / 4
    load(settings, provider="ses", spark=spark)
    assert_is_truth(tmp_path / "warehouse", tmp_path / "input", truth)
    print(f"random moments: {alive} kills of {KILLS} before the end, seed {SEED}")
