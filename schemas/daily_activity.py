"""`daily_activity`: how many people were there on each day, and whether they come back."""

from pyspark.sql.types import DateType, DoubleType, LongType, StringType, StructType

from schemas.contract import Role, TableContract, column, count

ALL = "all"
"""Stands for every region, or every provider, in a row that tells them apart no more."""

DAILY_ACTIVITY = TableContract(
    name="daily_activity",
    grain="one UTC day, or all days, of one region and provider, or of all",
    key=("activity_date", "region", "provider"),
    written_by=("build_summaries",),
    statistics=("activity_date",),
    schema=StructType(
        [
            column(
                "activity_date",
                DateType(),
                role=Role.IDENTITY,
                comment="UTC day; NULL: all days together. People are counted once, so days do not add up to it.",
            ),
            column(
                "region",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="Region of the person's own request for the message, without one all of the message's; unknown "
                f"without a request; `{ALL}`: whatever the region. A row looks at the events of its region alone.",
            ),
            column(
                "provider",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment=f"ses or sailthru; `{ALL}`: whatever the provider, and purchases, which no provider reports.",
            ),
            count("active_people", "People who opened, clicked or bought: new, returning and reactivated ones."),
            count("new_people", "Those of active_people who never did before. Of all days: all of them."),
            count(
                "returning_people",
                "Those of active_people who did before, at most activity.lapsed_days days ago. Of all days: people "
                "active on more than one.",
            ),
            count(
                "reactivated_people",
                "Those of active_people who did before, but longer ago: they had lapsed. Of all days: people of whom "
                "that is true of any.",
            ),
            count(
                "lapsed_people",
                "People whose last opening, click or purchase was activity.lapsed_days days before: they lapse on this "
                "day. Of all days: people who have lapsed by the newest day of person_events.",
            ),
            count("sessions", "Sessions, as in the table sessions, that began."),
            count("single_event_sessions", "Those of sessions that are one event."),
            column(
                "single_event_session_rate",
                DoubleType(),
                role=Role.SETTLED,
                comment="single_event_sessions / sessions; NULL without sessions.",
            ),
            column(
                "mean_session_seconds",
                DoubleType(),
                role=Role.SETTLED,
                comment="Mean seconds from the first to the last event of sessions, 0 of those of one event; NULL "
                "without sessions.",
            ),
            column(
                "active_senders",
                LongType(),
                nullable=False,
                comment="Distinct senders that mail was sent from (person_events.sender).",
            ),
            column(
                "active_campaigns",
                LongType(),
                nullable=False,
                comment="Distinct campaigns that mail was sent for (provider, account, campaign).",
            ),
        ]
    ),
)
