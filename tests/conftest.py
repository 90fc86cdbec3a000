"""One Spark session for all tests, as the jobs build it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from py4j.java_gateway import JavaClass, JavaMember, JVMView
from pyspark.sql import SparkSession

from conf.settings import Settings, load_settings
from jobs.jars import POSTGRESQL
from jobs.session import build_session
from tests import moto
from tests.moto import Moto
from tests.s3 import Bucket, S3Server, running, to_be
from tests.servers import QUICK_ENVIRONMENT, QUICK_JAVA

FEW = ("spark.shuffle_partitions=2", "features.windows=30", "spark.ui=false")
"""Settings of all tests: one window of features is as good as four, with a fourth of the columns."""
COMPILED = bool(os.environ.get("COMPILED"))
_PLAIN = ("codegen.wholeStage=false", "codegen.factoryMode=NO_CODEGEN", "adaptive.enabled=false")
QUICK = () if COMPILED else tuple(f"spark.conf.spark.sql.{setting}" for setting in _PLAIN)
"""Few rows are read before code for them is compiled, or a plan made anew: a third of the time of tests is spared.

`demo`, the notebook and a package are compiled and planned as jobs are, and everything is with
`COMPILED=1 ./run-tests.sh`.
"""
SCALE = int(os.environ.get("PEOPLE_SCALE", "1"))
"""How many times the usual random rows the tests of people's tables compare with plain Python: with 25 some 100,000."""


def keep_what_java_has() -> None:
    """py4j asks Java for a class and its functions once, and not for every column: a tenth of the time of tests."""

    def kept(of: type) -> None:
        ask = of.__getattr__  # type: ignore[attr-defined]

        def answer(self: Any, name: str) -> Any:
            found = ask(self, name)
            if isinstance(found, JavaClass | JavaMember):
                self.__dict__[name] = found  # where Python looks first
            return found

        of.__getattr__ = answer  # type: ignore[attr-defined]

    kept(JVMView)
    kept(JavaClass)


keep_what_java_has()


def settings_for(folder: Path, *overrides: str, source: Path | None = None) -> Settings:
    """Settings of a test: input and warehouse below `folder`, unless `source` is the input."""
    return load_settings(
        None,
        [*FEW, *QUICK, *overrides],
        {},
        input=str(source or folder / "input"),
        warehouse=str(folder / "warehouse"),
        master="local[2]",
    )


@pytest.fixture(scope="session")
def s3_to_be(tmp_path_factory: pytest.TempPathFactory) -> S3Server:
    """Where the S3 server of the tests will be; its address and credentials are where every program looks for them."""
    server = to_be(tmp_path_factory.mktemp("s3"))
    os.environ.pop("AWS_PROFILE", None)
    os.environ.update(server.environment())  # before Java starts, which never looks again
    return server


@pytest.fixture(scope="session")
def moto_to_be() -> Moto:
    """Where the SQS server of the tests will be; see `s3_to_be`."""
    server = moto.to_be()
    os.environ["AWS_ENDPOINT_URL_SQS"] = server.endpoint
    return server


@pytest.fixture(scope="session")
def spark(s3_to_be: S3Server, moto_to_be: Moto) -> Iterator[SparkSession]:
    """A session of two cores, two shuffle partitions, UTC, that can read PostgreSQL and S3 too."""
    java = () if COMPILED else (f"spark.conf.spark.driver.extraJavaOptions={QUICK_JAVA}",)
    settings = settings_for(Path("unused"), f"s3.endpoint={s3_to_be.endpoint}", "s3.lease_seconds=2", *java)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {} if COMPILED else QUICK_ENVIRONMENT.items():
            environment.setenv(name, value)
        session = build_session(settings, "tests", POSTGRESQL)
    yield session
    session.stop()


@contextmanager
def configured(spark: SparkSession, conf: Mapping[str, str]) -> Iterator[None]:
    """The session with further settings."""
    before = {key: spark.conf.get(key, None) for key in conf}
    try:
        for key, value in conf.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key, was in before.items():
            if was is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, was)


@pytest.fixture(scope="module")
def one_partition(spark: SparkSession) -> Iterator[None]:
    """For tests of what lies around a job, not of how it shuffles rows: a fifteenth of their time is spared."""
    with configured(spark, {"spark.sql.shuffle.partitions": "1"}):
        yield


@pytest.fixture(scope="session")
def s3(s3_to_be: S3Server) -> Iterator[S3Server]:
    """An S3 server for all tests, each of which makes buckets of its own."""
    with running(s3_to_be) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    """An empty bucket."""
    return Bucket(s3)
