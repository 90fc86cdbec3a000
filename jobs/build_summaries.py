"""`build_summaries`: the tables of answers, brought up to date with `events` and the team's requests."""

import argparse
import json
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from pyspark.sql import SparkSession

from conf.settings import Settings
from jobs import tables
from jobs.crash_points import reached
from jobs.export import FORMS, Target, export, target_of
from jobs.failures import again_if_lost
from jobs.keeping import releasing
from jobs.locks import only_builder
from jobs.names import named
from jobs.parts import Summary
from jobs.progress import say
from jobs.session import build_session
from jobs.sources import Sources, without
from jobs.storage import Location, location
from jobs.summaries import SUMMARIES
from jobs.threads import side_by_side
from schemas.campaign_regions import CAMPAIGN_REGIONS
from schemas.catalog import tables_with
from schemas.contract import TableContract
from schemas.daily_activity import DAILY_ACTIVITY
from schemas.events import EVENTS
from schemas.journeys import JOURNEYS
from schemas.region_summary import REGION_SUMMARY


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument("--only", metavar="A,B", help=f"make only these of: {', '.join(SUMMARIES)}")
    parser.add_argument(
        "--full",
        action="store_true",
        help="make everything anew: all events, all requests, for drift all files; else only what is new is computed",
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
    build(settings, only=named(arguments.only, SUMMARIES, "summary"), full=arguments.full, targets=targets)


def build(
    settings: Settings,
    *,
    only: Collection[str] = tuple(SUMMARIES),
    full: bool = False,
    anew: bool = False,
    targets: Sequence[Target] = (),
    spark: SparkSession | None = None,
) -> None:
    """Run the job; with `spark` the session given is used, and left running.

    `anew` makes these summaries of all rows of their tables; `full` beside that takes requests and files anew.
    """
    warehouse = location(settings.warehouse)
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
        make = partial(_bring_up_to_date, session, settings, warehouse, only, full=full, anew=anew)
        with releasing(session):
            again_if_lost(make, "build_summaries")
        for target in targets:
            began = time.monotonic()
            names = export(session, warehouse, only, target, settings.metrics.chosen)
            _tell_exported(names, str(target), time.monotonic() - began, settings)


def _bring_up_to_date(
    session: SparkSession, settings: Settings, warehouse: Location, only: Collection[str], *, full: bool, anew: bool
) -> None:
    sources = Sources(session, settings, full=full)
    version = sources.version_of(EVENTS)
    # Nothing but looks beside it: a file of requests that cannot be read is refused before any summary is written.
    looks: dict[str, Callable[[], object]] = {}
    if not {REGION_SUMMARY.name, CAMPAIGN_REGIONS.name, DAILY_ACTIVITY.name}.isdisjoint(only):
        looks["requests"] = lambda: sources.requests
    since = sources.since(JOURNEYS) if JOURNEYS.name in only and not anew else None
    if since is not None and not sources.is_current(JOURNEYS):
        looks["touched"] = partial(sources.touched, since)
    for name, _ in side_by_side(looks):
        if name == "requests":
            reached("requests committed")
    contracts = {table.name: table for table in tables_with(settings.metrics.chosen, settings.features.wanted)}
    makes = {
        name: partial(_make, session, warehouse, summary, contracts[name], sources, anew=anew)
        for name, summary in SUMMARIES.items()
        if name in only
    }
    for name, made in side_by_side(makes, {name: summary.after for name, summary in SUMMARIES.items()}):
        _tell(name, made, version, settings)


@dataclass(frozen=True)
class _Made:
    """A summary that is up to date."""

    rows: int
    how: str
    seconds: float


def _make(
    spark: SparkSession,
    warehouse: Location,
    summary: Summary,
    contract: TableContract,
    sources: Sources,
    *,
    anew: bool,
) -> _Made:
    """Bring a summary up to date, in one commit; by parts if little is new, not at all if nothing is."""
    began = time.monotonic()
    since = None if anew or summary.part is None else sources.since(contract)
    if since is not None and summary.of and sources.is_unchanged(since, summary.of):
        how = "nothing new"
    else:
        part = summary.part(sources, since) if since is not None and summary.part is not None else None
        rows = summary.rows(sources) if part is None else part.rows
        note = sources.note(summary.of)  # of which versions: known when the rows are
        if part is None or part.days is None:
            tables.replace(spark, warehouse, rows, contract, note)
        else:
            tables.replace_parts(spark, warehouse, rows, contract, part.days, note)
        how = "made anew" if part is None else "brought up to date"
    sources.use_written(contract)
    reached(f"{contract.name} committed")
    number = tables.rows_written(warehouse, summary.contract, sources.version_of(summary.contract))
    if number is None:
        number = sources.stored(summary.contract).count()
    return _Made(number, how, time.monotonic() - began)


def _tell(name: str, made: _Made, version: int, settings: Settings) -> None:
    if settings.progress == "json":
        said = {"summary": name, "rows": made.rows, "how": made.how, "events_version": version}
        print(json.dumps({**said, "seconds": round(made.seconds, 3)}))
        return
    say(f"{name}: {made.rows:,} rows, {made.how} from version {version:,} of events in {made.seconds:.1f} s")


def _tell_exported(names: Sequence[str], place: str, seconds: float, settings: Settings) -> None:
    if settings.progress == "json":
        print(json.dumps({"exported": names, "to": place, "seconds": round(seconds, 3)}))
        return
    say(f"exported to {place} in {seconds:.1f} s: {', '.join(names)}")
