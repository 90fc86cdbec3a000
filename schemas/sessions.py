"""`sessions`: runs of opens, clicks and purchases of one person, without a pause between them."""

from pyspark.sql.types import DoubleType, StringType, StructField, StructType, TimestampType

from schemas.contract import Role, TableContract, column, count, flag


def _minutes(name: str, comment: str) -> StructField:
    return column(name, DoubleType(), role=Role.SETTLED, comment=f"Minutes from {comment}")


SESSIONS = TableContract(
    name="sessions",
    grain="one session of one person: opens, clicks and purchases, each less than the setting sessions.gap_minutes "
    "after the one before",
    key=("session_id",),
    written_by=("build_summaries",),
    statistics=("started_at",),
    schema=StructType(
        [
            column("person_key", StringType(), nullable=False, role=Role.IDENTITY, comment="As in person_events."),
            column(
                "session_id",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="Of the person and the start: a late event before the start makes another session of it.",
            ),
            column(
                "started_at",
                TimestampType(),
                nullable=False,
                role=Role.SETTLED,
                comment="Time of the first event, UTC.",
            ),
            column(
                "ended_at",
                TimestampType(),
                nullable=False,
                role=Role.SETTLED,
                comment="Time of the last event, UTC; the start of a session of one event, or of one instant.",
            ),
            count("events", "Events of the session."),
            flag("is_success", "Whether one of them is of a class that the setting sessions.success names."),
            _minutes(
                "open_to_click_minutes",
                "the first open to the first click; NULL if there is none of either, or the click came first.",
            ),
            _minutes(
                "click_to_purchase_minutes",
                "the first click to the first purchase; NULL if there is none of either, or the purchase came first.",
            ),
            count("purchases_so_far", "Purchases of the person up to the end of this session, earlier ones included."),
        ]
    ),
)
