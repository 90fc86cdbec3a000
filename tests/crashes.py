"""A job killed with SIGKILL at its steps and started again, compared with one that was never killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from conf.settings import Settings
from jobs.crash_points import VARIABLE
from jobs.generator import generate_sailthru
from tests.conftest import FEW, QUICK, settings_for
from tests.servers import PROJECT, QUICK_ENVIRONMENT, QUICK_JAVA
from tests.tables import STATE_TABLES, assert_balanced, everything

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "0"))
SEED = int(os.environ.get("CRASH_SEED", "1"))
PATIENCE_SECONDS = 1800
"""For a start; on a machine that does much else it takes minutes."""
STATES = tuple(f"{table.name} committed" for table in STATE_TABLES)


def arguments_of(job: str, *options: str, master: str) -> list[str]:
    """What `./spark-submit.sh` is given for a job."""
    quick = (*FEW, *QUICK, f"spark.conf.spark.driver.extraJavaOptions={QUICK_JAVA}")
    return [job, *options, "--master", master, *(part for setting in quick for part in ("--set", setting))]


def start_job(job: str, *options: str, kill_at: str = "", master: str = "local[2]") -> subprocess.Popen[str]:
    """A job as `./spark-submit.sh` starts it, in a session of its own."""
    return start("jobs", *arguments_of(job, *options, master=master), kill_at=kill_at)


def start(module: str, *arguments: str, kill_at: str = "") -> subprocess.Popen[str]:
    """A module as a program, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        env={**os.environ, **QUICK_ENVIRONMENT, "PYTHONPATH": str(PROJECT), VARIABLE: kill_at},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def killed_at(step: str, job: str, *options: str) -> None:
    """Start a job that kills itself with SIGKILL where it reaches the step."""
    process = start_job(job, *options, kill_at=step)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGKILL, (step, output)


def places_of(settings: Settings) -> tuple[str, ...]:
    """The options that say where input and warehouse are."""
    return ("--input", settings.input, "--warehouse", settings.warehouse)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A job that is killed at each of its steps."""

    job: str
    options: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    """Of settings."""
    run: Callable[[Settings, SparkSession], object]
    """The job to its end, in this process."""
    steps: tuple[str, ...]
    prepare: Callable[[Path, int, SparkSession], None]
    """Makes `input`, and if the job needs one the `warehouse`, below a folder from a seed."""
    short: tuple[str, ...] = ()
    """The steps of the short form; none: it is of the long form only."""
    in_order: bool = False
    """Whether a step is not reached again once a later one was, or then does nothing any more."""
    check: Callable[[Path], None] = lambda warehouse: None
    """That the job did what it is killed at, by the warehouse of the run never killed."""


def sailthru_files(folder: Path, seed: int, _: SparkSession) -> None:
    """Three days of Sailthru exports."""
    generate_sailthru(folder / "input", messages=60, seed=seed, days=2, update_days=1)


def names_of(scenarios: Mapping[str, Scenario]) -> list[str]:
    """Those that are of the form, short or long, which runs."""
    return [name for name, of in scenarios.items() if ROUNDS or of.short]


def assert_kills_leave_no_trace(name: str, scenario: Scenario, parent: Path, spark: SparkSession) -> None:
    """Kill the job at each step, let it end, compare all tables; print how often it was killed."""
    random_order = random.Random(f"{SEED} {name}")
    kills: Counter[str] = Counter()
    began = time.monotonic()
    for number in range(ROUNDS or 1):
        folder = parent / str(number)
        scenario.prepare(folder, SEED * 1000 + number, spark)
        (folder / "warehouse").mkdir(exist_ok=True)
        shutil.copytree(folder / "warehouse", folder / "whole")
        settings = settings_for(folder, *scenario.overrides)
        scenario.run(settings.model_copy(update={"warehouse": str(folder / "whole")}), spark)
        scenario.check(folder / "whole")
        steps = scenario.steps if ROUNDS else scenario.short
        overrides = [part for override in scenario.overrides for part in ("--set", override)]
        for step in steps if scenario.in_order else random_order.sample(steps, len(steps)):
            killed_at(step, scenario.job, *scenario.options, *overrides, *places_of(settings))
            kills[step] += 1
        scenario.run(settings, spark)
        assert everything(folder / "warehouse") == everything(folder / "whole"), f"seed {SEED}, round {number}"
        assert_balanced(folder / "warehouse")
        shutil.rmtree(folder)
    each = ", ".join(f"{step} {count}" for step, count in sorted(kills.items()))
    print(f"{name}: {kills.total()} kills in {time.monotonic() - began:.0f} s, seed {SEED}: {each}")
