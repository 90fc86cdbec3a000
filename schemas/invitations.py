"""`invitations`: how the recipients of each campaign answered."""

from pyspark.sql.types import DateType, DoubleType, StructField, StructType

from schemas.campaigns import CAMPAIGN_KEY, campaign_key
from schemas.contract import Role, TableContract, column, count

ANSWERS = ("invited", "reached", "responded", "declined", "not_known", "not_answered")
RECENT = "recent_"
"""Begins the columns that look at the newest sends only."""


def _answers(prefix: str, sends: str) -> list[StructField]:
    responded, reached = f"{prefix}responded", f"{prefix}reached"
    return [
        count(f"{prefix}invited", f"Distinct recipients that a message was sent to{sends}."),
        count(
            reached,
            f"Those of {prefix}invited who got one: it was delivered and did not bounce since, or they answered. The "
            "sum of the four columns that follow.",
        ),
        count(responded, f"Those of {reached} who clicked."),
        count(f"{prefix}declined", f"Those of {reached} who opted out and did not click."),
        count(
            f"{prefix}not_known",
            f"Others of {reached} to whom a click or opt-out may belong: SES does not say which of a message's several "
            "recipients it was.",
        ),
        count(f"{prefix}not_answered", f"Others of {reached}: neither click nor opt-out, whether opened or not."),
        column(
            f"{prefix}response_rate",
            DoubleType(),
            role=Role.SETTLED,
            comment=f"{responded} / {reached}: of the recipients who got a message{sends}, those who clicked; NULL if "
            "there are none. Unit: campaign x recipient. By send date.",
        ),
    ]


INVITATIONS = TableContract(
    name="invitations",
    grain="one campaign, as in campaigns",
    key=CAMPAIGN_KEY,
    written_by=("build_summaries",),
    statistics=("as_of_date",),
    schema=StructType(
        [
            *campaign_key(),
            *_answers("", ""),
            column(
                "as_of_date",
                DateType(),
                nullable=False,
                role=Role.SETTLED,
                comment="Newest send_date of all messages, UTC date: the last of the days that recent columns look at.",
            ),
            *_answers(RECENT, " on the last days of sends (setting campaigns.response_days)"),
        ]
    ),
)
