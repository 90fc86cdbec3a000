"""`check_quality`: whether the tables hold what is promised of them; makes `quality` anew and says what fails."""

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conf.errors import PipelineError
from conf.settings import Settings
from jobs import tables
from jobs.build_summaries import build
from jobs.session import build_session
from jobs.sources import without
from jobs.storage import location
from schemas.events import EVENTS
from schemas.quality import QUALITY, Severity


class QualityError(PipelineError):
    """Checks of severity error fail: the tables are not what they promise, and a retry does not help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None but those of every job."""


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Check the warehouse, print the checks that fail, and raise QualityError if one of them is an error."""
    check(settings)


def check(settings: Settings, *, spark: SparkSession | None = None) -> None:
    """Run the job; with `spark` the session given is used, and left running."""
    warehouse = location(settings.warehouse)
    if not tables.is_there(warehouse, EVENTS):
        raise without(EVENTS, warehouse)
    with ExitStack() as held:
        session = spark or build_session(settings, "check_quality")
        if spark is None:
            held.callback(session.stop)
        build(settings, only=[QUALITY.name], anew=True, spark=session)
        results = tables.read(session, warehouse, QUALITY).orderBy(*QUALITY.key)
        failing = results.where(~F.col("passed")).collect()
        count = results.count()
    if settings.progress == "json":
        for row in failing:
            print(json.dumps(row.asDict()), flush=True)
    else:
        _show(failing, count)
    if errors := [_name(row) for row in failing if row.severity == Severity.ERROR]:
        raise QualityError(
            f"{len(errors)} of {count} checks failed: {'; '.join(errors)}. The table `quality` has keys of their rows."
        )


def _name(row: Row) -> str:
    return f"{row.table_name} {row.check_kind} ({row.column_names})"


def _show(failing: Sequence[Row], count: int) -> None:
    console = Console(width=min(Console().width, 80), highlight=False)
    if not failing:
        console.print(f"All {count} checks passed.")
        return
    table = Table("check that fails, and its rule", show_lines=True)
    table.add_column("rows", justify="right")
    table.add_column("for example", overflow="fold")
    for row in failing:
        name = Text(f"{row.severity}: {_name(row)}\n").append(row.rule, style="dim")
        table.add_row(name, f"{row.rows_failing:,} of {row.rows_checked:,}", Text(row.sample_keys[0]))
    console.print(table)
    console.print(f"{count - len(failing)} of {count} checks passed.")
