"""`restatement`: how much each day's numbers changed since they were first published."""

from pyspark.sql.types import DateType, LongType, StringType, StructField, StructType, TimestampType

from schemas.contract import Role, TableContract, column

COUNTS = {
    "messages": ("count(1)", "messages sent on the day"),
    "recipients_sent": ("sum(recipients_sent)", "recipients they were sent to"),
    "recipients_delivered": ("sum(recipients_delivered)", "recipients who got them, and no bounce since"),
    "recipients_bounced": ("sum(recipients_bounced)", "recipients they bounced for"),
    "messages_opened": ("count_if(is_opened)", "messages opened or clicked"),
    "messages_clicked": ("count_if(is_clicked)", "messages clicked"),
    "messages_complained": ("count_if(is_complained)", "messages reported as spam"),
    "messages_unsubscribed": ("count_if(is_unsubscribed)", "messages after which somebody opted out"),
}
"""What is compared: name, SQL over the rows of `messages` of a day, and words."""


def _counts(prefix: str, role: Role, when: str) -> list[StructField]:
    return [
        column(f"{prefix}{name}", LongType(), nullable=False, role=role, comment=f"{when}: {words}.")
        for name, (_, words) in COUNTS.items()
    ]


RESTATEMENT = TableContract(
    name="restatement",
    grain="one day on which messages of one provider were sent, as first published and as it is now",
    key=("provider", "send_date"),
    written_by=("build_summaries",),
    statistics=("send_date",),
    schema=StructType(
        [
            column("provider", StringType(), nullable=False, role=Role.IDENTITY, comment="ses or sailthru."),
            column("send_date", DateType(), nullable=False, role=Role.IDENTITY, comment="As in messages, UTC."),
            column(
                "first_published_at",
                TimestampType(),
                nullable=False,
                comment="When build_summaries first had a message of the day, UTC: what first_… hold is of then.",
            ),
            *_counts("first_", Role.PROVENANCE, "When first published"),
            *_counts("", Role.SETTLED, "Now"),
        ]
    ),
)
