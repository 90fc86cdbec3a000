"""`requests`: the team's own send requests with their region. Read where they lie, not stored."""

from pyspark.sql.types import StringType, StructType, TimestampType

from schemas.contract import Role, TableContract, column

REQUESTS = TableContract(
    name="requests",
    grain="one recipient of one message that the team asked to be sent",
    key=("message_id", "recipient"),
    written_by=(),
    statistics=(),
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
        ]
    ),
)
