"""`recipient_totals`: all that a recipient ever got and did."""

from pyspark.sql.types import StringType, StructField, StructType, TimestampType

from schemas.campaigns import revenue_of
from schemas.contract import Role, TableContract, column, count, flag
from schemas.stages import DATED, STAGES, account_columns

RECIPIENT_KEY = ("provider", "account", "recipient")


def _at(name: str, comment: str) -> StructField:
    return column(name, TimestampType(), role=Role.SETTLED, comment=comment)


RECIPIENT_TOTALS = TableContract(
    name="recipient_totals",
    grain="one recipient of one account",
    key=RECIPIENT_KEY,
    written_by=("build_summaries",),
    statistics=("recipient",),
    schema=StructType(
        [
            *account_columns(),
            column(
                "recipient",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="SES: the address, domain in lower case; Sailthru: the profile id. What an event says of a "
                "message without saying of whom counts for nobody here.",
            ),
            count("messages", "Messages of which an event names the recipient."),
            count("messages_opened", "Those of messages that the recipient opened or clicked."),
            count("messages_clicked", "Those of messages that the recipient clicked."),
            count("campaigns", "Distinct blasts (Sailthru) or configuration sets (SES) of messages; no templates."),
            count("campaigns_opened", "Those of campaigns of which the recipient opened or clicked a message."),
            count("campaigns_clicked", "Those of campaigns of which the recipient clicked a message."),
            *[count(s.count, f"Events of class {s.event_class} about the recipient: {s.words}.") for s in STAGES],
            *[
                _at(f"{which}_{event_class}_at", f"{which.capitalize()} {event_class}, UTC; NULL if none.")
                for event_class in DATED
                for which in ("first", "last")
            ],
            revenue_of("the recipient's messages"),
            flag("has_many_campaigns", "Whether campaigns is more than the setting campaigns.many."),
            flag("has_many_clicks", "Whether clicked is more than the setting campaigns.many."),
        ]
    ),
)
