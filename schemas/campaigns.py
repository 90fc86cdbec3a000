"""`campaigns`: totals and rates of each blast, template and configuration set."""

from pyspark.sql.types import DateType, DecimalType, StringType, StructField, StructType

from schemas.contract import Role, TableContract, column, count
from schemas.messages import CampaignKind
from schemas.metrics import DEFAULT_PROFILE, Profile
from schemas.region_summary import metric_columns
from schemas.stages import STAGES, account_columns

CAMPAIGN_KEY = ("provider", "account", "campaign_kind", "campaign")


def campaign_key() -> list[StructField]:
    """The key of a campaign. What a copy of an SES event says of it, another may leave out: so it is provenance."""
    text = StringType()
    return [
        *account_columns(),
        column("campaign_kind", text, nullable=False, comment="One of: " + ", ".join(CampaignKind) + "."),
        column(
            "campaign",
            text,
            nullable=False,
            comment="Blast's id or template's name (Sailthru), configuration set (SES); unknown if campaign_kind is.",
        ),
    ]


def revenue_of(whose: str) -> StructField:
    """The revenue that Sailthru attributes to messages."""
    return column(
        "revenue",
        DecimalType(30, 4),
        role=Role.SETTLED,
        comment=f"Sum of message_revenue of {whose}, in the account's unit (not documented). It is what Sailthru "
        "itself attributes, by its own rule and without a time. NULL if none is stated, and for SES.",
    )


def campaigns(profile: Profile) -> TableContract:
    """The contract with the columns of a profile's metrics."""
    return TableContract(
        name="campaigns",
        grain="one blast, template of triggered mail, or configuration set; and one for messages without",
        key=CAMPAIGN_KEY,
        written_by=("build_summaries",),
        statistics=("last_send_date",),
        schema=StructType(
            [
                *campaign_key(),
                column(
                    "name",
                    StringType(),
                    role=Role.SETTLED,
                    comment="Newest name of the blast (blasts.name); NULL for others, and if no record of it came.",
                ),
                count("messages", "Messages of which there is an event."),
                count("recipients", "Distinct recipients that events of its messages name."),
                count("recipients_opened", "Those of recipients that an open or click names: each once per campaign."),
                count("recipients_clicked", "Those of recipients that a click names: each once per campaign."),
                *[count(s.count, f"Sum of the messages' {s.count}.") for s in STAGES],
                column(
                    "first_send_date",
                    DateType(),
                    nullable=False,
                    role=Role.SETTLED,
                    comment="Least send_date, UTC date.",
                ),
                column(
                    "last_send_date",
                    DateType(),
                    nullable=False,
                    role=Role.SETTLED,
                    comment="Greatest send_date, UTC date.",
                ),
                revenue_of("its messages"),
                *metric_columns(profile),
            ]
        ),
    )


CAMPAIGNS = campaigns(DEFAULT_PROFILE)
