"""`stream_events`: new files of event records into `events`, `quarantine` and `files`, for good or until drained."""

import argparse
import json
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from conf.errors import ConfigurationError, PipelineError
from conf.settings import Settings
from jobs import tables
from jobs.batches import BatchLoader, BatchReport, Parser
from jobs.found_files import FoundFiles
from jobs.locks import only_loader
from jobs.progress import say, tell
from jobs.session import build_session
from jobs.storage import local_path
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quarantine import QUARANTINE
from transforms import ses

PARSERS: dict[str, Parser] = {"ses": ses.to_events}
_POLL_SECONDS = 0.1


class QueryFailedError(PipelineError):
    """A streaming query ended with a failure; started again, it takes up the batch it failed in."""


class Stop:
    """Asked to end: the batch at hand is finished, the next one is not begun.

    A batch that Spark has planned already is held at its gate until the query is stopped; it runs at the next
    start.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()
        self.at_gate = False

    def gate(self) -> None:
        """Called where a batch begins; returns only if it may."""
        if self.asked.is_set():
            self.at_gate = True
            self.released.wait()
            raise InterruptedError("stopped before the batch began")

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT ask."""
        kinds = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(kind, lambda *_: self.asked.set()) for kind in kinds]
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)


@dataclass
class Running:
    """A started query, and what its batches told."""

    provider: str
    query: StreamingQuery
    reports: list[BatchReport]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument(
        "--available-now", action="store_true", help="load what is there now, then exit 0 (default: run on)"
    )
    parser.add_argument(
        "--provider", choices=[*PARSERS, "all"], default="all", help="whose files to load (default: all)"
    )


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Load every new file below `<input>/<provider>` into the tables of the warehouse."""
    stop = Stop()
    with stop.by_signals():
        load(settings, provider=arguments.provider, available_now=arguments.available_now, stop=stop)


def load(
    settings: Settings,
    *,
    provider: str = "all",
    available_now: bool = True,
    stop: Stop | None = None,
    spark: SparkSession | None = None,
) -> list[BatchReport]:
    """Run the job; the reports of its batches. With `spark` the session given is used, and left running."""
    stop = stop or Stop()
    source, warehouse = local_path(settings.input), local_path(settings.warehouse)
    providers = _present(source, list(PARSERS) if provider == "all" else [provider])
    try:
        warehouse.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigurationError(f"The warehouse {warehouse} cannot be made: {problem.strerror}.") from None
    with ExitStack() as held:
        for name in providers:
            held.enter_context(only_loader(warehouse, name))
        session = spark or build_session(settings, "stream_events")
        if spark is None:
            held.callback(session.stop)
        for contract in (EVENTS, QUARANTINE, FILES):
            tables.create(session, warehouse, contract)
        running = [held.enter_context(_started(session, settings, name, available_now, stop)) for name in providers]
        _wait(running, stop)
        return [report for one in running for report in one.reports]


def _present(source: Path, providers: list[str]) -> list[str]:
    present = [name for name in providers if (source / name).is_dir()]
    for name in providers:
        if name not in present and present:
            say(f"No folder {source / name}: nothing to load for {name}.")
    if not present:
        raise ConfigurationError(
            f"Nothing to load: {source} has no folder {' or '.join(providers)}. Give the folder above it with --input."
        )
    return present


@contextmanager
def _started(
    spark: SparkSession, settings: Settings, provider: str, available_now: bool, stop: Stop
) -> Iterator[Running]:
    warehouse = local_path(settings.warehouse)
    checkpoint = local_path(settings.checkpoints_uri) / provider
    reports: list[BatchReport] = []
    loader: BatchLoader | None = None

    def load_batch(batch: DataFrame, number: int) -> None:
        nonlocal loader
        stop.gate()
        if loader is None:
            loader = BatchLoader(
                spark=batch.sparkSession,
                settings=settings,
                warehouse=warehouse,
                provider=provider,
                checkpoint_id=_checkpoint_id(checkpoint),
                parse=PARSERS[provider],
            )
        found = batch.collect()
        if found:
            report = loader.load(found, number)
            reports.append(report)
            tell(report, settings.progress)

    with tempfile.NamedTemporaryFile(prefix="seen-") as seen:
        seen.write(_seen(spark, warehouse, provider))
        seen.flush()
        spark.dataSource.register(FoundFiles)
        stream = (
            spark.readStream.format("found_files")
            .option("root", str(local_path(settings.input) / provider))
            .option("seen", seen.name)
            .option("max_files", str(settings.max_files_per_batch))
            .option("max_bytes", str(int(settings.max_bytes_per_batch)))
            .load()
        )
        writer = stream.writeStream.foreachBatch(load_batch).queryName(provider)
        writer = writer.option("checkpointLocation", str(checkpoint))
        if available_now:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{int(settings.trigger_interval_seconds * 1000)} milliseconds")
        query = writer.start()
        try:
            yield Running(provider, query, reports)
        finally:
            stop.released.set()
            query.stop()


def _seen(spark: SparkSession, warehouse: Path, provider: str) -> bytes:
    """The digests of all object versions in the ledger, one after the other (see FoundFiles)."""
    micros = F.unix_micros("modified_at").cast("string")
    key = F.concat_ws("\n", "filename", micros, F.col("length_bytes").cast("string"))
    ledger = tables.read(spark, warehouse, FILES).where(F.col("provider") == provider)
    digests = ledger.select(F.unhex(F.md5(key.cast("binary"))).alias("digest")).toArrow()
    return b"".join(digests.column("digest").to_pylist())


def _checkpoint_id(checkpoint: Path) -> str:
    """The id Spark gave the checkpoint when it was made."""
    return str(json.loads((checkpoint / "metadata").read_text())["id"])


def _wait(running: list[Running], stop: Stop) -> None:
    """Until all queries have ended, or a stop was asked for and no batch is at work."""
    while any(one.query.isActive for one in running):
        idle = all(not one.query.status["isTriggerActive"] for one in running)
        if stop.asked.is_set() and (idle or stop.at_gate):
            say("Stopped as asked; the next start goes on from here.")
            return
        time.sleep(_POLL_SECONDS)
    for one in running:
        if problem := one.query.exception():
            raise QueryFailedError(f"The query `{one.provider}` failed: {_cause(str(problem))}")


def _cause(text: str) -> str:
    """The part of Spark's report that says why, in one line."""
    marks = [
        line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(("at ", "File "))
    ]
    errors = [line for line in marks if "Error" in line or "Exception" in line]
    return (errors or marks or ["no reason given"])[-1][:1000]
