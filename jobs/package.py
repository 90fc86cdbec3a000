"""`package`: what a platform that starts Spark itself needs to run the jobs (docs/deploy.md)."""

import argparse
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import main as entry_point
from jobs import s3
from jobs.jars import CACHE, DELTA, S3, Jars
from jobs.log_store import LOG_STORE, LOG_STORE_CLASS, log_store_jar
from jobs.session import PROJECT, spark_conf
from jobs.shipping import zip_of

OF_SPARK = ("pyspark", "py4j")
"""Python packages that a platform has: another version would not fit its Spark."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job."""
    parser.add_argument("--to", metavar="DIR", required=True, help="the folder to write to; it is made if need be")


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Write the code, its entry point, its Python packages, its Spark settings and the log store of S3 to a folder."""
    folder = Path(arguments.to).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigurationError(f"--to: {folder} cannot be made: {problem.strerror}.") from None
    shutil.copyfile(zip_of(PROJECT, CACHE / "code"), folder / "emailevents.zip")
    shutil.copyfile(entry_point.__file__, folder / "main.py")
    shutil.copyfile(log_store_jar(), folder / "log-store.jar")
    requirements = without((PROJECT / "requirements.lock").read_text("utf-8"), OF_SPARK)
    (folder / "requirements.txt").write_text(requirements, "utf-8")
    (folder / "spark.conf").write_text(properties([DELTA], DELTA.excluded), "utf-8")
    # Delta's own list would leave out Hadoop's S3A as well; that of S3 has all of it but this.
    on_s3 = {"spark.hadoop.fs.s3a.aws.credentials.provider": s3.CREDENTIALS, LOG_STORE: LOG_STORE_CLASS}
    (folder / "s3.conf").write_text(properties([DELTA, S3], S3.excluded, on_s3), "utf-8")
    print(f"Written to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))} (see docs/deploy.md).")


def properties(jars: Iterable[Jars], excluded: Iterable[str], further: Mapping[str, str] | None = None) -> str:
    """For `spark-submit --properties-file`: the jars by name, and what else only who starts Spark can set."""
    conf = {
        "spark.jars.packages": ",".join(one.package for one in jars),
        "spark.jars.excludes": ",".join(excluded),
        **spark_conf(),
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",  # the driver's JVM is there before this project
        **(further or {}),
    }
    return "".join(f"{key} {value}\n" for key, value in conf.items())


def without(lock: str, names: Iterable[str]) -> str:
    """A lock file without some packages, each a line of its name and version and the indented lines below it."""
    dropped = tuple(f"{name}==" for name in names)
    entries = re.split(r"(?m)^(?=\S)", lock)
    return "".join(entry for entry in entries if not entry.startswith(dropped))
