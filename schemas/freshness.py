"""`freshness`: how new each data set is, and the days it lacks."""

from pyspark.sql.types import ArrayType, DateType, LongType, StringType, StructField, StructType, TimestampType

from schemas.contract import Role, TableContract, column

LONGEST_GAP_DAYS = 366
"""How far back from the newest day missing days are listed: a lone old export must not list years."""


def _key(name: str, comment: str) -> StructField:
    return column(name, StringType(), nullable=False, role=Role.IDENTITY, comment=comment)


def _lag(name: str, since: str) -> StructField:
    return column(
        name,
        LongType(),
        comment=f"Whole seconds from {since} to as_of, less than 0 if it lies later; NULL if {since} is.",
    )


FRESHNESS = TableContract(
    name="freshness",
    grain="one data set of one client of one provider of which a file was taken; skipped files are of none",
    key=("provider", "client_id", "data_set"),
    written_by=("build_summaries",),
    statistics=("newest_load_at",),
    schema=StructType(
        [
            _key("provider", "ses or sailthru."),
            _key(
                "client_id",
                "Sailthru client: from the file's name, else the setting sailthru.client_id, else empty; SES: empty.",
            ),
            _key("data_set", "Sailthru data set told by the name; empty for SES, which has but one."),
            column(
                "as_of",
                TimestampType(),
                nullable=False,
                comment="When the summary was made, UTC: what lags count to.",
            ),
            column("files", LongType(), nullable=False, comment="Object versions taken, those not readable too."),
            column("files_not_readable", LongType(), nullable=False, comment="Those of them that could not be read."),
            column(
                "newest_event_at",
                TimestampType(),
                comment="Newest event_time of the events that its files brought first, UTC; NULL if none: campaigns "
                "and profiles have no events.",
            ),
            column(
                "newest_file_date",
                DateType(),
                comment="Newest date in the name of a file that was read (Sailthru's, in its own zone), none after the "
                "day that follows as_of; NULL if no name has a date, as with SES.",
            ),
            column("newest_modified_at", TimestampType(), comment="Newest modification time of a file, UTC."),
            column("newest_load_at", TimestampType(), comment="When a file of it was last loaded, UTC."),
            _lag("event_lag_seconds", "newest_event_at"),
            _lag("modified_lag_seconds", "newest_modified_at"),
            _lag("load_lag_seconds", "newest_load_at"),
            column(
                "missing_dates",
                ArrayType(DateType()),
                comment="Days of which no file of it could be read, from the first to the newest date in the file "
                f"names of any data set of its client, of the last {LONGEST_GAP_DAYS} days up to the newest; NULL if "
                "its names have no dates, as with SES.",
            ),
            column(
                "days_without_events",
                ArrayType(DateType()),
                comment="UTC days on which none of its events happened, from its first event to its newest or to "
                f"as_of, of the last {LONGEST_GAP_DAYS} days up to then. No error by itself: perhaps nobody sent. NULL "
                "if it has no events.",
            ),
        ]
    ),
)
