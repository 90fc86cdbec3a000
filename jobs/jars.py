"""Java packages at pinned versions, each fetched once."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conf.errors import PipelineError
from jobs.locks import alone

CACHE = Path(__file__).resolve().parent.parent / ".cache"
"""What may be deleted whenever no job runs; the next start makes it anew."""


@dataclass(frozen=True)
class Jars:
    """A Java package at a pinned version, with all it needs that Spark does not have."""

    name: str
    package: str
    """As Maven names it, with its version; of several, with commas between them."""
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
# The modules of AWS's SDK that S3A uses, instead of all of it in one jar of 686 MB; what Spark ships is left out.
S3 = Jars(
    "S3",
    "org.apache.hadoop:hadoop-aws:3.5.0,software.amazon.awssdk:s3:2.35.4,"
    "software.amazon.awssdk:s3-transfer-manager:2.35.4,software.amazon.awssdk:sts:2.35.4",
    (
        "org.apache.hadoop:hadoop-client-api",
        "org.apache.hadoop:hadoop-client-runtime",
        *(one for one in DELTA.excluded if not one.startswith("org.apache.hadoop:")),
        *("software.amazon.awssdk:bundle", "io.netty:*", "org.wildfly.openssl:*", "org.apache.httpcomponents:*"),
        "commons-codec:*",
    ),
)
POSTGRESQL = Jars("PostgreSQL's driver", "org.postgresql:postgresql:42.7.14", ("org.checkerframework:checker-qual",))


class JarsNotFetchedError(PipelineError):
    """Jars could not be fetched; a retry helps once the package registry is reachable."""


def fetch_jars(folder: Path, jars: Jars) -> list[Path]:
    """The jars below `folder`, fetched by Ivy on the first call only (package and version are their folder's name).

    Later sessions name the files, which saves Ivy's two seconds at each start.
    """
    home = folder / jars.package.replace(":", "_").replace(",", "+")  # Spark splits lists of paths at commas
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
