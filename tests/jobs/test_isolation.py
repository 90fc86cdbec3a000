"""Writers at work at the same time, one held between its reading and its commit while the others go on.

More turns than the short form takes, each at every step:

    ISOLATION_ROUNDS=5 ./run-tests.sh tests/jobs/test_isolation.py -rP
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.settings import Settings
from jobs import batches, build_summaries, replay_quarantine, sinks
from jobs.build_summaries import build
from jobs.generator import Forms, generate_sailthru, generate_ses
from jobs.replay_quarantine import replay
from jobs.stream_events import load
from jobs.summaries import SUMMARIES
from schemas.events import EVENTS
from tests.conftest import settings_for
from tests.jobs.test_replay_quarantine import SETTLED, assert_same_facts, brought, facts, older_rules
from tests.tables import assert_balanced, content

ROUNDS = int(os.environ.get("ISOLATION_ROUNDS", "0"))
WRITERS: dict[str, Callable[[Settings, SparkSession], object]] = {
    "ses": lambda settings, spark: load(settings, provider="ses", spark=spark),
    "sailthru": lambda settings, spark: load(settings, provider="sailthru", spark=spark),
    "replay": lambda settings, spark: replay(settings, spark=spark),
    "summaries": lambda settings, spark: build(settings, only=["journeys", "messages"], spark=spark),
}
STEPS = (
    ("sailthru", "duplicates found"),
    ("replay", "events committed"),
    ("ses", "records parsed"),
    ("summaries", "journeys committed"),
    ("ses", "duplicates found"),
    ("ses", "events committed"),
    ("sailthru", "records parsed"),
    ("sailthru", "sailthru_messages committed"),
    ("replay", "duplicates found"),
    ("replay", "profiles committed"),
)
SHORT = 1
"""The steps of the short form: the first of them."""
WAIT_SECONDS = 10
"""How long the others may go on; who waits for a lock of the one that is held goes on after it."""


class Held:
    """The first to reach a step waits there until it is let go."""

    def __init__(self, step: str) -> None:
        self.step, self.is_there, self.may_go = step, threading.Event(), threading.Event()

    def reached(self, step: str) -> None:
        """In place of the jobs' own, which kills."""
        if step == self.step and not self.is_there.is_set():
            self.is_there.set()
            self.may_go.wait()


@contextmanager
def held_at(step: str) -> Iterator[Held]:
    """Whoever reaches the step first is held."""
    held = Held(step)
    with pytest.MonkeyPatch.context() as patch:
        for module in (batches, build_summaries, replay_quarantine, sinks):
            patch.setattr(module, "reached", held.reached)
        try:
            yield held
        finally:
            held.may_go.set()


class Running(threading.Thread):
    """A writer at work; what stopped it, if anything did."""

    def __init__(self, name: str, settings: Settings, spark: SparkSession) -> None:
        super().__init__(name=name)
        self.work = partial(WRITERS[name], settings, spark)
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Work; failures are kept for the test."""
        try:
            self.work()
        except BaseException as problem:
            self.failure = problem


def make_files(folder: Path, seed: int) -> None:
    """Some events of both providers."""
    forms = Forms(odd_file_kinds=(), odd_files=0, broken=0.2, gz=0, cut_off=0)
    generate_ses(folder, events=60, seed=seed, forms=forms, events_per_file=30)
    generate_sailthru(folder, messages=20, seed=seed, days=1, update_days=1, odd=False)


@pytest.mark.slow
def test_whoever_is_held_before_its_commit_loses_and_doubles_nothing(spark: SparkSession, tmp_path: Path) -> None:
    """The streams bring again what replay reads again, into the same tables, while summaries are made of these."""
    source, settings = tmp_path / "input", settings_for(tmp_path)
    turns = [turn for _ in range(ROUNDS) for turn in STEPS] or STEPS[:SHORT]
    waited = 0
    for number, (writer, step) in enumerate(turns):
        make_files(tmp_path / f"made/{number}", seed=number)
        for provider in ("ses", "sailthru"):
            shutil.copytree(tmp_path / f"made/{number}" / provider, source / provider / f"first{number}")
        with older_rules():
            load(settings, spark=spark)
        for provider in ("ses", "sailthru"):
            shutil.copytree(tmp_path / f"made/{number}" / provider, source / provider / f"again{number}")
        with held_at(step) as held:
            first = Running(writer, settings, spark)
            assert held.is_there.wait(120), f"{writer} did not reach {step}: {first.failure}"
            others = [Running(name, settings, spark) for name in WRITERS if name != writer]
            for other in others:
                other.join(WAIT_SECONDS / len(others))
            waited += any(other.is_alive() for other in others)
            assert first.is_alive()
        for one in (first, *others):
            one.join(300)
            assert not one.is_alive(), one.name
            assert one.failure is None, (one.name, step, one.failure)
        replay(settings, spark=spark)
        assert_balanced(tmp_path / "warehouse")
    assert waited, "nobody waited for a lock"
    whole = settings_for(tmp_path / "whole", source=tmp_path / "all")
    for provider in ("ses", "sailthru"):
        for number in range(len(turns)):
            shutil.copytree(tmp_path / f"made/{number}" / provider, tmp_path / "all" / provider / str(number))
    load(whole, spark=spark)
    assert_same_facts(tmp_path / "warehouse", facts(Path(whole.warehouse), *SETTLED), *SETTLED)
    assert brought(tmp_path / "warehouse") > 0
    for each in (settings, whole):
        build(each, only=["journeys", "messages"], spark=spark)
    for name in ("journeys", "messages"):
        contract = SUMMARIES[name].contract
        assert content(tmp_path / "warehouse", contract, *SETTLED) == content(Path(whole.warehouse), contract, *SETTLED)
    print(f"{len(turns)} turns, {waited} of them with a writer that waited for a lock; {EVENTS.name} right")
