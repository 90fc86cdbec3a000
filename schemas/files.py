"""`files`: the ledger. Every object version the stream has taken, and what became of its records."""

from enum import StrEnum

from pyspark.sql.types import LongType, StringType, StructField, StructType, TimestampType

from schemas.contract import Role, TableContract, column, count


class FileStatus(StrEnum):
    """How the reading of an object version ended."""

    OK = "ok"
    """Read to its end."""
    CUT_OFF = "cut_off"
    """It breaks while read; what could be read was used."""
    NOT_READABLE = "not_readable"
    """A format that is not read, or gone or replaced before it was read; `reason` says which."""
    EMPTY = "empty"
    """No record in it, whatever its bytes."""
    SKIPPED = "skipped"
    """Not meant for the stream: hidden, or a name that is not known."""


FILENAME = column("filename", StringType(), nullable=False, role=Role.IDENTITY, comment="URI of the file, decoded.")


def version_of_file(prefix: str = "") -> tuple[StructField, StructField]:
    """The columns that tell one version of a file from another, their names with a prefix."""
    modified, length = f"{prefix}modified_at", f"{prefix}length_bytes"
    return (
        column(
            modified,
            TimestampType(),
            nullable=False,
            role=Role.IDENTITY,
            comment="Modification time of the object version, UTC.",
        ),
        column(
            length,
            LongType(),
            nullable=False,
            role=Role.IDENTITY,
            comment="Length of the object version as stored, bytes.",
        ),
    )


FILES = TableContract(
    name="files",
    grain="one object version: a URI with its modification time and length",
    key=("filename", "modified_at", "length_bytes"),
    written_by=("stream_events",),
    statistics=("etl_time",),
    schema=StructType(
        [
            FILENAME,
            column("provider", StringType(), nullable=False, role=Role.SETTLED, comment="ses or sailthru."),
            column(
                "data_set",
                StringType(),
                role=Role.SETTLED,
                comment="Sailthru data set told by the name; NULL for SES.",
            ),
            *version_of_file(),
            count("records", "Records in it = accepted + quarantined + control."),
            count("accepted", "Records that became events."),
            count("quarantined", "Records that could not, each a row of quarantine."),
            count("control", "Control messages: SNS confirmations and the like; counted, not kept."),
            count("events", "Events its accepted records hold = events_new + events_duplicate."),
            column(
                "events_new",
                LongType(),
                nullable=False,
                comment="Events that this file brought first: rows of events.",
            ),
            column("events_duplicate", LongType(), nullable=False, comment="Events that were known already."),
            column(
                "status",
                StringType(),
                nullable=False,
                role=Role.SETTLED,
                comment="One of: " + ", ".join(FileStatus) + ".",
            ),
            column("reason", StringType(), role=Role.SETTLED, comment="Why, if not ok, in words; NULL if ok."),
            column("batch_id", StringType(), nullable=False, comment="The batch that read it."),
            column("etl_time", TimestampType(), nullable=False, comment="When this row was loaded, UTC."),
        ]
    ),
)
