"""The Delta tables of a warehouse: made from their contracts, appended to once per batch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, reduce
from operator import and_
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from conf.errors import PipelineError
from schemas.contract import TableContract, missing_columns
from transforms.states import is_newer


class ContractError(PipelineError):
    """Rows or a table do not fit the contract; only a change of code or table helps."""


def uri(warehouse: Path, contract: TableContract) -> str:
    """Where the table lies."""
    return f"{warehouse}/{contract.name}"


def create(spark: SparkSession, warehouse: Path, contract: TableContract) -> None:
    """Make the table if it is not there; one of another shape is refused."""
    path = uri(warehouse, contract)
    if DeltaTable.isDeltaTable(spark, path):
        found = spark.read.format("delta").load(path).columns
        if missing := missing_columns(contract, found):
            raise ContractError(
                f"The table {path} lacks {missing}: it was made by an older version. Load into another warehouse."
            )
        return
    builder = DeltaTable.createIfNotExists(spark).location(path).comment(contract.grain)
    builder = builder.addColumns(contract.stored_schema)
    if contract.partitioned_by:
        builder = builder.partitionedBy(*contract.partitioned_by)
    for key, value in contract.table_properties.items():
        builder = builder.property(key, value)
    builder.execute()


def read(spark: SparkSession, warehouse: Path, contract: TableContract) -> DataFrame:
    """The table as it is now."""
    return spark.read.format("delta").load(uri(warehouse, contract))


def shaped_as(rows: DataFrame, contract: TableContract) -> DataFrame:
    """`rows` with the contract's columns, in its order and types."""
    if missing := missing_columns(contract, rows.columns):
        raise ContractError(f"`{contract.name}` needs columns {missing}, but the rows to write lack them.")
    return rows.select(*_shape(contract.name, contract.stored_schema.json()))


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

    warehouse: Path
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
    spark: SparkSession, warehouse: Path, versions: DataFrame, contract: TableContract, days: Sequence[date]
) -> None:
    """Merge one version per key into a table of newest versions, in one commit.

    Of a table partitioned by day only the partitions of `days` are read, given as literals: they must hold every
    version's day. Merging the same versions again changes nothing.
    """
    same = [F.col(f"new.{name}") == F.col(f"known.{name}") for name in contract.key]
    near = [F.col(f"known.{name}").isin(list(days)) for name in contract.partitioned_by]
    (
        DeltaTable.forPath(spark, uri(warehouse, contract))
        .alias("known")
        .merge(shaped_as(versions, contract).alias("new"), reduce(and_, [*near, *same]))
        .whenMatchedUpdateAll(is_newer("new", "known"))
        .whenNotMatchedInsertAll()
        .execute()
    )
