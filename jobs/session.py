"""The Spark session of every job, with the jars it needs at pinned versions, each fetched once."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from conf.errors import PipelineError
from conf.settings import Settings
from jobs.locks import alone

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Jars:
    """A Java package at a pinned version, with all it needs that Spark does not have."""

    name: str
    package: str
    """As Maven names it, with its version."""
    excluded: tuple[str, ...]
    """What it would bring along as well, `group:artifact` each."""


DELTA = Jars(
    "Delta",
    "io.delta:delta-spark_4.2_2.13:4.4.0",
    # What Spark ships itself, in other versions: without these 33,781 classes would be there twice.
    tuple(
        f"{group}:*"
        for group in (
            "org.apache.hadoop",
            "org.apache.parquet",
            "org.slf4j",
            "com.fasterxml.jackson.core",
            "com.fasterxml.jackson.datatype",
            "org.apache.logging.log4j",
            "org.xerial.snappy",
            "com.github.luben",
            "io.airlift",
            "org.locationtech.jts",
            "org.roaringbitmap",
            "commons-pool",
            "commons-logging",
            "javax.annotation",
            "com.google.code.findbugs",
        )
    ),
)
POSTGRESQL = Jars("PostgreSQL's driver", "org.postgresql:postgresql:42.7.14", ("org.checkerframework:checker-qual",))


class JarsNotFetchedError(PipelineError):
    """Jars could not be fetched; a retry helps once the package registry is reachable."""


def fetch_jars(folder: Path, jars: Jars) -> list[Path]:
    """The jars below `folder`, fetched by Ivy on the first call only (package and version are their folder's name).

    Later sessions name the files, which saves Ivy's two seconds at each start.
    """
    home = folder / jars.package.replace(":", "_")
    done = home / "complete"
    if not done.exists():
        with alone(home, "fetching"):  # two at once spoil each other's downloads
            if not done.exists():
                _fetch(home, jars)
                done.touch()
    return sorted(home.glob("jars/*.jar"))


def _fetch(home: Path, jars: Jars) -> None:
    print(f"Fetching the jars of {jars.name}, once …", file=sys.stderr, flush=True)
    program = (
        "from pyspark.sql import SparkSession as S\n"
        "S.builder.master('local[1]').config('spark.ui.enabled', 'false')"
        f".config('spark.jars.packages', {jars.package!r})"
        f".config('spark.jars.excludes', {','.join(jars.excluded)!r})"
        f".config('spark.jars.ivy', {str(home)!r}).getOrCreate().stop()\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, errors="replace", check=False)
    if run.returncode or not list(home.glob("jars/*.jar")):
        tail = "\n".join((run.stdout + run.stderr).strip().splitlines()[-15:])
        raise JarsNotFetchedError(
            f"{tail}\nThe jars of {jars.name} ({jars.package}) could not be fetched; the next start tries again."
        )


def build_session(settings: Settings, app_name: str, *further: Jars) -> SparkSession:
    """A session in UTC and ANSI mode that reads and writes Delta; settings under `spark.conf` have the last word.

    `further` are jars that the job needs beside those that the settings ask for.

    This process is put to UTC too: a timestamp that Spark hands over has the process's zone, without saying so.
    """
    os.environ["TZ"] = "UTC"
    time.tzset()
    is_local = settings.spark.master.startswith("local")
    if is_local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    wanted = [DELTA, *further, *([POSTGRESQL] if settings.requests.source == "postgresql" else [])]
    jars = [jar for one in dict.fromkeys(wanted) for jar in fetch_jars(PROJECT / ".cache" / "ivy", one)]
    partitions = settings.spark.shuffle_partitions or (2 * (os.cpu_count() or 1) if is_local else 200)
    conf = {
        "spark.master": settings.spark.master,
        "spark.app.name": app_name,
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.driver.memory": settings.spark.driver_memory,
        # Throughput counts here, not pauses: a tenth faster than Java's default collector.
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
        # As here: a time without a zone that a database holds is read in the zone of the JVM.
        "spark.executorEnv.TZ": "UTC",
        "spark.ui.enabled": str(settings.spark.ui).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.shuffle.partitions": str(partitions),
        # Spark's own default, INT96, is deprecated: other readers warn or refuse.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Else Spark takes parsing apart: a from_json for every column that reads from its struct.
        "spark.sql.optimizer.expression.nestedPruning.enabled": "false",
        # A few days' writers open at once spare a sort of the wide rows by day.
        "spark.sql.maxConcurrentOutputFileWriters": "16",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "2000" if is_local else "32",
        "spark.databricks.delta.snapshotPartitions": "1" if is_local else "10",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.streaming.ui.enabled": str(settings.spark.ui).lower(),
    }
    builder = SparkSession.builder
    for key, value in {**conf, **settings.spark.conf}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    # PySpark's own logger repeats each failure that we report in one line.
    session.sparkContext.setLogLevel("ERROR")
    return session
