"""The Spark session of every job, with the jars it needs at pinned versions, each fetched once."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import s3
from jobs.jars import CACHE, DELTA, POSTGRESQL, S3, Jars, fetch_jars
from jobs.log_store import LOG_STORE, LOG_STORE_CLASS, log_store_jar
from jobs.shipping import zip_of

PROJECT = Path(__file__).resolve().parent.parent


def is_given() -> bool:
    """Whether spark-submit or a platform started Spark for this process: master, jars and memory are then theirs."""
    return "PYSPARK_GATEWAY_PORT" in os.environ or "DATABRICKS_RUNTIME_VERSION" in os.environ


def build_session(settings: Settings, app_name: str, *further: Jars) -> SparkSession:
    """A session in UTC and ANSI mode that reads and writes Delta; settings under `spark.conf` have the last word.

    `further` are jars that the job needs beside those that the settings ask for. On a cluster the executors get the
    jars and this project's code from here. Where Spark is given (`is_given`) all is as its starter wants it, but for
    what the jobs' results depend on; `spark_conf` is what the starter is to set.

    This process is put to UTC too: a timestamp that Spark hands over has the process's zone, without saying so.
    """
    os.environ["TZ"] = "UTC"
    time.tzset()
    if settings.is_on_s3:
        s3.use(settings.s3)
        _refuse_other_log_store(settings.spark.conf.get(LOG_STORE, LOG_STORE_CLASS), f"spark.conf.{LOG_STORE}")
    is_local = not is_given() and settings.spark.master.startswith("local")
    conf = {} if is_given() else _of_starter(settings, app_name, further)
    if is_local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder
    for key, value in {**conf, **_of_session(settings, is_local=is_local), **settings.spark.conf}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    if is_given() and settings.is_on_s3 and settings.s3.conditional_put:
        _refuse_other_log_store(session.sparkContext.getConf().get(LOG_STORE, "nothing"), LOG_STORE)
    # PySpark's own logger repeats each failure that we report in one line.
    session.sparkContext.setLogLevel("ERROR")
    if not PROJECT.is_dir():  # a zip, shipped by whoever started Spark
        # The source of new files, a Python process beside the driver, is not told of zips (seen with 4.2.0).
        session.sparkContext.environment["PYTHONPATH"] = str(PROJECT)
    elif not str(session.sparkContext.master).startswith("local"):
        session.sparkContext.addPyFile(str(zip_of(PROJECT, CACHE / "code")))
    return session


def _refuse_other_log_store(chosen: str | None, name: str) -> None:
    if chosen != LOG_STORE_CLASS:
        raise ConfigurationError(
            f"{name} says {chosen}, with which two writers lose each other's commits on S3: leave it to us, or where "
            f"others start Spark let it say {LOG_STORE_CLASS}. For a store without conditional PUT there is "
            "s3.conditional_put=false."
        )


def spark_conf() -> dict[str, str]:
    """What the jobs need of a Spark that others start, beside the Delta jars: only who starts it can set it."""
    return {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # As here: a time without a zone that a database holds is read in the zone of the JVM.
        "spark.executorEnv.TZ": "UTC",
    }


def _of_starter(settings: Settings, app_name: str, further: Sequence[Jars]) -> dict[str, str]:
    """What can be set only where Spark is started; fetches the jars, and says which Python the executors run."""
    wanted = [DELTA, *further, *([POSTGRESQL] if settings.requests.source == "postgresql" else [])]
    if settings.is_on_s3:
        wanted.append(S3)
    jars = [jar for one in dict.fromkeys(wanted) for jar in fetch_jars(CACHE / "ivy", one)]
    if settings.is_on_s3:
        jars.append(log_store_jar())
    if python := settings.spark.conf.get("spark.pyspark.python"):
        if not shutil.which(python):
            raise ConfigurationError(
                f"spark.conf: `spark.pyspark.python` is {python!r}: there must be such a program on this machine, too, "
                "for the list of new files is made here."
            )
        os.environ["PYSPARK_PYTHON"] = python  # the setting itself is read by Spark's own spark-submit only
    return {
        **spark_conf(),
        "spark.master": settings.spark.master,
        "spark.app.name": app_name,
        "spark.jars": ",".join(str(jar) for jar in jars),
        **(_of_s3(settings) if settings.is_on_s3 else {}),
        "spark.driver.memory": settings.spark.driver_memory,
        # Throughput counts here, not pauses: a tenth faster than Java's default collector.
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
        # Code made for plans is kept for the next time: one build of summaries has many more plans than Spark's 100.
        "spark.sql.codegen.cache.maxEntries": "2000",
        # Else as much as 64 MiB: each hash table begins with a page, and a build keeps those of all its small joins.
        "spark.buffer.pageSize": "4m",
        # Of queries side by side each gets its share: a short one does not wait for all tasks of a long one.
        "spark.scheduler.mode": "FAIR",
        "spark.ui.enabled": str(settings.spark.ui).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.streaming.ui.enabled": str(settings.spark.ui).lower(),
    }


def _of_session(settings: Settings, *, is_local: bool) -> dict[str, str]:
    """What a session can set for itself."""
    partitions = settings.spark.shuffle_partitions or (2 * (os.cpu_count() or 1) if is_local else 200)
    return {
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
        # Else each column that a transform makes asks where in Python it is made: some calls of Java for every one.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.dataFrameQueryContext.enabled": "false",
        "spark.databricks.delta.snapshotPartitions": "1" if is_local else "10",
        # Summaries are brought up to date from a version of any age: whether its files are there we see ourselves.
        "spark.databricks.delta.vacuum.enforceTimeTravelWithinDeletedFileRetentionDuration": "false",
        # `drift` keeps a record of each shape of records: of more than Spark's 128 it would sort them all.
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "1000",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }


def _of_s3(settings: Settings) -> dict[str, str]:
    """What S3A needs to find the store, and whose credentials it uses, as AWS's own tools do."""
    conf = {"spark.hadoop.fs.s3a.aws.credentials.provider": s3.CREDENTIALS}
    if region := s3.region():
        conf["spark.hadoop.fs.s3a.endpoint.region"] = region
    if settings.s3.conditional_put:
        conf[LOG_STORE] = LOG_STORE_CLASS
    if endpoint := s3.endpoint():
        conf["spark.hadoop.fs.s3a.endpoint"] = conf["spark.executorEnv.AWS_ENDPOINT_URL_S3"] = endpoint
        conf["spark.hadoop.fs.s3a.path.style.access"] = "true"
    return conf
