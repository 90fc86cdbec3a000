"""`messages`: what became of each message."""

from enum import StrEnum

from pyspark.sql.types import (
    DateType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from schemas.contract import Role, TableContract, column, count, flag
from schemas.stages import count_columns, first_columns, message_key

MESSAGE_KEY = ("provider", "account", "message_id")


class CampaignKind(StrEnum):
    """What a campaign is."""

    BLAST = "blast"
    """A campaign of Sailthru."""
    TEMPLATE = "template"
    """Triggered mail of Sailthru, by the name of its template."""
    CONFIGURATION_SET = "configuration_set"
    """Mail of SES, by its configuration set."""
    UNKNOWN = "unknown"
    """The provider's messages of which no event states a campaign."""


def about_message() -> list[StructField]:
    """What every row about a message says of the message itself."""
    return [
        column(
            "send_date",
            DateType(),
            nullable=False,
            role=Role.SETTLED,
            comment="UTC date of timestamp; of the first event where no event states it.",
        ),
        column(
            "email_kind",
            StringType(),
            nullable=False,
            comment="Kind of email: the tag that the setting email_kind_tag names, else the configuration set (SES), "
            "the blast's id or the template (Sailthru); unknown where no event states it.",
        ),
        column(
            "timestamp",
            TimestampType(),
            role=Role.SETTLED,
            comment="When the provider accepted the message, UTC; NULL if no event states it.",
        ),
        column("profile_id", StringType(), role=Role.SETTLED, comment="Sailthru profile; NULL for SES."),
        column(
            "campaign_kind",
            StringType(),
            nullable=False,
            comment="What its campaign is, one of: " + ", ".join(CampaignKind) + " (no event states one).",
        ),
        column(
            "campaign",
            StringType(),
            comment="Blast's id or template's name (Sailthru), configuration set (SES); NULL if not stated.",
        ),
    ]


MESSAGES = TableContract(
    name="messages",
    grain="one message of which there is an event",
    key=MESSAGE_KEY,
    written_by=("build_summaries",),
    partitioned_by=("send_date",),
    statistics=("message_id",),
    schema=StructType(
        [
            *message_key(),
            *about_message(),
            *count_columns("Events of class"),
            *first_columns(),
            count(
                "recipients_sent",
                "Recipients it was sent to: named by a send, or by an event that only a sent message has. A message "
                "whose events name nobody counts as one.",
            ),
            count(
                "recipients_suppressed",
                "Those of recipients_sent whose address was on a suppression list, so that nobody tried.",
            ),
            count(
                "recipients_delivered",
                "Those of recipients_sent with a delivery and no bounce at or after the last one (Sailthru: without a "
                "bounce).",
            ),
            count("recipients_bounced", "Those of recipients_sent with a bounce that is no suppression."),
            count("recipients_hard_bounced", "Those of recipients_bounced whose bounce is for good (journeys)."),
            count(
                "recipients_soft_bounced",
                "Those of recipients_bounced whose bounce is for the time being; the rest says nothing of its kind.",
            ),
            flag("is_delivered", "Whether recipients_delivered is not 0."),
            flag("is_opened", "Whether it was opened or clicked, by whomever."),
            flag("is_clicked", "Whether it was clicked, by whomever."),
            flag("is_complained", "Whether it was reported as spam: neither not-spam nor a suppression."),
            flag("is_unsubscribed", "Whether somebody opted out after it."),
        ]
    ),
)
