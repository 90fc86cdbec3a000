"""`notebook`: JupyterLab on `notebooks/journeys.ipynb`, and what its cells need besides `transforms/exploration.py`."""

import argparse
import csv
import os
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from conf.errors import ConfigurationError
from conf.settings import Settings, as_environment, load_settings
from jobs import tables
from jobs.progress import say
from jobs.requests import read_requests
from jobs.session import PROJECT, build_session
from jobs.storage import Location, location
from jobs.story import stories
from schemas.catalog import TABLES
from schemas.requests import REQUESTS
from transforms.exploration import journeys_of

NOTEBOOK = PROJECT / "notebooks" / "journeys.ipynb"
NEEDED = ("events", "messages", "journeys", "region_summary", "freshness")
_MOST_JOURNEYS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job beside those of every job."""
    parser.add_argument("--port", type=int, default=8888, help="port of this machine (default: 8888, or the next free)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address; open no browser")


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Become JupyterLab, whose notebooks get the same settings by environment variables."""
    _warehouse(settings)
    command = [
        *(sys.executable, "-P", "-m", "jupyterlab", f"--notebook-dir={PROJECT}", f"--port={arguments.port}"),
        f"--LabApp.default_url=/lab/tree/{NOTEBOOK.relative_to(PROJECT)}",
        *(["--no-browser"] if arguments.no_browser else []),
        *(["--allow-root"] if os.geteuid() == 0 else []),  # in a container; else it refuses to start
    ]
    say("Starting JupyterLab; Ctrl-C ends it.")
    os.execve(sys.executable, command, {**os.environ, **environment(settings)})


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables that give a notebook these settings, wherever it stands."""
    # Relative folders count from where the job is started; a kernel stands in the notebook's folder.
    folders = {name: str(location(getattr(settings, name))) for name in ("input", "warehouse")}
    return as_environment(settings.model_copy(update=folders))


def _warehouse(settings: Settings) -> Location:
    warehouse = location(settings.warehouse)
    there = [table.name for table in TABLES if tables.is_there(warehouse, table)]
    if missing := [name for name in NEEDED if name not in there]:
        raise ConfigurationError(
            f"No table `{missing[0]}` in {warehouse}: run `demo` first, or stream_events and build_summaries, "
            "or name their --warehouse."
        )
    return warehouse


# --- for the cells


def opened() -> SparkSession:
    """A session in which every table and view of the warehouse has its name, `requests` too."""
    settings = load_settings()
    warehouse = _warehouse(settings)
    spark = build_session(settings, "notebook")
    tables.register(spark, warehouse, settings.metrics.chosen)
    read_requests(spark, settings).createOrReplaceTempView(REQUESTS.name)
    return spark


def look_up(spark: SparkSession, who: str) -> str:
    """The journeys of a recipient or a message id in words, the first 20."""
    found = journeys_of(spark.table("journeys"), who).limit(_MOST_JOURNEYS + 1).collect()
    if not found:
        return f"Nothing is known of {who}."
    told = [text.plain for text in stories(spark, found[:_MOST_JOURNEYS], spark.table(REQUESTS.name))]
    return "\n".join([*told, *(["  … and more"] if len(found) > _MOST_JOURNEYS else [])])


def save(rows: DataFrame, file: str) -> str:
    """Write rows to a CSV file (UTF-8, times in UTC), making its folder, and say so.

    They pass through one by one, however many; the file has its name only when it is complete.
    """
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    count = 0
    with partial.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(rows.columns)
        for row in rows.toLocalIterator():
            writer.writerow(row)
            count += 1
    partial.replace(path)
    return f"{count:,} rows in {path}"
