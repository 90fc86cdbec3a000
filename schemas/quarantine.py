"""`quarantine`: every record that could not become an event, whole, with the reason."""

from enum import StrEnum

from pyspark.sql.types import BinaryType, LongType, StringType, StructType, TimestampType

from schemas.contract import Role, TableContract, column
from schemas.files import FILENAME, version_of_file


class Reason(StrEnum):
    """Why a record is no event; the values are a promise to whoever queries the table."""

    NOT_JSON = "not_json"
    """Not one complete JSON value in UTF-8, by the letter of RFC 8259."""
    NOT_AN_OBJECT = "not_an_object"
    """JSON, but an array, a string, a number, true, false or null."""
    UNKNOWN_SHAPE = "unknown_shape"
    """An object that is neither an event nor a known wrapper of one."""
    NO_MESSAGE_ID = "no_message_id"
    """An event that does not say of which message."""
    BAD_TIME = "bad_time"
    """A time is stated but cannot be read as an instant, or none is stated at all."""
    TIME_OUT_OF_RANGE = "time_out_of_range"
    """An instant before the earliest or after the latest that the settings accept."""
    TOO_LARGE = "too_large"
    """Longer than `max_record_bytes`; only the first part is kept, with full length and SHA-256."""
    CUT_OFF = "cut_off"
    """What was left at the end of a compressed file that breaks while it is read."""


class ReplayOutcome(StrEnum):
    """What came of a record that replay read again; of one still quarantined see STILL."""

    EVENT = "event"
    """Replay brought it: its events that were not known are rows of `events`."""
    DUPLICATE = "duplicate"
    """Every event of it was known already."""
    VERSION = "version"
    """A campaign or profile: it has no events, its state table knows it."""
    CONTROL = "control"
    """A control message, which is not kept."""
    PARTLY = "partly"
    """Several records today, of which some can be read and are events, versions or control messages."""
    NOT_WHOLE = "not_whole"
    """Only its first part was kept: it cannot be read again."""


STILL = "still_"
"""Begins the outcome of a record of which nothing came: the rest is the reason that it would get today."""

SETTLED_OUTCOMES = (ReplayOutcome.EVENT, ReplayOutcome.DUPLICATE, ReplayOutcome.VERSION, ReplayOutcome.CONTROL)
"""A record with one of these is not tried again; any other is, by the next replay."""

QUARANTINE = TableContract(
    name="quarantine",
    grain="one record of one object version that could not become an event",
    key=("filename", "file_modified_at", "file_length_bytes", "position"),
    written_by=("stream_events", "replay_quarantine"),
    statistics=("etl_time",),
    schema=StructType(
        [
            column(
                "record",
                BinaryType(),
                nullable=False,
                role=Role.SETTLED,
                comment="The record, no byte changed; of one that is too_large or cut_off by far, the first part.",
            ),
            column("record_length", LongType(), nullable=False, role=Role.SETTLED, comment="Full length, bytes."),
            column(
                "record_sha256",
                StringType(),
                nullable=False,
                role=Role.SETTLED,
                comment="SHA-256 of all of it, hex.",
            ),
            FILENAME,
            *version_of_file("file_"),
            column(
                "position",
                LongType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="Tells the records of a file apart, in their order: counted from 0, blank lines not; in files "
                "of Sailthru a record counts as often as it has events.",
            ),
            column(
                "provider",
                StringType(),
                nullable=False,
                role=Role.SETTLED,
                comment="Whose file: ses or sailthru.",
            ),
            column(
                "reason",
                StringType(),
                nullable=False,
                role=Role.SETTLED,
                comment="One of: " + ", ".join(Reason) + ".",
            ),
            column(
                "detail",
                StringType(),
                role=Role.SETTLED,
                comment="What was found, in words; NULL if reason says it.",
            ),
            column("batch_id", StringType(), nullable=False, comment="The batch that brought the row."),
            column("etl_time", TimestampType(), nullable=False, comment="When this row was loaded, UTC."),
            column("replayed_at", TimestampType(), comment="When replay last tried it, UTC; NULL if never."),
            column(
                "replay_outcome",
                StringType(),
                comment="What came of the last replay, one of: "
                + ", ".join((*ReplayOutcome, *(STILL + reason for reason in Reason)))
                + " (the reason it would get today); NULL if never replayed.",
            ),
        ]
    ),
)
