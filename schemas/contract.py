"""What a table promises: its columns, key, layout and which columns may differ between copies of a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from pyspark.sql.types import BooleanType, DataType, LongType, StructField, StructType

STATISTICS = "delta.dataSkippingStatsColumns"


class Role(StrEnum):
    """How far a column's value depends on which copy of an event was kept."""

    IDENTITY = "identity"
    """Part of what makes the row this row: equal in every copy."""
    SETTLED = "settled"
    """The same whatever the order of arrival."""
    PROVENANCE = "provenance"
    """Says where the kept copy came from, or what only that copy stated."""


def column(
    name: str, data_type: DataType, *, role: Role = Role.PROVENANCE, nullable: bool = True, comment: str
) -> StructField:
    """A column of a contract; the comment reaches the Delta table itself."""
    return StructField(name, data_type, nullable, {"comment": comment, "role": role.value})


def count(name: str, comment: str) -> StructField:
    """A column that counts, 0 if there is nothing, the same whatever the order of arrival."""
    return column(name, LongType(), nullable=False, role=Role.SETTLED, comment=comment)


def flag(name: str, comment: str) -> StructField:
    """A column that is true or false, never NULL, the same whatever the order of arrival."""
    return column(name, BooleanType(), nullable=False, role=Role.SETTLED, comment=comment)


@dataclass(frozen=True, kw_only=True)
class TableContract:
    """One Delta table: readers, writers, tests and docs all take its shape from here."""

    name: str
    grain: str
    key: tuple[str, ...]
    written_by: tuple[str, ...]
    """The jobs that write it; none for a table that is only read."""
    schema: StructType
    partitioned_by: tuple[str, ...] = ()
    statistics: tuple[str, ...]
    """The columns whose minimum and maximum are kept per data file: those that queries prune by."""
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def columns(self) -> list[str]:
        """Column names in table order."""
        return list(self.schema.names)

    def columns_of(self, *roles: Role) -> list[str]:
        """The names of the columns that have one of `roles`, in table order."""
        return [f.name for f in self.schema.fields if f.metadata["role"] in roles]

    @cached_property
    def stored_schema(self) -> StructType:
        """The schema as Delta stores it: comments kept, our roles left out."""
        return StructType(
            [
                StructField(f.name, f.dataType, f.nullable, {"comment": f.metadata["comment"]})
                for f in self.schema.fields
            ]
        )

    @cached_property
    def table_properties(self) -> Mapping[str, str]:
        """Delta properties: readable by other engines, statistics only where they prune."""
        return {
            "delta.enableDeletionVectors": "false",
            "delta.columnMapping.mode": "none",
            STATISTICS: ",".join(self.statistics),
            **self.properties,
        }


def missing_columns(contract: TableContract, found: Sequence[str]) -> list[str]:
    """The columns of the contract that `found` lacks, in table order."""
    return [name for name in contract.columns if name not in found]
