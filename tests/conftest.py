"""One Spark session for all tests, as the jobs build it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.settings import Settings, load_settings
from jobs.jars import POSTGRESQL
from jobs.session import build_session
from tests.s3 import S3Server, running

FEW = ("spark.shuffle_partitions=2", "features.windows=30")
"""Settings of all tests: one window of features is as good as four, with a fourth of the columns."""
SCALE = int(os.environ.get("PEOPLE_SCALE", "1"))
"""How many times the usual random rows the tests of people's tables compare with plain Python: with 25 some 100,000."""


def settings_for(folder: Path, *overrides: str, source: Path | None = None) -> Settings:
    """Settings of a test: input and warehouse below `folder`, unless `source` is the input."""
    return load_settings(
        None,
        [*FEW, *overrides],
        {},
        input=str(source or folder / "input"),
        warehouse=str(folder / "warehouse"),
        master="local[2]",
    )


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session of two cores, two shuffle partitions, UTC, that can read PostgreSQL too."""
    session = build_session(settings_for(Path("unused")), "tests", POSTGRESQL)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server for all tests, each of which makes buckets of its own."""
    with running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with its address and credentials where boto3, Java and child processes look for them."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return s3
