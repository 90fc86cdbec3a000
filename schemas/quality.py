"""`quality`: every promise about the tables that can be checked, and which rows break it."""

from enum import StrEnum

from pyspark.sql.types import ArrayType, BooleanType, LongType, StringType, StructField, StructType

from schemas.contract import Role, TableContract, column

MOST_SAMPLES = 5
"""Of a check that fails, so many keys are kept."""


class CheckKind(StrEnum):
    """What a check looks at."""

    NOT_NULL = "not_null"
    """A column that the contract lets not be NULL."""
    UNIQUE = "unique"
    """The contract's key: one row each, NULLs taken as equal."""
    ACCEPTED_VALUES = "accepted_values"
    """A column with a list of values; NULL passes."""
    RANGE = "range"
    """A column whose values have bounds; NULL passes."""
    RELATIONSHIP = "relationship"
    """Columns that name a row of another table; rows that name none, for one of them is NULL, are not counted."""
    LEDGER_BALANCE = "ledger_balance"
    """The counts of a file add up, and are the rows that the tables hold of it."""


class Severity(StrEnum):
    """What a failing check means."""

    ERROR = "error"
    """The tables are wrong: `check_quality` exits 1."""
    WARNING = "warning"
    """It may be in order: worth a look."""


def _text(name: str, comment: str, role: Role = Role.SETTLED) -> StructField:
    return column(name, StringType(), nullable=False, role=role, comment=comment)


QUALITY = TableContract(
    name="quality",
    grain="one check of one table",
    key=("table_name", "check_kind", "column_names"),
    written_by=("build_summaries", "check_quality"),
    statistics=("table_name",),
    schema=StructType(
        [
            _text("table_name", "The table checked.", Role.IDENTITY),
            _text("check_kind", "One of: " + ", ".join(CheckKind) + ".", Role.IDENTITY),
            _text("column_names", "The columns it is about, with commas between.", Role.IDENTITY),
            _text("severity", "error: a failing row is a fault; warning: it may be in order."),
            _text("rule", "What holds of a row that passes: SQL over its columns, or words."),
            column(
                "rows_checked",
                LongType(),
                nullable=False,
                comment="Rows the check is about; of a ledger_balance with another table: files.",
            ),
            column(
                "rows_failing",
                LongType(),
                nullable=False,
                comment="Those of them that break the rule; of unique all rows whose key another row has too.",
            ),
            column(
                "sample_keys",
                ArrayType(StringType()),
                nullable=False,
                comment=f"The key of failing rows as JSON, the {MOST_SAMPLES} least as text; of a relationship what is "
                "named in vain, of a ledger_balance with another table the file with both counts. Empty if none fails.",
            ),
            column("passed", BooleanType(), nullable=False, comment="Whether no row fails."),
        ]
    ),
)
