"""A warehouse that several modules look at."""

import fcntl
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from conf.settings import Settings
from jobs.build_summaries import build
from jobs.generator import (
    PurchasesTruth,
    RequestsTruth,
    SailthruTruth,
    Truth,
    generate_purchases,
    generate_requests,
    generate_sailthru,
    generate_ses,
)
from jobs.s3 import client
from jobs.stream_events import load
from tests.conftest import settings_for
from tests.moto import Moto, Queue
from tests.moto import running as moto_running
from tests.postgresql import PASSWORD, USER, Server, running
from tests.summaries import (
    DUCKDB_BOUNCES,
    DUCKDB_JOURNEYS,
    DUCKDB_LIFECYCLE,
    DUCKDB_MACROS,
    DUCKDB_MESSAGES,
    Expected,
    expected,
)
from tests.tables import AS_TESTED, rows_of

EVENT_COUNT = int(os.environ.get("SUMMARY_EVENTS", "3000"))


class Built:
    """A warehouse with its summaries, and what they must hold."""

    def __init__(
        self,
        settings: Settings,
        ses: Truth,
        sailthru: SailthruTruth,
        requests: RequestsTruth,
        purchases: PurchasesTruth,
    ) -> None:
        self.settings, self.warehouse = settings, Path(settings.warehouse)
        self.ses, self.sailthru, self.requests, self.purchases = ses, sailthru, requests, purchases
        self.truth: Expected = expected(ses, sailthru, requests)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a summary."""
        return rows_of(self.warehouse, next(t for t in AS_TESTED if t.name == name))

    def copied_to(self, folder: Path) -> "Built":
        """The same with a copy of the warehouse, in a folder that is not there yet."""
        shutil.copytree(self.warehouse, folder)
        settings = self.settings.model_copy(update={"warehouse": str(folder)})
        return Built(settings, self.ses, self.sailthru, self.requests, self.purchases)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First one file that needs the shared warehouse, last the others: no process waits until it is made."""
    needing = {item.path: None for item in items if "built" in getattr(item, "fixturenames", ())}
    turns = dict.fromkeys(needing, 2) | dict.fromkeys(list(needing)[:1], 0)
    items.sort(key=lambda item: turns.get(item.path, 1))


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both providers' files in every shape, loaded and summarised; no test changes what is there.

    Processes that run tests side by side share it: who comes first makes it, the other waits.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "summaries"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done := folder / "built").exists():
            shutil.rmtree(folder, ignore_errors=True)  # somebody began it
            made = _build(folder, request.getfixturevalue("spark"))
            done.write_bytes(pickle.dumps(made))
            return made
    found: Built = pickle.loads(done.read_bytes())
    return found


def _build(folder: Path, spark: SparkSession) -> Built:
    ses = generate_ses(folder / "input", events=EVENT_COUNT, seed=11)
    clients = ("4321", "77")  # with equal message ids
    sailthru = generate_sailthru(
        folder / "input", messages=EVENT_COUNT // 10, days=4, update_days=2, seed=11, clients=clients
    )
    requests = generate_requests(folder / "input", ses, sailthru, seed=11)
    purchases = generate_purchases(folder / "input", sailthru, seed=11)
    settings = settings_for(folder, "campaigns.many=2", "campaigns.response_days=2")
    load(settings, spark=spark)
    build(settings, spark=spark)
    return Built(settings, ses, sailthru, requests, purchases)


@pytest.fixture
def own(built: Built, tmp_path: Path) -> Built:
    """The same with a warehouse that the test may change."""
    return built.copied_to(tmp_path / "own")


@pytest.fixture(scope="module")
def duck(built: Built) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB over the same `events`, with its own journeys and messages computed."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for name in ("events", "sailthru_messages"):
        connection.register(name, DeltaTable(str(built.warehouse / name)).to_pyarrow_table())
    requests = [(r.message_id, r.region, r.request_time, r.recipient) for r in built.requests.requests]
    columns = "message_id varchar, region varchar, request_time timestamp, recipient varchar"
    connection.execute(f"create temp table requests ({columns})")
    connection.executemany("insert into requests values (?, ?, make_timestamp(?), ?)", requests)
    for statement in (DUCKDB_MACROS, DUCKDB_LIFECYCLE, DUCKDB_BOUNCES, DUCKDB_JOURNEYS, DUCKDB_MESSAGES):
        connection.execute(statement)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL of this module's own."""
    with running() as server:
        yield server


@pytest.fixture
def postgresql(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, with user and password where the jobs look for them."""
    monkeypatch.setenv("PGUSER", USER)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return server


@pytest.fixture(scope="session")
def moto_server(moto_to_be: Moto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """S3 and SQS for all tests, each of which makes buckets and queues of its own."""
    with moto_running(moto_to_be, tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def moto(moto_server: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moto]:
    """The server, with its address and credentials where boto3, Java and child processes look for them."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in moto_server.environment().items():
        monkeypatch.setenv(name, value)
    client.cache_clear()
    yield moto_server
    client.cache_clear()


@pytest.fixture
def queue(moto_server: Moto) -> Iterator[Queue]:
    """An empty queue of SQS; S3 is another server's."""
    client.cache_clear()
    yield Queue.new(moto_server)
    client.cache_clear()
