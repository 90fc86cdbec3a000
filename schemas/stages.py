"""The stages of a message's life that are counted: one count and one first time each, in several tables."""

from dataclasses import dataclass

from pyspark.sql.types import StringType, StructField, TimestampType

from schemas.contract import Role, column, count


@dataclass(frozen=True)
class Stage:
    """A class of event, and the column that counts it."""

    event_class: str
    count: str
    words: str

    @property
    def first_at(self) -> str:
        """The column of the first time."""
        return f"first_{self.event_class}_at"


STAGES = (
    Stage("reject", "rejected", "SES refused it (a virus)"),
    Stage("send", "sent", "accepted for sending"),
    Stage("delivery", "delivered", "handed to the receiver's server (Sailthru states none)"),
    Stage("bounce", "bounced", "refused, suppressed addresses included"),
    Stage("open", "opened", "opened, repeats and machines included"),
    Stage("click", "clicked", "clicked, repeats and machines included"),
    Stage("complaint", "complained", "reported, the types not-spam and suppressed included"),
    Stage("delivery_delay", "delayed", "held up for a while"),
    Stage(
        "unsubscribe", "unsubscribed", "opted out: Sailthru's opt-outs, and SES subscriptions that leave a topic or all"
    ),
    Stage("rendering_failure", "failed", "not sent, for its template could not be filled"),
)
DATED = ("send", "open", "click")
"""The classes of events of which the first and the last time are kept of each recipient."""
LAST = (*DATED, "delivery")
"""Those of which the last time is kept of each journey."""


def count_columns(what: str) -> list[StructField]:
    """A count per stage; `what` says of whose events."""
    return [count(s.count, f"{what} {s.event_class}: {s.words}.") for s in STAGES]


def first_columns() -> list[StructField]:
    """The first time per stage."""
    return [_time("first", s.event_class) for s in STAGES]


def last_columns() -> list[StructField]:
    """The last time per class of LAST."""
    return [_time("last", event_class) for event_class in LAST]


def _time(which: str, event_class: str) -> StructField:
    comment = f"{which.capitalize()} {event_class}, UTC; NULL if none."
    return column(f"{which}_{event_class}_at", TimestampType(), role=Role.SETTLED, comment=comment)


def account_columns() -> list[StructField]:
    """Provider and account, with which the key of every table about messages begins."""
    text = StringType()
    return [
        column("provider", text, nullable=False, role=Role.IDENTITY, comment="Who reported it: ses or sailthru."),
        column(
            "account",
            text,
            nullable=False,
            role=Role.IDENTITY,
            comment="Sailthru: the client id, part of the key. SES: empty, for its message ids are unique alone.",
        ),
    ]


def message_key() -> list[StructField]:
    """The key of a message in every per-message table."""
    message_id = column("message_id", StringType(), nullable=False, role=Role.IDENTITY, comment="As in events.")
    return [*account_columns(), message_id]
