"""`journeys`: what each recipient of each message went through."""

from pyspark.sql.types import ArrayType, DoubleType, StringType, StructField, StructType, TimestampType

from schemas.contract import Role, TableContract, column, flag
from schemas.mailbox_providers import MAILBOX_PROVIDERS
from schemas.messages import MESSAGE_KEY, about_message
from schemas.stages import count_columns, first_columns, last_columns, message_key

STATES = (
    "complained",
    "unsubscribed",
    "clicked",
    "opened",
    "delivered",
    "bounced",
    "suppressed",
    "rejected",
    "failed",
    "delayed",
    "sent",
    "unknown",
)
"""How far a journey came, the furthest first; `bounced` also after a delivery."""


def _seconds(name: str, comment: str) -> StructField:
    return column(
        name,
        DoubleType(),
        role=Role.SETTLED,
        comment=f"Seconds from the send to {comment}, less than 0 where clocks differ; NULL if none.",
    )


JOURNEYS = TableContract(
    name="journeys",
    grain="one recipient of one message, and one row more for events that name nobody",
    key=(*MESSAGE_KEY, "recipient"),
    written_by=("build_summaries",),
    partitioned_by=("send_date",),
    statistics=("message_id",),
    schema=StructType(
        [
            *message_key(),
            column(
                "recipient",
                StringType(),
                role=Role.IDENTITY,
                comment="SES: the address, domain in lower case; Sailthru: the profile id. NULL: what is said of the "
                "message without saying of whom, such as an open of a message with several recipients.",
            ),
            column(
                "mailbox_provider",
                StringType(),
                role=Role.IDENTITY,
                comment="Who keeps the recipient's mailbox: "
                + ", ".join(MAILBOX_PROVIDERS)
                + ", or else the domain in "
                "lower case; NULL without an address: no recipient, or Sailthru's, which are profile ids.",
            ),
            *about_message(),
            *count_columns(
                "Events about this recipient, or in the row without one about nobody in particular, of class"
            ),
            *first_columns(),
            *last_columns(),
            column(
                "last_bounce_at",
                TimestampType(),
                role=Role.SETTLED,
                comment="Last bounce that is no suppression, UTC; NULL if none.",
            ),
            flag("is_sent", "Whether there is a send, or an event that only a sent message has."),
            flag("is_suppressed", "Whether the address was on a suppression list, so that nobody tried."),
            flag("is_delivered", "Delivered and no bounce at or after the last delivery (Sailthru: no bounce)."),
            flag("is_bounced", "Whether a bounce names the recipient that is no suppression."),
            flag(
                "is_hard_bounced",
                "Bounced for good: a bounce that is no suppression and whose SMTP status begins with 5, or that states "
                "none and is labelled permanent; Sailthru: the newest delivery_status says hard.",
            ),
            flag(
                "is_soft_bounced",
                "Bounced for the time being, and never for good: a bounce that is no suppression and whose SMTP status "
                "begins with 4, or that states none and is labelled transient; Sailthru: the newest delivery_status "
                "says soft. A bounce of which nothing says the kind is neither.",
            ),
            flag("is_opened", "Whether an open or click names the recipient."),
            flag("is_clicked", "Whether a click names the recipient."),
            flag(
                "is_complained", "Whether a complaint names the recipient that is neither not-spam nor a suppression."
            ),
            flag("is_unsubscribed", "Whether the recipient opted out."),
            flag("message_opened", "Whether an open or click of the message names nobody: it may be this recipient's."),
            flag("message_clicked", "Whether a click of the message names nobody: it may be this recipient's."),
            flag(
                "message_unsubscribed",
                "Whether an opt-out after the message names nobody: it may be this recipient's.",
            ),
            _seconds("seconds_to_deliver", "the first delivery"),
            _seconds("seconds_to_open", "the first open"),
            _seconds("seconds_to_click", "the first click"),
            column(
                "last_state",
                StringType(),
                nullable=False,
                role=Role.SETTLED,
                comment="How far it came: the first that is true of " + ", ".join(STATES) + ".",
            ),
            column(
                "path",
                StringType(),
                nullable=False,
                role=Role.SETTLED,
                comment="Classes of events in order of time, repeats in a row once: send > delivery > open > click.",
            ),
            column(
                "steps",
                ArrayType(
                    StructType([StructField("event_class", StringType()), StructField("event_time", TimestampType())])
                ),
                nullable=False,
                role=Role.SETTLED,
                comment="All events in order of time (equal times in the usual order of classes), UTC.",
            ),
        ]
    ),
)
