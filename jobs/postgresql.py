"""PostgreSQL: how it is reached, without a password in any setting, plan or message."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.sql import DataFrame, SparkSession

from conf.errors import ConfigurationError, PipelineError

DRIVER = "org.postgresql.Driver"
_ROWS_AT_A_TIME = 10_000
"""Without a number the driver keeps all rows of an answer in memory."""
_WRITERS = 8
"""Most connections that write at once: a server takes 100 in all, unless told otherwise."""
_NO_ACCESS = ("28", "08004")
_ONLY_A_PERSON_CAN_HELP = (*_NO_ACCESS, "3D", "3F", "42")
"""How SQLSTATE begins: no access, no such database, no such schema, no such table or column or a wrong query."""


class DatabaseError(PipelineError):
    """The database was out of reach or could not do what was asked; a retry helps once it can."""


def options(url: str) -> dict[str, str]:
    """What Spark and the driver connect with: user and password are those of PGUSER and PGPASSWORD.

    Without PGPASSWORD the driver itself looks into the file that PGPASSFILE names, else into `~/.pgpass`.
    """
    credentials = {"user": os.environ.get("PGUSER"), "password": os.environ.get("PGPASSWORD")}
    return {"url": url, "driver": DRIVER, **{name: value for name, value in credentials.items() if value}}


def read(spark: SparkSession, url: str, *, table: str | None = None, query: str | None = None) -> DataFrame:
    """A table, or the answer to a query. Conditions on columns are put to the database; one connection reads.

    A time without a zone is one of the JVM's zone, UTC. (As `timestamp_ntz`, an infinite one would end the job.)
    """
    reader = spark.read.format("jdbc").options(**options(url)).option("fetchsize", _ROWS_AT_A_TIME)
    return (reader.option("query", query.strip().rstrip(";")) if query else reader.option("dbtable", table)).load()


def append(rows: DataFrame, url: str, table: str) -> None:
    """Add rows to a table that is there; texts become what its columns are, such as `jsonb`."""
    writer = rows.write.format("jdbc").mode("append").options(**options(url), dbtable=table)
    with told(url):
        writer.options(numPartitions=_WRITERS, stringtype="unspecified", reWriteBatchedInserts="true").save()


@contextmanager
def transaction(spark: SparkSession, url: str) -> Iterator[Callable[[str], Any]]:
    """Run statements, all or none of which take effect.

    Gives a function that runs one, and returns the first value of its first row, if it has any.
    """
    jvm: Any = spark._jvm
    properties = jvm.java.util.Properties()
    for name, value in options(url).items():
        if name in ("user", "password"):
            properties.setProperty(name, value)
    with told(url):
        connection = jvm.org.postgresql.Driver().connect(url, properties)
        try:
            connection.setAutoCommit(False)
            statement = connection.createStatement()

            def run(sql: str) -> Any:
                rows = statement.getResultSet() if statement.execute(sql) else None
                return rows.getObject(1) if rows is not None and rows.next() else None

            yield run
            connection.commit()
        finally:
            connection.close()  # without a commit nothing has happened


@contextmanager
def told(url: str) -> Iterator[None]:
    """Say what the database objects to in one line, which holds no password."""
    try:
        yield
    except (Py4JJavaError, CapturedException) as problem:
        refusal: Any = problem._origin if isinstance(problem, CapturedException) else problem.java_exception
        while refusal is not None and not refusal.getClass().getName().startswith("org.postgresql.util.PSQL"):
            refusal = refusal.getCause()
        if refusal is None:
            raise
        place, state = url.partition("?")[0], str(refusal.getSQLState())
        line = f"PostgreSQL at {place}: {' '.join(str(refusal.getMessage()).split())}"
        if state.startswith(_NO_ACCESS):
            line += " (user and password are those of PGUSER and PGPASSWORD, or of the file that PGPASSFILE names)"
        if state.startswith(_ONLY_A_PERSON_CAN_HELP):
            raise ConfigurationError(line) from None
        raise DatabaseError(line) from None
