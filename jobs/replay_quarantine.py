"""`replay_quarantine`: quarantined records read again with today's code; those that can be read now go to `events`.

Rows of `quarantine` stay and say what came of them, and the ledger stays as it is: it tells what the stream did. What
replay brought is told by `batch_id`, which begins with `replay-`.
"""

import argparse
import difflib
import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import tables
from jobs.crash_points import reached
from jobs.failures import again_if_lost
from jobs.keeping import release
from jobs.locks import only_replay, writing, writing_events
from jobs.providers import PROVIDERS, Provider, limits_of
from jobs.session import build_session
from jobs.sinks import append_new, keep_newest
from jobs.storage import Location, location
from schemas.contract import TableContract
from schemas.events import EVENTS, REPLAYED
from schemas.quarantine import QUARANTINE, STILL, Reason, ReplayOutcome
from transforms.events import DayRange, within
from transforms.quarantine import is_unsettled, lines_again, numbered, outcomes

_TIME_IN_BATCH_ID = "yyyyMMdd'T'HHmmss.SSSSSS'Z'"


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """What a replay did, for the operator."""

    records: int
    """Tried."""
    rows: int
    """Rows of `events` that the records brought which became events."""
    outcomes: Mapping[tuple[str, str], int]
    """Records by the reason of their quarantine and by outcome."""
    seconds: float

    def of(self, outcome: str) -> int:
        """How many records had this outcome, whatever their reason."""
        return sum(count for (_, found), count in self.outcomes.items() if found == outcome)

    @property
    def still(self) -> int:
        """How many records no outcome but another quarantine came of."""
        return sum(count for (_, outcome), count in self.outcomes.items() if outcome.startswith(STILL))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument("--reason", metavar="R", help=f"only records quarantined for it: {', '.join(Reason)}")


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Read the quarantined records of the warehouse again, and say how many could be used."""
    report = replay(settings, reason=arguments.reason)
    if settings.progress == "json":
        print(json.dumps(_as_json(report)), flush=True)
    else:
        _show(report)


def replay(settings: Settings, *, reason: str | None = None, spark: SparkSession | None = None) -> ReplayReport:
    """Run the job. With `spark` the session given is used, and left running.

    Again, also after `kill -9`, it changes nothing more: events are looked for before they are added, versions are
    merged by rank, and a record that was marked is not tried again if something came of it.
    """
    began = time.monotonic()
    wanted = None if reason is None else _reason(reason)
    warehouse = location(settings.warehouse)
    for contract in (EVENTS, QUARANTINE):
        if not tables.is_there(warehouse, contract):
            raise ConfigurationError(
                f"Nothing to replay: {warehouse} has no table `{contract.name}`. "
                "Give the folder that stream_events filled with --warehouse."
            )
    found: Counter[tuple[str, str]] = Counter()
    rows = 0
    with ExitStack() as held:
        held.enter_context(only_replay(warehouse))
        session = spark or build_session(settings, "replay_quarantine")
        if spark is None:
            held.callback(session.stop)
        for provider in PROVIDERS.values():
            replayer = Replayer(spark=session, settings=settings, warehouse=warehouse, provider=provider)
            counts, brought = again_if_lost(partial(replayer.replay, wanted), f"replay of {provider.name}")
            found += counts
            rows += brought
    return ReplayReport(
        records=found.total(), rows=rows, outcomes=dict(found), seconds=round(time.monotonic() - began, 3)
    )


@dataclass(frozen=True, kw_only=True)
class Replayer:
    """Replays the quarantined records of one provider.

    Commits in order: `events`, tables of newest versions, `quarantine`. Killed between them it leaves rows in `events`
    whose records are not marked; the next replay knows them by a `batch_id` of which no marked record has the time,
    and marks them as brought.
    """

    spark: SparkSession
    settings: Settings
    warehouse: Location
    provider: Provider

    def replay(self, reason: Reason | None) -> tuple[Counter[tuple[str, str]], int]:
        """Records by reason and outcome, and how many rows of `events` they brought."""
        replayed_at = datetime.now(UTC)
        own = tables.read(self.spark, self.warehouse, QUARANTINE).where(F.col("provider") == self.provider.name)
        chosen = own.where(is_unsettled())
        if reason:
            chosen = chosen.where(F.col("reason") == reason.value)
        with ExitStack() as held:

            def kept(frame: DataFrame) -> DataFrame:
                rows = frame.localCheckpoint()
                held.callback(release, rows)
                return rows

            tried = kept(numbered(chosen))
            if tried.isEmpty():
                return Counter(), 0
            finished = _batch_ids(own)
            parse = self.provider.parser(self.settings)
            rows = kept(parse(lines_again(tried), limits_of(self.settings, replayed_at)))
            ranges = self._bring(rows, replayed_at)
            near = within(ranges) if ranges else F.lit(False)
            replayed = F.startswith("batch_id", F.lit(REPLAYED)) & ~F.col("batch_id").isin(finished)
            events = tables.read(self.spark, self.warehouse, EVENTS).where(near & replayed)
            states = [contract.name for contract in self._states()]
            came = kept(outcomes(tried, rows, events.select("event_id", "filename"), states))
            by_outcome = came.groupBy("reason", "replay_outcome").agg(
                F.count(F.lit(1)).alias("records"), F.sum("events").alias("events")
            )
            counts = by_outcome.collect()
            self._mark(came, replayed_at)
        return Counter({(c.reason, c.replay_outcome): c.records for c in counts}), sum(c.events for c in counts)

    def _states(self) -> list[TableContract]:
        return self.provider.states_of(self.provider.states)

    def _bring(self, rows: DataFrame, replayed_at: datetime) -> list[DayRange]:
        """Commit what can be read now; the days of all events in `rows`, new or not."""
        states = self._states()
        with writing_events(self.warehouse):
            for contract in (EVENTS, QUARANTINE, *self.provider.own_tables):
                tables.create(self.spark, self.warehouse, contract)
        days = (
            rows.groupBy("event_date")
            .agg(
                F.count("event_id").alias("events"),
                F.unix_micros(F.min("event_time")).alias("first"),
                F.unix_micros(F.max("event_time")).alias("last"),
                *[F.count(contract.name).alias(contract.name) for contract in states],
            )
            .collect()
        )
        ranges = sorted(
            (DayRange(d.event_date, d.first, d.last) for d in days if d.event_date is not None), key=lambda r: r.day
        )
        batch_id = f"{REPLAYED}{replayed_at:%Y%m%dT%H%M%S.%fZ}"
        stamp = {"etl_time": F.lit(replayed_at), "batch_id": F.lit(batch_id)}
        if ranges:
            # An id of its own for each replay: Delta must not take its commit for an earlier one's.
            writer = tables.Writer(warehouse=self.warehouse, app_id=f"{batch_id}-{self.provider.name}", batch=0)
            append_new(rows, ranges, sum(d.events for d in days), writer, batch_id, stamp)
        filled = [contract for contract in states if any(d[contract.name] for d in days)]
        keep_newest(rows, filled, self.provider.histories, self.warehouse, stamp)
        return ranges

    def _mark(self, came: DataFrame, replayed_at: datetime) -> None:
        """Write time and outcome to the records, in one commit."""
        outcome: dict[str, str | Column] = {
            "replayed_at": F.lit(replayed_at),
            "replay_outcome": F.col("new.replay_outcome"),
        }
        with writing(self.warehouse, QUARANTINE.name):
            known = DeltaTable.forPath(self.spark, tables.uri(self.warehouse, QUARANTINE)).alias("known")
            known.merge(came.alias("new"), tables.same_key(QUARANTINE)).whenMatchedUpdate(set=outcome).execute()
        reached("quarantine marked")


def _batch_ids(quarantined: DataFrame) -> list[str]:
    """The `batch_id`s of the replays that marked their records."""
    times = quarantined.where(F.col("replayed_at").isNotNull()).select("replayed_at").distinct()
    written = F.date_format("replayed_at", _TIME_IN_BATCH_ID)
    return [REPLAYED + row.written for row in times.select(written.alias("written")).collect()]


def _reason(name: str) -> Reason:
    """The reason of that name; ConfigurationError if there is none."""
    if name in list(Reason):
        return Reason(name)
    nearest = difflib.get_close_matches(name, list(Reason), n=1)
    hint = f"did you mean `{nearest[0]}`?" if nearest else f"there are: {', '.join(Reason)}."
    raise ConfigurationError(f"No reason `{name}`: {hint}")


def _as_json(report: ReplayReport) -> dict[str, object]:
    by_reason: dict[str, dict[str, int]] = {}
    for (reason, outcome), count in sorted(report.outcomes.items()):
        by_reason.setdefault(reason, {})[outcome] = count
    return {
        "time": datetime.now(UTC).isoformat(),
        "records": report.records,
        "rows": report.rows,
        "outcomes": by_reason,
        "seconds": report.seconds,
    }


def summary(report: ReplayReport) -> str:
    """The replay in one line."""
    words = {
        ReplayOutcome.DUPLICATE: "duplicate",
        ReplayOutcome.VERSION: "versions without events",
        ReplayOutcome.CONTROL: "control",
        ReplayOutcome.PARTLY: "in part",
        ReplayOutcome.NOT_WHOLE: "not kept whole",
    }
    parts = [
        f"{report.of(ReplayOutcome.EVENT):,} became events ({report.rows:,} rows)",
        *(f"{report.of(outcome):,} {text}" for outcome, text in words.items() if report.of(outcome)),
        f"{report.still:,} still quarantined",
    ]
    return f"Replayed {report.records:,} records: {', '.join(parts)}"


def _show(report: ReplayReport) -> None:
    console = Console(width=min(Console().width, 80), highlight=False)
    if not report.records:
        console.print("Nothing to replay: no record in quarantine, or of this reason, that was not replayed before.")
        return
    console.print(summary(report))
    table = Table("reason", "outcome")
    table.add_column("records", justify="right")
    for (reason, outcome), count in sorted(report.outcomes.items()):
        table.add_row(reason, outcome, f"{count:,}")
    console.print(table)
