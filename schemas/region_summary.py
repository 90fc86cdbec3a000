"""`region_summary`: success by region, kind of email and day of the send."""

from pyspark.sql.types import DateType, DoubleType, StringType, StructField, StructType

from schemas.contract import Role, TableContract, column, count
from schemas.metrics import DEFAULT_PROFILE, Profile
from schemas.stages import STAGES


def metric_columns(profile: Profile) -> list[StructField]:
    """Numerator, denominator and rate of every metric of a profile."""
    return [
        field
        for m in profile
        for field in (
            count(f"{m.name}_numerator", f"Count of: {m.numerator_sql}. Unit: {m.unit}."),
            count(f"{m.name}_denominator", f"Count of: {m.denominator_sql}. Unit: {m.unit}."),
            column(
                f"{m.name}_rate",
                DoubleType(),
                role=Role.SETTLED,
                comment=f"{m.words} By {m.cohort}; NULL if the denominator is 0.",
            ),
        )
    ]


WAITS = {"deliver": "delivery", "open": "open", "click": "click"}
"""How long messages took, by name the class of event that ends the wait."""
PERCENTILES = {"median": (0.5, "Median"), "p95": (0.95, "95th percentile")}


def _waits() -> list[StructField]:
    return [
        column(
            f"seconds_to_{name}_{suffix}",
            DoubleType(),
            role=Role.SETTLED,
            comment=f"{words}, exact, of the seconds from the send of a message to its first {event_class}, over the "
            "messages that have both; NULL if none has.",
        )
        for name, event_class in WAITS.items()
        for suffix, (_, words) in PERCENTILES.items()
    ]


REGION = column(
    "region",
    StringType(),
    nullable=False,
    role=Role.IDENTITY,
    comment="Region of the request; unknown for messages without a request and requests without a region.",
)


def region_summary(profile: Profile) -> TableContract:
    """The contract with the columns of a profile's metrics."""
    return TableContract(
        name="region_summary",
        grain="one region, kind of email and day of the send; no rows of totals",
        key=("region", "email_kind", "send_date"),
        written_by=("build_summaries",),
        statistics=("send_date",),
        schema=StructType(
            [
                REGION,
                column(
                    "email_kind",
                    StringType(),
                    nullable=False,
                    comment="As in messages; unknown for requests without events. Part of the key, but as in messages "
                    "it may depend on the copy of an event that was kept, and so may the counts that it splits.",
                ),
                column(
                    "send_date",
                    DateType(),
                    role=Role.IDENTITY,
                    comment="UTC date of the message's timestamp, else of the request, else of the message's first "
                    "event; NULL if a request without events states no time.",
                ),
                count("requests", "Requests, unique by message and recipient, also those without events."),
                count("messages", "Messages of which there is an event. One asked for in two regions counts in both."),
                *[count(s.count, f"Sum of the messages' {s.count}.") for s in STAGES],
                *metric_columns(profile),
                *_waits(),
            ]
        ),
    )


REGION_SUMMARY = region_summary(DEFAULT_PROFILE)
