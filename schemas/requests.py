"""`requests`: the team's own send requests with their region, as they were when last read."""

from pyspark.sql.types import DateType, LongType, StringType, StructType, TimestampType

from schemas.contract import Role, TableContract, column

STATED = ("message_id", "recipient", "request_time", "region")
"""What a request says; the other columns follow from it."""

REQUESTS = TableContract(
    name="requests",
    grain="one recipient of one message that the team asked to be sent",
    key=("message_id", "recipient"),
    written_by=("build_summaries",),
    partitioned_by=("request_date",),
    statistics=("message_id",),
    schema=StructType(
        [
            column(
                "message_id", StringType(), nullable=False, role=Role.IDENTITY, comment="The id the provider gave back."
            ),
            column(
                "recipient",
                StringType(),
                role=Role.IDENTITY,
                comment="Address, domain in lower case; NULL if not stated.",
            ),
            column(
                "request_time",
                TimestampType(),
                role=Role.SETTLED,
                comment="When it was asked for, UTC; NULL if not stated or not readable.",
            ),
            column("region", StringType(), role=Role.SETTLED, comment="As stated, trimmed; NULL if not stated."),
            column("request_date", DateType(), role=Role.SETTLED, comment="UTC date of request_time; NULL without it."),
            column(
                "row_hash",
                LongType(),
                nullable=False,
                role=Role.SETTLED,
                comment="Of request_time and region: another one says that the request was corrected.",
            ),
        ]
    ),
)
