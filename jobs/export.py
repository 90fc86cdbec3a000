"""Summaries written elsewhere beside Delta: as a CSV or Parquet file each, or as tables of a PostgreSQL database."""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
)

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs import postgresql, tables
from jobs.jars import POSTGRESQL, Jars
from jobs.storage import Location, local_path
from schemas.catalog import TABLES
from schemas.metrics import Profile
from schemas.views import views
from transforms.export import for_postgresql, is_nested, nested_as_json

FORMS = "csv:FOLDER, parquet:FOLDER or postgresql"
_WRITER_OPTIONS = {
    "header": "true",
    "escape": '"',  # a quote in a value stands twice, as RFC 4180 has it
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "ignoreLeadingWhiteSpace": "false",
    "ignoreTrailingWhiteSpace": "false",
}


class Target(Protocol):
    """A place to write tables to; until one is complete, readers there see the one before."""

    @property
    def jars(self) -> tuple[Jars, ...]:
        """What the session needs for it."""

    def check(self, spark: SparkSession) -> None:
        """Refuse a place that cannot be written to."""

    def write(self, spark: SparkSession, name: str, comment: str, rows: DataFrame) -> None:
        """Make `rows` the whole table."""


def target_of(text: str, settings: Settings) -> Target:
    """The place that a value of `--export` names."""
    form, _, folder = text.partition(":")
    if form in ("csv", "parquet") and folder:
        return Files(form, local_path(folder))
    if text == "postgresql":
        if settings.export.jdbc_url is None:
            raise ConfigurationError(
                "--export postgresql: set export.jdbc_url to jdbc:postgresql://host:5432/database."
            )
        return Database(settings.export.jdbc_url, settings.export.jdbc_schema)
    raise ConfigurationError(f"--export: found {text!r}; wanted {FORMS}.")


def export(
    spark: SparkSession, warehouse: Location, made: Collection[str], target: Target, profile: Profile
) -> Sequence[str]:
    """Write the summaries `made`, and the views over them, to the target; their names."""
    tables.register(spark, warehouse, profile)
    summaries = [t for t in TABLES if "build_summaries" in t.written_by and tables.is_there(warehouse, t)]
    comments = {t.name: t.grain for t in summaries if t.name in made}
    there = {t.name for t in summaries}
    comments |= {
        v.name: v.comment for v in views(profile) if there.issuperset(v.of) and not comments.keys().isdisjoint(v.of)
    }
    for name, comment in comments.items():
        target.write(spark, name, comment, spark.table(name))
    return tuple(comments)


@dataclass(frozen=True)
class Files:
    """One file per table in a folder, `<name>.csv` or `<name>.parquet`, renamed into place once it is complete."""

    form: str
    folder: Path
    jars: tuple[Jars, ...] = ()

    def __str__(self) -> str:
        """As `--export` takes it."""
        return f"{self.form}:{self.folder}"

    def check(self, _: SparkSession) -> None:
        """Make the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise ConfigurationError(f"--export {self}: cannot be made: {problem.strerror}.") from None

    def write(self, _: SparkSession, name: str, comment: str, rows: DataFrame) -> None:
        """One task writes the file; CSV has nested values as JSON, NULL as nothing and the empty text as `""`."""
        partial = self.folder / f".{name}.{self.form}.partial"
        flat = nested_as_json(rows) if self.form == "csv" else rows
        writer = flat.coalesce(1).write.format(self.form).mode("overwrite")
        (writer.options(**_WRITER_OPTIONS) if self.form == "csv" else writer).save(str(partial))
        [part] = partial.glob("part-*")
        part.replace(self.folder / f"{name}.{self.form}")
        shutil.rmtree(partial)


@dataclass(frozen=True)
class Database:
    """Tables of a schema of PostgreSQL, filled in one transaction each; nested values are `jsonb`.

    The table stays, and with it its indexes, rights and views; only where its columns are no longer the same it is
    made anew.
    """

    url: str
    schema: str
    jars: tuple[Jars, ...] = (POSTGRESQL,)

    def __str__(self) -> str:
        """As a person finds it."""
        return f"{self.url.partition('?')[0]}, schema {self.schema}"

    def check(self, spark: SparkSession) -> None:
        """Look for the schema."""
        with postgresql.transaction(spark, self.url) as run:
            if run(f"select to_regnamespace({_literal(_quoted(self.schema))})") is None:
                raise ConfigurationError(
                    f"export.jdbc_schema: no schema `{self.schema}` in {self.url}; create it first."
                )

    def write(self, spark: SparkSession, name: str, comment: str, rows: DataFrame) -> None:
        """Fill a staging table by as many connections as there are partitions; its rows then replace the others."""
        table, staging = (f"{_quoted(self.schema)}.{_quoted(one)}" for one in (name, f"{name}_staging"))
        columns = ", ".join(f"{_quoted(f.name)} {_sql_type(f.dataType)}" for f in rows.schema.fields)
        with postgresql.transaction(spark, self.url) as run:
            run(f"drop table if exists {staging}")
            run(f"create table {staging} ({columns})")
        postgresql.append(for_postgresql(rows), self.url, staging)
        with postgresql.transaction(spark, self.url) as run:
            # A task whose commit was made and not reported runs again on a cluster.
            if (found := run(f"select count(*) from {staging}")) != (wanted := rows.count()):
                raise postgresql.DatabaseError(f"{self}: {found} rows of {name} for {wanted}; start the job again.")
            if run(f"select {_shape(table)} is distinct from {_shape(staging)}"):
                run(f"drop table if exists {table}")
                run(f"alter table {staging} rename to {_quoted(name)}")
            else:
                # Not `truncate`, nor a rename: a reader whose transaction is older would find the table empty.
                run(f"delete from {table}")
                run(f"insert into {table} select * from {staging}")
                run(f"drop table {staging}")
            run(f"comment on table {table} is {_literal(comment)}")
            for f in rows.schema.fields:
                run(f"comment on column {table}.{_quoted(f.name)} is {_literal(f.metadata.get('comment', ''))}")


_SQL_TYPES = {
    StringType: "text",
    LongType: "bigint",
    IntegerType: "integer",
    DoubleType: "double precision",
    BooleanType: "boolean",
    DateType: "date",
    TimestampType: "timestamptz",
}


def _sql_type(data_type: DataType) -> str:
    if isinstance(data_type, DecimalType):
        return f"numeric({data_type.precision}, {data_type.scale})"
    return "jsonb" if is_nested(data_type) else _SQL_TYPES[type(data_type)]


def _shape(table: str) -> str:
    """SQL that gives the columns of a table with their types, NULL if it is not there."""
    return (
        "(select array_agg(attname || ' ' || format_type(atttypid, atttypmod) order by attnum) from pg_attribute "
        f"where attrelid = to_regclass({_literal(table)}) and attnum > 0 and not attisdropped)"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
