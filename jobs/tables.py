"""The Delta tables of a warehouse: made from their contracts, appended to once per batch."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, reduce
from operator import and_, or_
from typing import Any
from urllib.parse import unquote

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from conf.errors import ConfigurationError, PipelineError
from jobs.locks import writing
from jobs.storage import Location, each, remove
from schemas.catalog import TABLES, with_metrics
from schemas.contract import STATISTICS, TableContract, missing_columns
from schemas.metrics import DEFAULT_PROFILE, Profile
from schemas.views import views
from transforms.increments import is_on
from transforms.states import is_newer

_MANY = 1_000_000
"""Rows above which they are not sent to every executor whole."""
_BEGIN = 9
"""Characters of an id that are alike within a range."""
_MANY_RANGES = 50
"""Ranges above which no row is compared with any."""


class ContractError(PipelineError):
    """Rows or a table do not fit the contract; only a change of code or table helps."""


def uri(warehouse: Location, contract: TableContract) -> str:
    """Where the table lies."""
    return f"{warehouse}/{contract.name}"


def is_there(warehouse: Location, contract: TableContract) -> bool:
    """Whether the table is there: a folder without a commit, as a job killed while it makes one leaves it, is none."""
    return any((warehouse / contract.name / "_delta_log").glob("[0-9]*.json"))


def create(spark: SparkSession, warehouse: Location, contract: TableContract) -> bool:
    """Make the table if it is not there: whether it was made; add columns it lacks; one of another shape is refused."""
    path = uri(warehouse, contract)
    if is_there(warehouse, contract):
        _migrate(spark, path, contract)
        return False
    # What was begun and never committed: Delta would take the folder for a table, and not make one.
    remove(warehouse / contract.name / "_delta_log")
    builder = DeltaTable.createIfNotExists(spark).location(path).comment(contract.grain)
    builder = builder.addColumns(contract.stored_schema)
    if contract.partitioned_by:
        builder = builder.partitionedBy(*contract.partitioned_by)
    for key, value in contract.table_properties.items():
        builder = builder.property(key, value)
    builder.execute()
    return True


def _migrate(spark: SparkSession, path: str, contract: TableContract) -> None:
    """Add the columns and properties that an older contract did not have; refuse any other difference."""
    stored = _stored(spark, path)
    if problem := _difference(contract, stored):
        raise ContractError(
            f"The table {path} {problem}: it was made by another version of this project. Load the files again into "
            "a new warehouse: ./spark-submit.sh stream_events --available-now --warehouse <new folder>"
        )
    table = quoted_table(path)
    if missing := [f for f in contract.stored_schema.fields if f.name not in stored.schema.names]:
        columns = ", ".join(
            f"`{f.name}` {f.dataType.simpleString()} comment {_quoted(f.metadata['comment'])}" for f in missing
        )
        spark.sql(f"alter table {table} add columns ({columns})")
    _set_properties(spark, path, {k: v for k, v in contract.table_properties.items() if stored.properties.get(k) != v})


def _set_properties(spark: SparkSession, path: str, properties: Mapping[str, str]) -> None:
    if properties:
        values = ", ".join(f"{_quoted(key)} = {_quoted(value)}" for key, value in properties.items())
        spark.sql(f"alter table {quoted_table(path)} set tblproperties ({values})")


@dataclass(frozen=True)
class _Stored:
    """What a table is by its newest commit."""

    schema: StructType
    partitioned_by: tuple[str, ...]
    properties: Mapping[str, str]


def _stored(spark: SparkSession, path: str) -> _Stored:
    said = json.loads(_snapshot(spark, path).metadata().json())["metaData"]  # the action, as the log has it
    schema = StructType.fromJson(json.loads(said["schemaString"]))
    return _Stored(schema, tuple(said["partitionColumns"]), said["configuration"])


def _difference(contract: TableContract, stored: _Stored) -> str:
    """What of a table's shape cannot be mended in place, in words; empty if nothing."""
    fields, found = contract.stored_schema.fields, stored.schema
    if other := [f.name for f in fields if f.name in found.names and found[f.name].dataType != f.dataType]:
        return f"has another type of {', '.join(other)}"
    if needed := [f.name for f in fields if f.name not in found.names and not f.nullable]:
        return f"lacks {', '.join(needed)}, which cannot be NULL"
    if stored.partitioned_by != contract.partitioned_by:
        return f"is partitioned by {', '.join(stored.partitioned_by) or 'nothing'}"
    return ""


def quoted_table(path: str) -> str:
    """The Delta table at a path, as SQL names it."""
    return "delta.`" + path.replace("`", "``") + "`"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def properties(spark: SparkSession, warehouse: Location, contract: TableContract) -> Mapping[str, str]:
    """The properties that the stored table has; none if it is not there."""
    return _stored(spark, uri(warehouse, contract)).properties if is_there(warehouse, contract) else {}


@dataclass(frozen=True)
class Commits:
    """What a table's log says of its writers."""

    version: int
    """The newest commit; 0 is the one that made the table."""
    batches: Mapping[str, int]
    """The newest batch of each `Writer.app_id`."""


def commits(spark: SparkSession, warehouse: Location, contract: TableContract) -> Commits | None:
    """The commits of the table; None if it is not there."""
    if not is_there(warehouse, contract):
        return None
    snapshot = _snapshot(spark, uri(warehouse, contract))
    written = snapshot.setTransactions()
    batches = {written.apply(i).appId(): int(written.apply(i).version()) for i in range(written.size())}
    return Commits(int(snapshot.version()), batches)


def newest_version(spark: SparkSession, path: str) -> int:
    """The number of the newest commit of the Delta table at a path."""
    return int(_snapshot(spark, path).version())


def version(spark: SparkSession, warehouse: Location, contract: TableContract) -> int:
    """The number of the table's newest commit."""
    return newest_version(spark, uri(warehouse, contract))


def _snapshot(spark: SparkSession, path: str) -> Any:
    jvm: Any = spark._jvm
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
    return log.update(False, jvm.scala.Option.empty(), jvm.scala.Option.empty())


def size_in_bytes(spark: SparkSession, warehouse: Location, contract: TableContract, version: int) -> int:
    """About the length of a version's data files, by its checksum file (Delta's protocol, "Version Checksum File").

    That may lack; then Delta counts the newest version, which takes two Spark jobs. It may be wrong: Delta 4.4.0 leaves
    files out that a RESTORE brought back.
    """
    checksum = warehouse / contract.name / "_delta_log" / f"{version:020}.crc"
    if checksum.exists():
        return int(json.loads(checksum.read_text(encoding="utf-8"))["tableSizeBytes"])
    return int(_snapshot(spark, uri(warehouse, contract)).sizeInBytes())


def data_files(spark: SparkSession, warehouse: Location, contract: TableContract) -> DataFrame:
    """The data files of the newest version: their `day`, NULL if the table is not partitioned, and `size` in bytes."""
    files = DataFrame(_snapshot(spark, uri(warehouse, contract)).allFiles().toDF(), spark)
    days = [F.col("partitionValues")[name] for name in contract.partitioned_by] or [F.lit(None)]
    return files.select(days[0].cast("date").alias("day"), "size")


def read(spark: SparkSession, warehouse: Location, contract: TableContract, version: int | None = None) -> DataFrame:
    """The table as it is whenever the rows are read; with `version` as that commit left it."""
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", str(version))
    return reader.load(uri(warehouse, contract))


def shaped_as(rows: DataFrame, contract: TableContract) -> DataFrame:
    """`rows` with the contract's columns, in its order and types."""
    if missing := missing_columns(contract, rows.columns):
        raise ContractError(f"`{contract.name}` needs columns {missing}, but the rows to write lack them.")
    return rows.select(*_shape(contract.name, contract.stored_schema.json()))


def replace(spark: SparkSession, warehouse: Location, rows: DataFrame, contract: TableContract, note: str) -> None:
    """Make `rows` the whole table in one commit, which bears the note; until then readers see the one before.

    A table that is not there is made first, without rows.
    """
    path = uri(warehouse, contract)
    was_there = is_there(warehouse, contract)
    if not was_there:
        create(spark, warehouse, contract)
    shaped = in_parts(shaped_as(rows, contract), contract)
    if was_there and (has_other_shape := _has_other_shape(spark, path, contract)):
        comments = {f.name: f.metadata for f in contract.stored_schema.fields}
        shaped = shaped.select(*[F.col(f"`{n}`").alias(n, metadata=comments[n]) for n in shaped.columns])
        # Else Delta refuses statistics of a column that the table will not have, or be partitioned by.
        spark.sql(f"alter table {quoted_table(path)} unset tblproperties if exists ('{STATISTICS}')")
    writer = shaped.write.format("delta").mode("overwrite").option("userMetadata", note)
    if was_there and has_other_shape:
        writer = writer.option("overwriteSchema", "true").partitionBy(*contract.partitioned_by)
    with writing(warehouse, contract.name):  # whoever puts its files together removes those that this replaces
        before = newest_version(spark, path)
        writer.save(path)
        if newest_version(spark, path) == before:  # no rows in place of no rows are no commit, and bear no note
            _commit_note(spark, path, contract, note)
        if was_there and has_other_shape:
            _set_properties(spark, path, contract.table_properties)


def _commit_note(spark: SparkSession, path: str, contract: TableContract, note: str) -> None:
    """A commit that changes nothing and bears the note."""
    own = spark.newSession()  # other threads' commits say what they are about themselves
    own.conf.set("spark.databricks.delta.commitInfo.userMetadata", note)
    _set_properties(own, path, {STATISTICS: contract.table_properties[STATISTICS]})


def _has_other_shape(spark: SparkSession, path: str, contract: TableContract) -> bool:
    stored = _stored(spark, path)
    is_same = [(f.name, f.dataType) for f in stored.schema] == [(f.name, f.dataType) for f in contract.schema]
    return not is_same or stored.partitioned_by != contract.partitioned_by


def kept(rows: DataFrame) -> DataFrame:
    """Rows computed once, which a join sends to every executor unless they are many."""
    rows = rows.localCheckpoint(eager=False)  # counting them keeps them
    return F.broadcast(rows) if rows.count() <= _MANY else rows


def bounds(ids: DataFrame) -> Column:
    """A condition that is true of each row with a `message_id` of `ids`, and of few others where ids tell the time.

    Ranges, as literals that prune files: how an id of SES begins tells three days (formats/ses.md), one of Sailthru the
    blast. Where it tells nothing, and so are too many, the condition is true of all rows.
    """
    begin = F.substring("message_id", 1, _BEGIN)
    ranges = ids.groupBy(begin).agg(F.min("message_id").alias("least"), F.max("message_id").alias("most"))
    found = ranges.select("least", "most").limit(_MANY_RANGES + 1).collect()
    if len(found) > _MANY_RANGES:
        return F.lit(True)
    return reduce(or_, (F.col("message_id").between(*row) for row in found), F.lit(False))


def in_parts(rows: DataFrame, contract: TableContract) -> DataFrame:
    """The rows of a partition together, so that each becomes one file, or some if it is large."""
    return rows.hint("rebalance", *contract.partitioned_by) if contract.partitioned_by else rows


def replace_parts(
    spark: SparkSession,
    warehouse: Location,
    rows: DataFrame,
    contract: TableContract,
    days: Collection[date | None],
    note: str,
) -> None:
    """Make `rows` the whole of the partitions of `days`, in one commit, which bears the note; in none without days."""
    if not days:
        return
    writer = in_parts(shaped_as(rows, contract), contract).write.format("delta").mode("overwrite")
    writer = writer.option("userMetadata", note).option("replaceWhere", on_days(contract, days))
    with writing(warehouse, contract.name):
        writer.save(uri(warehouse, contract))


def on_days(contract: TableContract, days: Collection[date | None]) -> str:
    """The condition, in SQL, that a row is of one of the partitions; there must be one."""
    (name,) = contract.partitioned_by
    return " or ".join(f"{name} = date'{day}'" if day else f"{name} is null" for day in days)


@dataclass(frozen=True)
class Difference:
    """What of a table that is partitioned by day one version has and an earlier one has not, or the other way round.

    Days whose rows were only put into other files, as a compaction does, are left out.
    """

    days: frozenset[date | None]
    """The days of which rows were added, changed or removed."""
    added: frozenset[str]
    """Names of files."""
    removed: frozenset[str]
    added_bytes: int = field(default=0, compare=False)
    """The length of the files that were added."""


def difference(warehouse: Location, contract: TableContract, before: int, now: int) -> Difference | None:
    """Between two versions; None if the earlier one cannot be read any more: its log or one of its files is gone.

    The commits in between say it, in the form of Delta's protocol ("Add File and Remove File"): no table is opened.
    """
    if before > now or not _can_be_made_again(warehouse, contract, before):
        return None
    added: dict[str, int] = {}
    removed: set[str] = set()
    changed: set[str] = set()
    for version in range(before + 1, now + 1):
        commit = _commit(warehouse, contract, version)
        if not commit.exists():
            return None
        gone, new, parts = _files_of(commit)
        changed |= parts
        removed |= gone - added.keys()
        stay = {file: size for file, size in added.items() if file not in gone}
        added = {**stay, **{file: size for file, size in new.items() if file not in removed}}
        removed -= new.keys()
    folder = warehouse / contract.name
    if not all(each(lambda file: (folder / unquote(file)).is_file(), removed)):
        return None
    added = {file: size for file, size in added.items() if _part_of(file) in changed}
    removed = {file for file in removed if _part_of(file) in changed}
    days = {_day_of(file) for file in added.keys() | removed} if contract.partitioned_by else set()
    arrived, left = (frozenset(file.rpartition("/")[2] for file in files) for files in (added, removed))
    return Difference(frozenset(days), arrived, left, sum(added.values()))


def _can_be_made_again(warehouse: Location, contract: TableContract, version: int) -> bool:
    """Whether the log still leads to a version: from a checkpoint, or from its beginning, by every commit since.

    Delta's clean-up takes old checkpoints, and may leave commits behind that were based on them.
    """
    names = {path.name for path in (warehouse / contract.name / "_delta_log").iterdir()}
    from_checkpoint = {name.partition(".")[0] for name in names if ".checkpoint" in name}
    while f"{version:020}" not in from_checkpoint:
        if f"{version:020}.json" not in names:
            return False
        if version == 0:
            return True
        version -= 1
    return True


def _commit(warehouse: Location, contract: TableContract, version: int) -> Location:
    return warehouse / contract.name / "_delta_log" / f"{version:020}.json"


def has_same_rows(warehouse: Location, contract: TableContract, before: int, now: int) -> bool:
    """Whether no commit after a version changed a row: False, too, if the log of one of them is gone."""
    if before > now:
        return False
    commits = (_commit(warehouse, contract, version) for version in range(before + 1, now + 1))
    return all(commit.exists() and not _files_of(commit)[2] for commit in commits)


def _files_of(commit: Location) -> tuple[set[str], dict[str, int], set[str]]:
    """The data files that a commit removed, those that it added and how long, and the partitions whose rows changed.

    All relative to the table, as URIs. Of the files of a compaction the log says that no row in them is another.
    """
    removed: set[str] = set()
    added: dict[str, int] = {}
    changed: set[str] = set()
    for line in commit.read_text(encoding="utf-8").splitlines():
        for action in ("remove", "add"):
            if line.startswith(f'{{"{action}"'):
                file = json.loads(line)[action]
                if action == "add":
                    added[file["path"]] = file["size"]
                else:
                    removed.add(file["path"])
                if file["dataChange"]:
                    changed.add(_part_of(file["path"]))
    return removed, added, changed


def rows_written(warehouse: Location, contract: TableContract, version: int) -> int | None:
    """How many rows a commit wrote in place of the whole table; None if it did anything else, or its log is gone."""
    if not (commit := _commit(warehouse, contract, version)).exists():
        return None
    said = _said_of(commit)
    how, rows = said.get("operationParameters", {}), said.get("operationMetrics", {}).get("numOutputRows")
    is_of_all = (said.get("operation"), how.get("mode"), how.get("predicate")) == ("WRITE", "Overwrite", None)
    return int(rows) if is_of_all and rows is not None else None


def _said_of(commit: Location) -> Mapping[str, Any]:
    """What a commit says of itself, in the form of Delta's protocol ("Commit Provenance Information")."""
    for line in commit.read_text(encoding="utf-8").splitlines():
        if line.startswith('{"commitInfo"'):  # other actions are not parsed
            said: Mapping[str, Any] = json.loads(line)["commitInfo"]
            return said
    return {}


def _part_of(file: str) -> str:
    """The folder of a file's partition."""
    return file.rpartition("/")[0]


def _day_of(file: str) -> date | None:
    """The day in the name of a partition's folder, as Hive and Delta name them."""
    day = file.rsplit("/", 2)[-2].partition("=")[2]
    return None if day.startswith("__HIVE") else date.fromisoformat(day)


def note_of(warehouse: Location, contract: TableContract) -> str | None:
    """What the newest commit that bears a note says; None if there is none, or it is so old that its log is gone."""
    commits: list[Location] = [*(warehouse / contract.name / "_delta_log").glob("[0-9]*.json")]
    for commit in sorted(commits, key=lambda path: path.name, reverse=True):
        if note := _said_of(commit).get("userMetadata"):
            return str(note)
    return None


def refuse_other_profile(spark: SparkSession, warehouse: Location, profile: Profile) -> None:
    """Raise ConfigurationError if a table that carries metrics is there and lacks some of the profile's."""
    for contract in with_metrics(profile):
        if is_there(warehouse, contract) and missing_columns(contract, read(spark, warehouse, contract).columns):
            raise ConfigurationError(
                f"Table `{contract.name}` in {warehouse} was made with other metrics than metrics.profile says: run "
                "build_summaries with the profile to be used, or name the one it was made with."
            )


def register(spark: SparkSession, warehouse: Location, profile: Profile = DEFAULT_PROFILE) -> None:
    """Give the session every table that is there, and the views over them, under their own names.

    Raises ConfigurationError if the summaries were made with another profile.
    """
    refuse_other_profile(spark, warehouse, profile)
    present = {t.name for t in TABLES if is_there(warehouse, t)}
    for contract in TABLES:
        if contract.name in present:
            read(spark, warehouse, contract).createOrReplaceTempView(contract.name)
    for view in views(profile):
        if present.issuperset(view.of):
            spark.sql(view.sql).createOrReplaceTempView(view.name)


@cache
def _shape(_: str, schema: str) -> list[Column]:
    fields = StructType.fromJson(json.loads(schema)).fields
    return [F.col(f"`{f.name}`").cast(f.dataType).alias(f.name) for f in fields]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Appends a batch's rows to tables, each at most once however often the batch runs.

    `app_id` is the checkpoint's own id: Delta skips a version it has seen of that id, and a checkpoint made anew
    has another. Should the driver of a killed job still finish a commit while its successor runs the batch again,
    Delta lets one of the two win, for both write the same version of the same id.
    """

    warehouse: Location
    app_id: str
    batch: int

    def append(self, rows: DataFrame, contract: TableContract) -> None:
        """One commit, or none if this batch's was made before."""
        (
            shaped_as(rows, contract)
            .write.format("delta")
            .mode("append")
            .option("txnAppId", self.app_id)
            .option("txnVersion", str(self.batch))
            .save(uri(self.warehouse, contract))
        )


def upsert(
    spark: SparkSession, warehouse: Location, versions: DataFrame, contract: TableContract, days: Sequence[date | None]
) -> None:
    """Merge one version per key into a table of newest versions, in one commit.

    Of a table partitioned by day only the partitions of `days` are read, given as literals: they must hold every
    version's day, None that of versions without. Merging the same versions again changes nothing. Other writers of the
    table wait until the commit.
    """
    near = [is_on(f"known.{name}", days) for name in contract.partitioned_by]
    with writing(warehouse, contract.name):
        (
            DeltaTable.forPath(spark, uri(warehouse, contract))
            .alias("known")
            .merge(shaped_as(versions, contract).alias("new"), reduce(and_, [*near, same_key(contract)]))
            .whenMatchedUpdateAll(is_newer("new", "known"))
            .whenNotMatchedInsertAll()
            .execute()
        )


def same_key(contract: TableContract) -> Column:
    """Whether rows of the aliases `new` and `known` are the same row of the table; NULL is as NULL."""
    return reduce(and_, [F.col(f"new.{name}").eqNullSafe(F.col(f"known.{name}")) for name in contract.key])
