"""`maintain_tables`: small files of the tables put together, old ones removed; may run beside all other jobs."""

import argparse
import json
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from pyspark.sql import SparkSession

from conf.errors import ConfigurationError, PipelineError
from conf.settings import Settings
from jobs import tables
from jobs.locks import only_maintenance
from jobs.maintenance import Files, Maintained, maintained, remove_left_over, tell
from jobs.names import named
from jobs.session import build_session
from jobs.sources import without
from jobs.storage import location
from schemas.catalog import TABLES
from schemas.events import EVENTS

_NAMES = tuple(table.name for table in TABLES)


class MaintenanceError(PipelineError):
    """Commits of other programs got in the way of some tables again and again; a retry helps once they rest."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument("--only", metavar="A,B", help=f"only these of: {', '.join(_NAMES)}")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Put files together, take old ones away, and raise MaintenanceError if not all could be done."""
    maintain(settings, only=named(arguments.only, _NAMES, "table"), dry_run=arguments.dry_run)


def maintain(
    settings: Settings,
    *,
    only: Collection[str] = _NAMES,
    dry_run: bool = False,
    spark: SparkSession | None = None,
) -> list[Maintained]:
    """Run the job; what was done to each table. With `spark` the session given is used, and left running."""
    warehouse, of = location(settings.warehouse), settings.maintenance
    present = [table for table in TABLES if table.name in only and tables.is_there(warehouse, table)]
    if not tables.is_there(warehouse, EVENTS):
        raise without(EVENTS, warehouse)
    if not present:
        raise ConfigurationError(f"{warehouse} has no table {' or '.join(only)} yet: build_summaries makes it.")
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(only_maintenance(warehouse))
        session = spark or build_session(settings, "maintain_tables")
        if spark is None:
            held.callback(session.stop)
        done = []
        for contract in present:
            size = int(of.target_file_bytes)
            one = maintained(session, warehouse, contract, size, of.retention_hours, dry_run=dry_run)
            tell(one, settings.progress, dry_run=dry_run)
            done.append(one)
        old = datetime.now(UTC) - timedelta(hours=of.retention_hours)
        folders = [*(warehouse / table.name / "_delta_log" for table in present), location(settings.checkpoints_uri)]
        left_over = sum(remove_left_over(folder, old, dry_run=dry_run) for folder in folders)
        _tell_all(done, left_over, settings.progress, dry_run=dry_run)
    if failed := [one for one in done if one.failure]:
        names = "; ".join(f"{one.table}: {one.failure}" for one in failed)
        raise MaintenanceError(f"Not all could be done to {len(failed)} of {len(done)} tables: {names}. Start again.")
    return done


def _tell_all(done: Sequence[Maintained], left_over: int, form: str, *, dry_run: bool) -> None:
    before, after = (sum((getattr(one, when) for one in done), Files()) for when in ("before", "after"))
    removed = sum(one.removed for one in done)
    if form == "json":
        files = {"before": asdict(before), "after": asdict(after), "removed": removed, "left_over": left_over}
        print(json.dumps({"tables": len(done), **files, "dry_run": dry_run}), flush=True)
        return
    would = "would be " if dry_run else ""
    said = [str(before)]
    if any(one.parts for one in done):
        said.append(f"{would}put together to {after}")
    if removed or left_over:
        said.append(f"{removed:,} old files and {left_over:,} temporary ones of killed jobs {would}removed")
    print(f"{len(done)} {'table' if len(done) == 1 else 'tables'}: {', '.join(said)}", flush=True)
