"""`stream_events`: new files of event records into `events`, `quarantine` and `files`, for good or until drained."""

import argparse
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from conf.errors import ConfigurationError, PipelineError
from conf.settings import QuarantineLimit, Settings
from jobs import found_files, notifications, tables
from jobs.archive import archive_of
from jobs.batches import BatchLoader
from jobs.checkpoints import read_checkpoint
from jobs.crash_points import reached
from jobs.failures import cause
from jobs.found_files import FoundFiles
from jobs.locks import only_loader, writing_events
from jobs.maintenance import compact_and_tell
from jobs.notifications import NotifiedFiles
from jobs.progress import BatchReport, say, tell
from jobs.providers import PROVIDERS, Provider
from jobs.recovery import refuse_lost_tables, refuse_wrong_clock, settle
from jobs.session import build_session
from jobs.storage import Location, location
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.quarantine import QUARANTINE

_POLL_SECONDS = 0.1


class QueryFailedError(PipelineError):
    """A streaming query ended with a failure; started again, it takes up the batch it failed in."""


class QuarantineLimitError(PipelineError):
    """Of a batch's records a larger share was quarantined than the operator allows; the batch is committed."""


class Stop:
    """Asked to end: the batch at hand is finished, the next one is not begun.

    A batch that Spark has planned already is held at its gate until the query is stopped; it runs at the next
    start.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()
        self.at_gate: set[str] = set()

    def gate(self, provider: str) -> None:
        """Called where a provider's batch begins; returns only if it may."""
        if self.asked.is_set():
            self.at_gate.add(provider)
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
    reports: list[BatchReport]
    query: StreamingQuery = field(init=False)
    refusal: PipelineError | None = None
    """The query's failure, if it is one that this project raises."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument(
        "--available-now", action="store_true", help="load what is there now, then exit 0 (default: run on)"
    )
    parser.add_argument(
        "--provider", choices=[*PROVIDERS, "all"], default="all", help="whose files to load (default: all)"
    )
    parser.add_argument(
        "--reconcile",
        action="store_true",
        help="with discovery.mode=notifications: list the input once at the start, for what no message came of",
    )


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Load every new file below `<input>/<provider>` into the tables of the warehouse."""
    stop = Stop()
    with stop.by_signals():
        load(
            settings,
            provider=arguments.provider,
            available_now=arguments.available_now,
            reconcile=arguments.reconcile,
            stop=stop,
        )


def load(
    settings: Settings,
    *,
    provider: str = "all",
    available_now: bool = True,
    reconcile: bool = False,
    stop: Stop | None = None,
    spark: SparkSession | None = None,
) -> list[BatchReport]:
    """Run the job; the reports of its batches. With `spark` the session given is used, and left running."""
    stop = stop or Stop()
    source, warehouse = location(settings.input), location(settings.warehouse)
    providers = _present(source, list(PROVIDERS) if provider == "all" else [provider])
    notifications.refuse_unusable(settings, providers)
    wanted = found_files.options_of(settings.discovery)
    for name in providers:
        archive_of(wanted["archive"], wanted["archive_to"], source / name)
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
        is_new = _prepare(session, settings, warehouse, [PROVIDERS[name] for name in providers])
        session.dataSource.register(FoundFiles)
        session.dataSource.register(NotifiedFiles)
        running = [
            held.enter_context(_started(session, settings, PROVIDERS[name], available_now, reconcile, stop, is_new))
            for name in providers
        ]
        _wait(running, stop, ends_with_first_failure=not available_now)
        return [report for one in running for report in one.reports]


def _prepare(spark: SparkSession, settings: Settings, warehouse: Location, providers: Sequence[Provider]) -> bool:
    """Make the tables or bring them up to date; refuse a warehouse or checkpoint that would lead to wrong tables.

    Whether all were made: then there is nothing in them to be looked at, which takes seconds.
    """
    own = [table for provider in providers for table in provider.own_tables]
    now = _now()
    with writing_events(warehouse):  # another provider's loader may make them at the same time
        refuse_lost_tables(spark, warehouse, providers)
        made = [tables.create(spark, warehouse, contract) for contract in (EVENTS, QUARANTINE, FILES, *own)]
    is_new = all(made)
    if not is_new:
        refuse_wrong_clock(spark, warehouse, now, timedelta(hours=settings.clock_tolerance_hours))
    for provider in providers:
        checkpoint = read_checkpoint(_checkpoint_of(settings, provider))
        settle(spark, warehouse, provider, checkpoint, now, is_new=is_new)
    return is_new


def _present(source: Location, providers: list[str]) -> list[str]:
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
    spark: SparkSession,
    settings: Settings,
    provider: Provider,
    available_now: bool,
    reconcile: bool,
    stop: Stop,
    is_new: bool,
) -> Iterator[Running]:
    warehouse = location(settings.warehouse)
    checkpoint = _checkpoint_of(settings, provider)
    running = Running(provider.name, [])
    loader: BatchLoader | None = None

    def load_batch(batch: DataFrame, number: int) -> None:
        nonlocal loader
        stop.gate(provider.name)
        if loader is None:
            made = read_checkpoint(checkpoint)
            assert made, "Spark makes the checkpoint before the first batch"
            loader = BatchLoader(
                spark=batch.sparkSession,
                settings=settings,
                warehouse=warehouse,
                provider=provider,
                checkpoint_id=made.id,
            )
        found = batch.collect()
        if found:
            report = loader.load(found, number)
            running.reports.append(report)
            tell(report, settings.progress)
            try:
                _check_limit(report, settings.quarantine_limit)
            except PipelineError as problem:
                running.refusal = problem
                raise
            if _is_turn(settings, number) and not stop.asked.is_set():
                own = (EVENTS, QUARANTINE, FILES, *provider.own_tables)
                size = int(settings.maintenance.target_file_bytes)
                compact_and_tell(batch.sparkSession, warehouse, own, size, settings.progress)
                reached("tables maintained")

    with tempfile.NamedTemporaryFile(prefix="seen-") as seen:
        if not is_new:
            seen.write(_seen(spark, warehouse, provider.name, settings.discovery.start_from))
        seen.flush()
        source = (
            spark.readStream.format(FoundFiles.name())
            .option("root", str(location(settings.input) / provider.name))
            .option("seen", seen.name)
            .option("max_files", str(settings.max_files_per_batch))
            .option("max_bytes", str(int(settings.max_bytes_per_batch)))
            .options(**found_files.options_of(settings.discovery))
        )
        if settings.discovery.mode == "notifications":
            options = notifications.options_of(settings.discovery, provider.name, reconcile=reconcile)
            source = source.format(NotifiedFiles.name()).options(**options)
        writer = source.load().writeStream.foreachBatch(load_batch).queryName(provider.name)
        writer = writer.option("checkpointLocation", str(checkpoint))
        if available_now:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{int(settings.trigger_interval_seconds * 1000)} milliseconds")
        running.query = writer.start()
        try:
            yield running
        finally:
            stop.released.set()
            running.query.stop()


def _is_turn(settings: Settings, batch: int) -> bool:
    """Whether the files of tables are to be put together after this batch."""
    every = settings.maintenance.every_batches
    return every is not None and (batch + 1) % every == 0


def _seen(spark: SparkSession, warehouse: Location, provider: str, since: datetime | None) -> bytes:
    """The digests of all object versions in the ledger, one after the other (see FoundFiles)."""
    micros = F.unix_micros("modified_at").cast("string")
    key = F.concat_ws("\n", "filename", micros, F.col("length_bytes").cast("string"))
    ledger = tables.read(spark, warehouse, FILES).where(F.col("provider") == provider)
    if since:
        ledger = ledger.where(F.col("modified_at") >= F.lit(since))
    digests = ledger.select(F.unhex(F.md5(key.cast("binary"))).alias("digest")).toArrow()
    return b"".join(digests.column("digest").to_pylist())


def _now() -> datetime:
    return datetime.now(UTC)


def _checkpoint_of(settings: Settings, provider: Provider) -> Location:
    return location(settings.checkpoints_uri) / provider.name


def _check_limit(report: BatchReport, limit: QuarantineLimit) -> None:
    """End the query after a batch of which too much was quarantined; started again it is met at the same batch."""
    if limit.share is None or report.records < limit.min_records:
        return
    if report.quarantined > limit.share * report.records:
        reason, count = max(report.reasons.items(), key=lambda pair: pair[1], default=("a file that has gone since", 0))
        raise QuarantineLimitError(
            f"{report.quarantined:,} of {report.records:,} records of batch {report.batch} were quarantined, "
            f"{report.quarantined / report.records:.1%} where quarantine_limit.share allows {limit.share:.1%}; most "
            f"often as {reason} ({count:,}). They are kept: see the table `quarantine`. Raise the limit to go on."
        )


def _wait(running: list[Running], stop: Stop, *, ends_with_first_failure: bool) -> None:
    """Until all queries have ended, or a stop was asked for and no batch is at work.

    A failure of one query leaves the others alone: what is there now they drain; a job that runs on ends as soon as
    they have finished the batch at hand, so that whoever supervises it learns of the failure.
    """
    failed: dict[str, str] = {}
    while active := [one for one in running if one.query.isActive]:
        for name, words in _failures(running).items() - failed.items():
            failed[name] = words
            say(f"{words} The other queries finish {'their batch' if ends_with_first_failure else 'what is there'}.")
            if ends_with_first_failure:
                stop.asked.set()
        if stop.asked.is_set() and all(_is_at_rest(one, stop) for one in active):
            break
        time.sleep(_POLL_SECONDS)
    if failed := _failures(running):
        raise QueryFailedError("\n".join(failed.values()))
    if active:
        say("Stopped as asked; the next start goes on from here.")


def _is_at_rest(one: Running, stop: Stop) -> bool:
    """Whether no batch is at work, and none can begin once a stop was asked for."""
    status = one.query.status
    # A look may wait long for news, and with a trigger interval of 0 the next one follows it at once.
    is_looking = status["message"].startswith("Getting offsets from")
    return not status["isTriggerActive"] or is_looking or one.provider in stop.at_gate


def _failures(running: list[Running]) -> dict[str, str]:
    """Of each query that failed, why."""
    failed = [(one, problem) for one in running if not one.query.isActive and (problem := one.query.exception())]
    return {
        one.provider: f"The query `{one.provider}` failed: {one.refusal or cause(str(problem))}"
        for one, problem in failed
    }
