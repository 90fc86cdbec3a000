"""Two drivers that write one table on S3 at the same time lose no commit; with Delta's own log store they do."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.log_store import build
from tests.conftest import configured
from tests.jobs.log_store_writer import CONF, answer
from tests.s3 import ACCESS_KEY, REGION, SECRET_KEY, Bucket, DelayingProxy, S3Server
from tests.servers import QUICK_ENVIRONMENT
from tests.tables import operations

PROJECT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("LOG_STORE_ROUNDS", "1"))
COMMITS = 50
"""Of each of the two writers in each round."""
DELAY_MS = 250
"""Of each commit. With a server as near as this one the fault hides; the longer, the more often two writers meet."""
KINDS = ("append", "append", "append", "merge", "append", "append", "append", "optimize")


def test_the_jar_has_the_same_bytes_whenever_it_is_built(tmp_path: Path) -> None:
    # given
    jars = [tmp_path / name for name in ("first.jar", "second.jar")]
    # when
    for jar in jars:
        build(jar)
    # then
    sums = {hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars}
    assert sums == {"f46558e3ced89051d3c6f1cbd32ef996d7745eeae815ec039142c176439ef678"}


@pytest.mark.slow
def test_two_drivers_lose_commits_with_the_log_store_of_delta(pair: "Pair") -> None:
    """Without this the next test would prove nothing."""
    for _ in range(10):  # it takes two puts at nearly the same time
        table = pair.make_table("s3")
        done = pair.write(table, commits=5, kinds=["append"])
        missing = acknowledged(done) - table.rows()
        print(f"{len(missing)} of {len(acknowledged(done))} acknowledged rows are gone")
        if missing:
            return
    pytest.fail("no commit was lost")


@pytest.mark.slow
def test_two_drivers_lose_no_commit_with_ours(pair: "Pair") -> None:
    pair.proxy.lost_every = 7
    for number in range(ROUNDS):
        # given
        lost_before, refused_before, began = pair.proxy.answers_lost, pair.proxy.refused, time.monotonic()
        put_before = pair.proxy.commits
        table = pair.make_table("s3a")
        # when
        done = pair.write(table, commits=COMMITS, kinds=KINDS)
        # then
        commits = table.commits()
        assert len(commits) == 1 + 2 * COMMITS
        assert pair.proxy.commits - put_before == len(commits), "both went through the proxy"
        assert Counter(commits[1:]) == Counter(kind for one in done for kind in one["commits"])
        assert table.rows() == acknowledged(done)
        lost = pair.proxy.answers_lost - lost_before
        races = pair.proxy.refused - refused_before - lost  # where an answer is lost, the next try is refused
        assert lost > 0
        assert races > 0
        retries = sum(one["retries"] for one in done)
        took = time.monotonic() - began
        each = ", ".join(f"{count} {kind}" for kind, count in Counter(commits[1:]).items())
        print(
            f"round {number + 1}: {each}; {races} races, {lost} answers lost, {retries} conflicts, {took:.0f} s",
            flush=True,
        )


@dataclass(frozen=True)
class Table:
    """A table on S3, looked at by another engine than Spark."""

    server: S3Server
    bucket: Bucket
    scheme: str

    @property
    def uri(self) -> str:
        """As Spark takes it."""
        return f"{self.scheme}://{self.bucket.name}/table"

    def rows(self) -> Counter[tuple[str, int]]:
        """How often each id with each number of changes is there."""
        options = {
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
        }
        table = DeltaTable(f"s3://{self.bucket.name}/table", storage_options=options).to_pyarrow_table()
        return Counter((row["id"], row["changes"]) for row in table.to_pylist())

    def commits(self) -> list[str]:
        """What was done in each version."""
        return operations(self.bucket.folder / "table")


def acknowledged(done: Sequence[dict[str, Any]]) -> Counter[tuple[str, int]]:
    """The rows that the writers were told are there, each once."""
    return Counter((name, changes) for one in done for name, changes in one["rows"].items())


@dataclass(frozen=True)
class Pair:
    """Two drivers, one of them this process, with one proxy before the server."""

    proxy: DelayingProxy
    spark: SparkSession
    other: "subprocess.Popen[str]"

    def make_table(self, scheme: str) -> Table:
        """A table without rows in a new bucket."""
        table = Table(self.proxy.server, Bucket(self.proxy.server), scheme)
        _ask(self.other, task="create", table=table.uri)
        assert _answer(self.other) == "created"
        return table

    def write(self, table: Table, *, commits: int, kinds: Sequence[str]) -> list[dict[str, Any]]:
        """What each was told is done, when both did so many commits of these kinds at the same time."""
        task = {"task": "write", "table": table.uri, "commits": commits, "kinds": list(kinds)}
        with ThreadPoolExecutor(1) as beside:
            here = beside.submit(answer, self.spark, "here", task)
            _ask(self.other, **task)
            return [_answer(self.other), here.result()]


@pytest.fixture(scope="module")
def pair(spark: SparkSession, s3: S3Server) -> Iterator[Pair]:
    """Both ready to write."""
    proxy = DelayingProxy(s3, delay_ms=DELAY_MS)
    with ExitStack() as started:
        seen = started.enter_context(proxy.listening())
        started.enter_context(configured(spark, {**CONF, "fs.s3a.endpoint": seen.endpoint}))
        environment = {**os.environ, **QUICK_ENVIRONMENT, **seen.environment(), "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-P", "-m", "tests.jobs.log_store_writer", "other"]
        other = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.callback(_end, other)
        assert _answer(other) == "ready"
        yield Pair(proxy, spark, other)


def _end(writer: "subprocess.Popen[str]") -> None:
    writer.kill()  # its Java ends with it
    writer.wait()


def _ask(writer: "subprocess.Popen[str]", **task: Any) -> None:
    assert writer.stdin
    writer.stdin.write(json.dumps(task) + "\n")
    writer.stdin.flush()


def _answer(writer: "subprocess.Popen[str]") -> Any:
    assert writer.stdout
    line = writer.stdout.readline()
    assert line, f"a writer ended, exit code {writer.wait()}"
    return json.loads(line)
