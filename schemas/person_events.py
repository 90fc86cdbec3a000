"""`person_events`: what happened to each person and what each did, whoever told it, under one key."""

from enum import StrEnum

from pyspark.sql.types import DateType, LongType, StringType, StructType, TimestampType

from schemas.contract import Role, TableContract, column

_TEXT = StringType()


class PersonEventClass(StrEnum):
    """Classes beside those of stages."""

    PURCHASE = "purchase"
    """A purchase of `purchases`."""
    CART = "cart"
    """Things put into a cart that were not bought by then, of `purchases`."""


ENGAGEMENTS = ("open", "click", PersonEventClass.PURCHASE.value)
"""The classes that say that a person was there: sessions are made of them."""

PERSON_EVENTS = TableContract(
    name="person_events",
    grain="one event about one person: an event about several people has a row for each",
    key=("event_id", "person_key"),
    written_by=("build_summaries",),
    partitioned_by=("event_date",),
    statistics=("event_time",),
    schema=StructType(
        [
            column(
                "person_key",
                _TEXT,
                nullable=False,
                role=Role.IDENTITY,
                comment="The person: the address, as the settings people.* fold it, else `profile:<client>/<profile "
                "id>`. Events that name nobody (opens of an SES message with several recipients) have no row.",
            ),
            column("event_time", TimestampType(), nullable=False, role=Role.SETTLED, comment="When it happened, UTC."),
            column(
                "event_class",
                _TEXT,
                nullable=False,
                role=Role.SETTLED,
                comment="As in events, but `unsubscribe` also for SES subscriptions that leave a topic or all; "
                "`purchase` and `cart` of purchases. Classes of events that messages do not count have no row.",
            ),
            column(
                "event_id",
                _TEXT,
                nullable=False,
                role=Role.IDENTITY,
                comment="events.event_id, or purchases.purchase_id.",
            ),
            column("provider", _TEXT, role=Role.SETTLED, comment="ses or sailthru; NULL of what no provider reported."),
            column(
                "account",
                _TEXT,
                nullable=False,
                role=Role.SETTLED,
                comment="Sailthru: the client id, part of the message's key; else empty.",
            ),
            column("message_id", _TEXT, role=Role.SETTLED, comment="As in events; NULL of a purchase that names none."),
            column("campaign", _TEXT, comment="As in events; NULL if the event has none."),
            column("link", _TEXT, role=Role.SETTLED, comment="Of a click, where to; NULL otherwise."),
            column("sender", _TEXT, comment="First address of events.from; NULL if not stated."),
            column(
                "user_agent",
                _TEXT,
                role=Role.SETTLED,
                comment="Of an open or click, as stated; NULL otherwise. Sailthru's events state none.",
            ),
            column("event_date", DateType(), nullable=False, role=Role.SETTLED, comment="UTC date of event_time."),
            column(
                "row_hash",
                LongType(),
                nullable=False,
                comment="Of the columns that are not the key: another one says that the row has changed.",
            ),
        ]
    ),
)
