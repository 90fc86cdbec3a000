"""One Spark session for all tests, as the jobs build it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.settings import Settings, load_settings
from jobs.session import POSTGRESQL, build_session


def settings_for(folder: Path, *overrides: str, source: Path | None = None) -> Settings:
    """Settings of a test: input and warehouse below `folder`, unless `source` is the input."""
    return load_settings(
        None,
        ["spark.shuffle_partitions=2", *overrides],
        {},
        input=str(source or folder / "input"),
        warehouse=str(folder / "warehouse"),
        master="local[2]",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests that run side by side, keep those of a file together, and those of all files that need `built`."""
    needs = {item.path for item in items if "built" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("built" if item.path in needs else item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session of two cores, two shuffle partitions, UTC, that can read PostgreSQL too."""
    session = build_session(settings_for(Path("unused")), "tests", POSTGRESQL)
    yield session
    session.stop()
