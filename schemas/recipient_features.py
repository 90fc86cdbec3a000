"""`recipient_features` and `recipient_features_wide`: what is known of each person at one time, as features."""

from collections.abc import Sequence

from pyspark.sql.types import (
    DateType,
    IntegerType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from schemas.contract import Role, TableContract, column
from schemas.features import DEFAULT_FEATURES, VALUE_COLUMNS, Feature

_AS_OF = [
    column(
        "as_of_date",
        DateType(),
        nullable=False,
        role=Role.IDENTITY,
        comment="UTC date of as_of.",
    ),
    column(
        "person_key",
        StringType(),
        nullable=False,
        role=Role.IDENTITY,
        comment="As in person_events; everyone of whom there is an event, purchase, session or profile by then.",
    ),
    column(
        "as_of",
        TimestampType(),
        nullable=False,
        role=Role.SETTLED,
        comment="UTC. Nothing that happened after this instant is used, and of profiles no file of a later date than "
        "as_of_date; who is who is as known now. A window of n days is all after as_of less n times 24 hours.",
    ),
]

_VALUE_COMMENTS = {
    "value_number": "Counts, money, days, and flags as 1 or 0; NULL of other features.",
    "value_text": "NULL of other features.",
    "value_time": "UTC; NULL of other features.",
    "value_texts": "Lists; NULL of other features.",
}

RECIPIENT_FEATURES = TableContract(
    name="recipient_features",
    grain="one feature of one person over one window at one time; none where recipient_features_wide has NULL",
    key=("as_of_date", "person_key", "feature", "window_days"),
    written_by=("build_summaries",),
    statistics=("person_key",),
    schema=StructType(
        [
            *_AS_OF,
            column(
                "feature",
                StringType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="Name as in docs/features.md, and of the column in recipient_features_wide.",
            ),
            column(
                "window_days", IntegerType(), role=Role.IDENTITY, comment="Days looked back from as_of; NULL: all time."
            ),
            *[
                column(name, kind, role=Role.SETTLED, comment=_VALUE_COMMENTS[name])
                for name, kind in VALUE_COLUMNS.items()
            ],
        ]
    ),
)


def recipient_features_wide(wanted: Sequence[Feature]) -> TableContract:
    """The contract with the columns of the features."""
    return TableContract(
        name="recipient_features_wide",
        grain="one person at one time",
        key=("as_of_date", "person_key"),
        written_by=("build_summaries",),
        statistics=("person_key",),
        schema=StructType([*_AS_OF, *[field for feature in wanted for field in _columns(feature)]]),
    )


def _columns(feature: Feature) -> list[StructField]:
    return [
        column(
            name,
            feature.type,
            nullable=feature.if_none is None,
            role=Role.SETTLED,
            comment=feature.comment if days is None else f"Within {days} days: {feature.comment}",
        )
        for name, days in feature.columns.items()
    ]


RECIPIENT_FEATURES_WIDE = recipient_features_wide(DEFAULT_FEATURES)
