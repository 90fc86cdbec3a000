"""The Spark session of every job, with the jars it needs at pinned versions, each fetched once."""

import os
import time
from pathlib import Path

from pyspark.sql import SparkSession

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import s3
from jobs.jars import CACHE, DELTA, POSTGRESQL, S3, Jars, fetch_jars
from jobs.log_store import LOG_STORE, LOG_STORE_CLASS, log_store_jar

PROJECT = Path(__file__).resolve().parent.parent


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
    if settings.is_on_s3:
        wanted.append(S3)
    jars = [jar for one in dict.fromkeys(wanted) for jar in fetch_jars(CACHE / "ivy", one)]
    if settings.is_on_s3:
        jars.append(log_store_jar())
    partitions = settings.spark.shuffle_partitions or (2 * (os.cpu_count() or 1) if is_local else 200)
    conf = {
        "spark.master": settings.spark.master,
        "spark.app.name": app_name,
        "spark.jars": ",".join(str(jar) for jar in jars),
        **(_of_s3(settings) if settings.is_on_s3 else {}),
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
    if settings.is_on_s3 and (chosen := settings.spark.conf.get(LOG_STORE, LOG_STORE_CLASS)) != LOG_STORE_CLASS:
        raise ConfigurationError(
            f"spark.conf.{LOG_STORE} says {chosen}, with which two writers lose each other's commits on S3: leave it "
            "out. For a store without conditional PUT there is s3.conditional_put=false."
        )
    builder = SparkSession.builder
    for key, value in {**conf, **settings.spark.conf}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    # PySpark's own logger repeats each failure that we report in one line.
    session.sparkContext.setLogLevel("ERROR")
    return session


def _of_s3(settings: Settings) -> dict[str, str]:
    """What S3A needs to find the store, and whose credentials it uses, as AWS's own tools do."""
    s3.use(settings.s3)
    conf = {
        "spark.hadoop.fs.s3a.aws.credentials.provider": "software.amazon.awssdk.auth.credentials."
        "DefaultCredentialsProvider",
        "spark.hadoop.fs.s3a.endpoint.region": s3.region(),
    }
    if settings.s3.conditional_put:
        conf[LOG_STORE] = LOG_STORE_CLASS
    if endpoint := s3.endpoint():
        conf["spark.hadoop.fs.s3a.endpoint"] = conf["spark.executorEnv.AWS_ENDPOINT_URL_S3"] = endpoint
        conf["spark.hadoop.fs.s3a.path.style.access"] = "true"
    return conf
