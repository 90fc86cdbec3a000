"""`attribution`: the revenue of each purchase, shared out to the emails that came before it."""

from enum import StrEnum

from pyspark.sql.types import LongType, StringType, StructType, TimestampType

from schemas.contract import Role, TableContract, column, count
from schemas.purchases import MONEY

_TEXT = StringType()


class Model(StrEnum):
    """How a purchase's revenue is shared out to its touches."""

    FIRST = "first"
    """All to the earliest touch."""
    LAST = "last"
    """All to the latest touch."""
    LINEAR = "linear"
    """The same to each touch."""
    POSITION = "position"
    """40 % to the earliest, 40 % to the latest, 20 % shared out to those between; half each if there are two."""


class TouchKind(StrEnum):
    """What counts as a touch."""

    CLICK = "click"
    """Clicks alone."""
    CLICK_OR_OPEN = "click_or_open"
    """Clicks and opens alike; opens of machines are among them."""


class NotCredited(StrEnum):
    """Why a purchase's revenue is credited to no email; of several the first that is true."""

    NO_PERSON = "no_person"
    """It is not known who bought."""
    NO_TIME = "no_time"
    """It is not known when."""
    NO_ORDER = "no_order"
    """A refund, and no purchase of the same person, client and order is known with its time."""
    NO_REVENUE = "no_revenue"
    """It is not known for how much."""
    NO_TOUCH = "no_touch"
    """No email touched the person within the window."""


ATTRIBUTION = TableContract(
    name="attribution",
    grain="one touch that a model credits with a purchase or refund, by what counts as a touch and by window; where no "
    "touch is credited, one row for the model, with the reason",
    key=("purchase_id", "model", "touch_kind", "window_days", "position"),
    written_by=("build_summaries",),
    statistics=("purchased_at",),
    schema=StructType(
        [
            column(
                "purchase_id",
                _TEXT,
                nullable=False,
                role=Role.IDENTITY,
                comment="As in purchases. Carts are not there: nothing was paid.",
            ),
            column(
                "model",
                _TEXT,
                nullable=False,
                role=Role.IDENTITY,
                comment="How revenue is shared out: first, last, linear or position. Each shares out all of it: rows "
                "of one model, touch_kind and window_days may be added up, others not.",
            ),
            column(
                "touch_kind",
                _TEXT,
                nullable=False,
                role=Role.IDENTITY,
                comment="What counts as a touch: click, or click_or_open.",
            ),
            column(
                "window_days",
                LongType(),
                nullable=False,
                role=Role.IDENTITY,
                comment="A touch counts up to so many times 24 hours before window_ends_at (setting "
                "attribution.window_days), both ends included.",
            ),
            column(
                "position",
                LongType(),
                role=Role.IDENTITY,
                comment="Which of the purchase's touches it is, 1 the earliest; NULL if reason is stated. Of equal "
                "times the lesser message_id, then event_id, comes first.",
            ),
            count("touches", "Touches of the purchase: messages that the person clicked, or opened, in the window."),
            column("kind", _TEXT, nullable=False, role=Role.SETTLED, comment="What it is: purchase or refund."),
            column("person_key", _TEXT, role=Role.SETTLED, comment="Who bought, as in purchases; NULL if not known."),
            column("purchased_at", TimestampType(), role=Role.SETTLED, comment="When, UTC; NULL if not known."),
            column(
                "window_ends_at",
                TimestampType(),
                role=Role.SETTLED,
                comment="The last instant, UTC, at which a touch counts: purchased_at; of a refund that of the first "
                "purchase of its order, so that what was credited is taken back. NULL if not known.",
            ),
            column(
                "revenue",
                MONEY,
                role=Role.SETTLED,
                comment="Of the whole purchase, as in purchases: negative of a refund, NULL if not known.",
            ),
            column(
                "credit",
                MONEY,
                role=Role.SETTLED,
                comment="What of revenue this row stands for, in whole cents (a rest below a cent goes to the earliest "
                "touch credited). Over the rows of one purchase, model, touch_kind and window_days it adds up to "
                "revenue. If reason is stated it is all of it, credited to no email. NULL if revenue is.",
            ),
            column("reason", _TEXT, role=Role.SETTLED, comment="Why no email is credited; NULL if one is."),
            column("provider", _TEXT, role=Role.SETTLED, comment="Of the message: ses or sailthru; NULL of no touch."),
            column("account", _TEXT, role=Role.SETTLED, comment="Of the message, as in events; NULL of no touch."),
            column(
                "message_id",
                _TEXT,
                role=Role.SETTLED,
                comment="The message credited; NULL of no touch. A message touches a purchase once, however often it "
                "was opened and clicked.",
            ),
            column(
                "campaign",
                _TEXT,
                comment="Of the message, as in events; NULL of no touch, and if its opens and clicks state none.",
            ),
            column(
                "event_id",
                _TEXT,
                role=Role.SETTLED,
                comment="The click or open that is the message's touch: the latest that counts; of equal times that "
                "of the greater event_id. NULL of no touch.",
            ),
            column("event_class", _TEXT, role=Role.SETTLED, comment="Of that: click or open; NULL of no touch."),
            column("event_time", TimestampType(), role=Role.SETTLED, comment="Of that, UTC; NULL of no touch."),
            column(
                "stated_message_id",
                _TEXT,
                role=Role.SETTLED,
                comment="The message that the purchase's source credits (purchases.message_id); NULL if none.",
            ),
        ]
    ),
)
