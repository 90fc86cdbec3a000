"""Killed with SIGKILL anywhere and started again, the tables are those of a run that was never killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jobs.crash_points import VARIABLE
from jobs.generator import Forms, generate_sailthru, generate_ses
from tests.tables import STATE_TABLES, assert_is_sailthru_truth, assert_is_truth, everything

STATES = {table.name for table in STATE_TABLES}
PROJECT = Path(__file__).parents[2]
STEPS = (
    "files listed",
    "records parsed",
    "duplicates found",
    "events committed",
    "sailthru_messages committed",
    "blasts committed",
    "profiles committed",
    "quarantine committed",
    "ledger committed",
)


def start(
    folder: Path, warehouse: str, *options: str, provider: str = "ses", files: int = 2, kill_at: str = ""
) -> subprocess.Popen[str]:
    """The job as `./spark-submit.sh` starts it, in a process group of its own."""
    command = [sys.executable, "-P", "-m", "jobs", "stream_events", "--provider", provider, *options]
    command += [
        "--input",
        str(folder / "input"),
        "--warehouse",
        str(folder / warehouse),
        "--master",
        "local[2]",
    ]
    command += ["--set", "spark.shuffle_partitions=2", "--set", f"max_files_per_batch={files}"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), VARIABLE: kill_at}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the driver and its JVM."""
    with suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def killed_at_each(steps: Iterable[str], folder: Path, **how: Any) -> None:
    """Kill the job at each of the steps, let it end, and compare with one that was never killed."""
    assert start(folder, "whole", "--available-now", **how).wait(300) == 0
    for step in steps:
        process = start(folder, "killed", "--available-now", kill_at=step, **how)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, (step, output)
    process = start(folder, "killed", "--available-now", **how)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert everything(folder / "killed") == everything(folder / "whole")


@pytest.mark.slow
def test_killed_between_any_two_commits_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    forms = Forms(odd_file_kinds=(), broken=0.2)
    truth = generate_ses(tmp_path / "input", events=300, seed=11, forms=forms, events_per_file=50)
    killed_at_each([step for step in STEPS if step.split()[0] not in STATES], tmp_path)
    assert_is_truth(tmp_path / "killed", tmp_path / "input", truth)


@pytest.mark.slow
def test_killed_between_any_two_commits_states_settle_all_the_same(tmp_path: Path) -> None:
    truth = generate_sailthru(tmp_path / "input", messages=300, seed=11, days=2, update_days=1)
    steps = ["events committed", *(step for step in STEPS if step.split()[0] in STATES)]
    killed_at_each(steps, tmp_path, provider="sailthru", files=25)
    assert_is_sailthru_truth(tmp_path / "killed", truth)


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    kills, seed = int(os.environ.get("CRASH_KILLS", "4")), int(os.environ.get("CRASH_SEED", "1"))
    moments = random.Random(seed)
    truth = generate_ses(tmp_path / "input", events=kills * 300, seed=12, events_per_file=60)
    alive = 0
    for _ in range(kills):
        process = start(tmp_path, "killed", "--available-now")
        time.sleep(moments.uniform(8, 40))
        alive += process.poll() is None
        kill(process)
    assert alive >= kills * 3 / 4
    process = start(tmp_path, "killed", "--available-now")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert_is_truth(tmp_path / "killed", tmp_path / "input", truth)


@pytest.mark.slow
def test_sigterm_ends_the_job_with_its_batch_done_and_exit_code_0(tmp_path: Path) -> None:
    truth = generate_ses(tmp_path / "input", events=300, seed=13, events_per_file=100)
    process = start(tmp_path, "stopped", "--set", "trigger_interval_seconds=1")
    assert process.stdout
    for line in process.stdout:
        if "batch 0:" in line:
            break
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "Stopped as asked" in output
    assert start(tmp_path, "stopped", "--available-now").wait(300) == 0
    assert_is_truth(tmp_path / "stopped", tmp_path / "input", truth)
