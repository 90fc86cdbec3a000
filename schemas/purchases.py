"""`purchases`: what people bought, gave back or left in a cart, whoever told it."""

from enum import StrEnum
from typing import Literal

from pyspark.sql.types import ArrayType, DecimalType, LongType, StringType, StructField, StructType, TimestampType

from schemas.contract import Role, TableContract, column

_TEXT = StringType()
MONEY = DecimalType(20, 4)
MoneyUnit = Literal["whole", "cents"]
"""In what a source states money: 35.98 or 3598."""
ITEM = StructType(
    [
        StructField("id", _TEXT),
        StructField("title", _TEXT),
        StructField("quantity", LongType()),
        StructField("unit_price", MONEY),
        StructField("url", _TEXT),
        StructField("categories", ArrayType(_TEXT)),
    ]
)

STATED = (
    *("date", "email", "email_hash", "extid", "message_id", "price", "channel"),
    *("items", "urls", "unit_prices", "quantities"),
)
"""What a row of the purchase log, or of a table of the team's own, may say; `email` only the latter."""


class PurchaseKind(StrEnum):
    """What a row of `purchases` is."""

    PURCHASE = "purchase"
    """Bought."""
    REFUND = "refund"
    """Given back: its revenue is negative."""
    CART = "cart"
    """Put into a cart and not bought by then: its revenue is what it would have been."""


class PurchaseSource(StrEnum):
    """Where a row of `purchases` was read."""

    LOG = "log"
    """CSV files in the form of Sailthru's purchase log."""
    PROFILE = "profile"
    """The purchases that a Sailthru profile carries."""
    TABLE = "table"
    """A table of the team's own, with mapped columns."""


PURCHASES = TableContract(
    name="purchases",
    grain="one purchase, refund or cart of one person",
    key=("purchase_id",),
    written_by=("build_summaries",),
    statistics=("purchased_at",),
    schema=StructType(
        [
            column(
                "purchase_id",
                _TEXT,
                nullable=False,
                role=Role.IDENTITY,
                comment="Of person, second, amount and whether it is a cart: told twice it is one, also by two sources "
                "(docs/purchases.md).",
            ),
            column("kind", _TEXT, nullable=False, role=Role.SETTLED, comment="What it is: purchase, refund or cart."),
            column(
                "person_key",
                _TEXT,
                role=Role.SETTLED,
                comment="Who bought, as in person_events; NULL if only a hash of the address is stated, and no address "
                "that is known has it.",
            ),
            column(
                "purchased_at",
                TimestampType(),
                role=Role.SETTLED,
                comment="When, UTC; NULL if not stated or not readable.",
            ),
            column(
                "revenue",
                MONEY,
                role=Role.SETTLED,
                comment="In whole units of the currency: as stated, else of all items; negative of a refund; NULL if "
                "neither is known.",
            ),
            column(
                "quantity",
                LongType(),
                role=Role.SETTLED,
                comment="Units bought: as stated, else of all items; NULL if one of them states none.",
            ),
            column(
                "items",
                ArrayType(ITEM),
                role=Role.SETTLED,
                comment="What was bought, in the order stated; empty if not stated.",
            ),
            column(
                "message_id", _TEXT, role=Role.SETTLED, comment="The message that the source credits; NULL if none."
            ),
            column(
                "client_id", _TEXT, nullable=False, role=Role.SETTLED, comment="Sailthru client; empty if not known."
            ),
            column("channel", _TEXT, role=Role.SETTLED, comment="As stated, such as online; NULL if not stated."),
            column("order_id", _TEXT, role=Role.SETTLED, comment="The shop's own id; NULL if not stated."),
            column("email_hash", _TEXT, role=Role.SETTLED, comment="MD5 of the address, in hex; NULL if not stated."),
            column(
                "source", _TEXT, nullable=False, comment="Who told it: of several the first of profile, log, table."
            ),
        ]
    ),
)
