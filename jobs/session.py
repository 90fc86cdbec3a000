"""The Spark session of every job, with Delta's jars at pinned versions, fetched once."""

import os
import subprocess
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

from conf.errors import PipelineError
from conf.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
EXCLUDED = ",".join(
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
)
"""What Spark ships itself, in other versions: without these 33,781 classes would be there twice."""


class JarsNotFetchedError(PipelineError):
    """Delta's jars could not be fetched; a retry helps once the package registry is reachable."""


def fetch_jars(folder: Path) -> list[Path]:
    """Delta's jars below `folder`, fetched by Ivy on the first call only (the pinned version is the folder's name).

    Later sessions name the files, which saves Ivy's two seconds at each start.
    """
    home = folder / DELTA.replace(":", "_")
    done = home / "complete"
    if not done.exists():
        print("Fetching Delta's jars, once …", file=sys.stderr, flush=True)
        home.mkdir(parents=True, exist_ok=True)
        program = (
            "from pyspark.sql import SparkSession as S\n"
            "S.builder.master('local[1]').config('spark.ui.enabled', 'false')"
            f".config('spark.jars.packages', {DELTA!r}).config('spark.jars.excludes', {EXCLUDED!r})"
            f".config('spark.jars.ivy', {str(home)!r}).getOrCreate().stop()\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, errors="replace", check=False
        )
        if run.returncode or not list(home.glob("jars/*.jar")):
            tail = "\n".join((run.stdout + run.stderr).strip().splitlines()[-15:])
            raise JarsNotFetchedError(
                f"{tail}\nDelta's jars ({DELTA}) could not be fetched; the next start tries again."
            )
        done.touch()
    return sorted(home.glob("jars/*.jar"))


def build_session(settings: Settings, app_name: str) -> SparkSession:
    """A session in UTC and ANSI mode that reads and writes Delta; settings under `spark.conf` have the last word.

    This process is put to UTC too: a timestamp that Spark hands over has the process's zone, without saying so.
    """
    os.environ["TZ"] = "UTC"
    time.tzset()
    is_local = settings.spark.master.startswith("local")
    if is_local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    jars = fetch_jars(PROJECT / ".cache" / "ivy")
    partitions = settings.spark.shuffle_partitions or (2 * (os.cpu_count() or 1) if is_local else 200)
    conf = {
        "spark.master": settings.spark.master,
        "spark.app.name": app_name,
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.driver.memory": settings.spark.driver_memory,
        # Throughput counts here, not pauses: a tenth faster than Java's default collector.
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
        "spark.ui.enabled": str(settings.spark.ui).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.shuffle.partitions": str(partitions),
        # Else Spark takes parsing apart: a from_json for every column that reads from its struct.
        "spark.sql.optimizer.expression.nestedPruning.enabled": "false",
        # A few days' writers open at once spare a sort of the wide rows by day.
        "spark.sql.maxConcurrentOutputFileWriters": "16",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "2000" if is_local else "32",
        "spark.databricks.delta.snapshotPartitions": "2" if is_local else "10",
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
