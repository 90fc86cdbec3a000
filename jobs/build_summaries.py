"""`build_summaries`: the tables of answers, made anew from `events` and the team's requests."""

import argparse
import difflib
import json
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import tables
from jobs.crash_points import reached
from jobs.drift import read_drift
from jobs.export import FORMS, Target, export, target_of
from jobs.locks import only_builder
from jobs.progress import say
from jobs.providers import PROVIDERS
from jobs.requests import read_requests
from jobs.session import build_session
from jobs.storage import local_path
from schemas.campaign_regions import CAMPAIGN_REGIONS
from schemas.campaigns import CAMPAIGNS
from schemas.catalog import TABLES, tables_with
from schemas.checks import quality_checks
from schemas.contract import TableContract
from schemas.drift import DRIFT
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.freshness import FRESHNESS
from schemas.invitations import INVITATIONS
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGES
from schemas.quality import QUALITY
from schemas.recipient_totals import RECIPIENT_TOTALS
from schemas.region_summary import REGION_SUMMARY
from schemas.requests import REQUESTS
from schemas.restatement import RESTATEMENT
from schemas.sailthru import BLASTS, SAILTHRU_MESSAGES
from transforms.campaign_regions import to_campaign_regions
from transforms.campaigns import message_revenues, to_campaigns
from transforms.freshness import to_freshness
from transforms.invitations import to_invitations
from transforms.journeys import to_journeys
from transforms.lifecycle import to_lifecycle
from transforms.messages import to_messages
from transforms.quality import to_quality
from transforms.recipient_totals import to_recipient_totals
from transforms.region_summary import to_region_summary
from transforms.restatement import to_restatement


class Sources:
    """What summaries are made of: one and the same version of each table for all of them, and each other."""

    def __init__(self, spark: SparkSession, settings: Settings, *, full: bool) -> None:
        self._spark, self.settings, self._full = spark, settings, full
        self._warehouse = local_path(settings.warehouse)
        self.as_of = datetime.now(UTC)
        self._versions: dict[str, int] = {}
        # The ledger first: what its lines count is then in the version of every other table, whenever it is looked at.
        for contract in (FILES, EVENTS):
            if tables.is_there(self._warehouse, contract):
                self.version_of(contract)
        self._made: dict[str, DataFrame] = {}

    @property
    def note(self) -> str:
        """What a summary's commit says of the versions that it was made from."""
        return json.dumps({f"{table.name}_version": self.version_of(table) for table in (FILES, EVENTS)})

    @cached_property
    def lifecycle(self) -> DataFrame:
        """The rows of `to_lifecycle`."""
        return to_lifecycle(self.stored(EVENTS), self.settings.email_kind_tag)

    @cached_property
    def requests(self) -> DataFrame:
        """The rows of `requests`."""
        return read_requests(self._spark, self.settings, tells=True)

    def refuse_other_profile(self) -> None:
        """Raise ConfigurationError if a stored table has the metrics of another profile than the settings say."""
        tables.refuse_other_profile(self._spark, self._warehouse, self.settings.metrics.chosen)

    @property
    def everything(self) -> dict[str, DataFrame]:
        """By its name every table that is stored, and `requests`."""
        found = {table.name: self.stored(table) for table in TABLES if tables.is_there(self._warehouse, table)}
        return {**found, REQUESTS.name: self.requests}

    def version_of(self, contract: TableContract) -> int:
        """The version of a stored table that this run reads: the newest when it is first asked for."""
        if contract.name not in self._versions:
            if not tables.is_there(self._warehouse, contract):
                raise without(contract, self._warehouse)
            self._versions[contract.name] = tables.version(self._spark, self._warehouse, contract)
        return self._versions[contract.name]

    def stored(self, contract: TableContract) -> DataFrame:
        """A stored table, in the one version that this run reads."""
        return tables.read(self._spark, self._warehouse, contract, self.version_of(contract))

    def state(self, contract: TableContract) -> DataFrame:
        """A stored table, in the one version that this run reads; without rows if it was never made."""
        if tables.is_there(self._warehouse, contract):
            return self.stored(contract)
        return self._spark.createDataFrame([], contract.stored_schema)

    @cached_property
    def drift(self) -> DataFrame:
        """The rows of `drift`: those of files that it does not stand for yet are read, with `full` all files."""
        said = None if self._full else tables.note_of(self._spark, self._warehouse, DRIFT)
        known = json.loads(said)[f"{FILES.name}_version"] if said else None
        return read_drift(self._spark, self.settings, self.version_of(FILES), known)

    def of(self, contract: TableContract) -> DataFrame:
        """Another summary's rows: read if this run has written it, else computed."""
        if contract.name not in self._made:
            self._made[contract.name] = tables.shaped_as(SUMMARIES[contract.name].rows(self), contract)
        return self._made[contract.name]

    def use_written(self, contract: TableContract) -> None:
        """From now on read the summary, as it is now, instead of computing it."""
        self._versions.pop(contract.name, None)
        self._made[contract.name] = self.stored(contract)


@dataclass(frozen=True)
class Summary:
    """A table of answers, and how its rows come out of the sources."""

    contract: TableContract
    rows: Callable[[Sources], DataFrame]


def _campaigns(sources: Sources) -> DataFrame:
    revenues, blasts = message_revenues(sources.state(SAILTHRU_MESSAGES)), sources.state(BLASTS)
    return to_campaigns(sources.of(MESSAGES), sources.of(JOURNEYS), revenues, blasts, sources.settings.metrics.chosen)


def _recipient_totals(sources: Sources) -> DataFrame:
    revenues, many = message_revenues(sources.state(SAILTHRU_MESSAGES)), sources.settings.campaigns.many
    return to_recipient_totals(sources.of(JOURNEYS), sources.of(MESSAGES), revenues, many)


def _invitations(sources: Sources) -> DataFrame:
    response_days = sources.settings.campaigns.response_days
    return to_invitations(sources.of(JOURNEYS), sources.of(MESSAGES), response_days)


def _campaign_regions(sources: Sources) -> DataFrame:
    return to_campaign_regions(sources.requests, sources.of(MESSAGES), sources.of(JOURNEYS))


def _freshness(sources: Sources) -> DataFrame:
    client_id = sources.settings.sailthru.client_id
    return to_freshness(sources.stored(FILES), sources.stored(EVENTS), client_id, sources.as_of)


def _regions(sources: Sources) -> DataFrame:
    return to_region_summary(sources.requests, sources.of(MESSAGES), sources.settings.metrics.chosen)


def _restatement(sources: Sources) -> DataFrame:
    return to_restatement(sources.of(MESSAGES), sources.state(RESTATEMENT), sources.as_of)


def _quality(sources: Sources) -> DataFrame:
    after_load = timedelta(days=sources.settings.latest_event_time_days_after_load)
    metrics = sources.settings.metrics.chosen
    checks = quality_checks(tuple(PROVIDERS), sources.settings.earliest_event_time, after_load, metrics)
    sources.refuse_other_profile()
    return to_quality(sources.everything, checks)


SUMMARIES = {
    summary.contract.name: summary
    for summary in (
        Summary(JOURNEYS, lambda sources: to_journeys(sources.lifecycle, sources.state(SAILTHRU_MESSAGES))),
        Summary(MESSAGES, lambda sources: to_messages(sources.lifecycle, sources.of(JOURNEYS))),
        Summary(REGION_SUMMARY, _regions),
        Summary(RESTATEMENT, _restatement),
        Summary(CAMPAIGNS, _campaigns),
        Summary(CAMPAIGN_REGIONS, _campaign_regions),
        Summary(RECIPIENT_TOTALS, _recipient_totals),
        Summary(INVITATIONS, _invitations),
        Summary(DRIFT, lambda sources: sources.drift),
        Summary(FRESHNESS, _freshness),
        Summary(QUALITY, _quality),
    )
}
"""In the order in which they are made: a summary may use those before it, and `quality` checks all of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument("--only", metavar="A,B", help=f"make only these of: {', '.join(SUMMARIES)}")
    parser.add_argument(
        "--full",
        action="store_true",
        help="read all files again for drift, not only new ones (the others are always made from all events)",
    )
    parser.add_argument(
        "--export",
        metavar="WHERE",
        action="append",
        default=[],
        help=f"write them, and the views over them, there too: {FORMS}; repeatable",
    )


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Make the summaries anew, each in one commit."""
    targets = [target_of(text, settings) for text in arguments.export]
    build(settings, only=_named(arguments.only), full=arguments.full, targets=targets)


def build(
    settings: Settings,
    *,
    only: Collection[str] = tuple(SUMMARIES),
    full: bool = False,
    targets: Sequence[Target] = (),
    spark: SparkSession | None = None,
) -> None:
    """Run the job; with `spark` the session given is used, and left running."""
    warehouse = local_path(settings.warehouse)
    if not tables.is_there(warehouse, EVENTS):
        raise without(EVENTS, warehouse)
    with ExitStack() as held:
        held.enter_context(only_builder(warehouse))
        jars = [jars for target in targets for jars in target.jars]
        session = spark or build_session(settings, "build_summaries", *jars)
        if spark is None:
            held.callback(session.stop)
        for target in targets:
            target.check(session)
        sources = Sources(session, settings, full=full)
        version = sources.version_of(EVENTS)
        if not {REGION_SUMMARY.name, CAMPAIGN_REGIONS.name}.isdisjoint(only):
            sources.requests  # noqa: B018  # a file that cannot be read is refused before anything is written
        contracts = {table.name: table for table in tables_with(settings.metrics.chosen)}
        for name, summary in SUMMARIES.items():
            if name in only:
                began = time.monotonic()
                tables.replace(session, warehouse, summary.rows(sources), contracts[name], sources.note)
                reached(f"{name} committed")
                sources.use_written(summary.contract)
                _tell(sources.of(summary.contract).count(), name, version, time.monotonic() - began, settings)
        for target in targets:
            began = time.monotonic()
            names = export(session, warehouse, only, target, settings.metrics.chosen)
            _tell_exported(names, str(target), time.monotonic() - began, settings)


def without(contract: TableContract, warehouse: Path) -> ConfigurationError:
    """A warehouse lacks a table that the stream makes."""
    return ConfigurationError(
        f"No table `{contract.name}` in {warehouse}: run stream_events first, or name its --warehouse."
    )


def _named(only: str | None) -> Collection[str]:
    if only is None:
        return tuple(SUMMARIES)
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names or [only]:
        if name not in SUMMARIES:
            nearest = difflib.get_close_matches(name, SUMMARIES, n=1)
            hint = f"did you mean `{nearest[0]}`?" if nearest else f"there are: {', '.join(SUMMARIES)}."
            raise ConfigurationError(f"--only: no summary `{name}`: {hint}")
    return names


def _tell(rows: int, name: str, version: int, seconds: float, settings: Settings) -> None:
    if settings.progress == "json":
        print(json.dumps({"summary": name, "rows": rows, "events_version": version, "seconds": round(seconds, 3)}))
        return
    say(f"{name}: {rows:,} rows from version {version:,} of events in {seconds:.1f} s")


def _tell_exported(names: Sequence[str], place: str, seconds: float, settings: Settings) -> None:
    if settings.progress == "json":
        print(json.dumps({"exported": names, "to": place, "seconds": round(seconds, 3)}))
        return
    say(f"exported to {place} in {seconds:.1f} s: {', '.join(names)}")
