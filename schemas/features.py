"""The features of `recipient_features` as data: to add one is to add an entry here.

Columns of both tables, their comments and docs/features.md follow from the entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DoubleType,
    LongType,
    StringType,
    TimestampType,
)

from schemas.person_events import ENGAGEMENTS
from schemas.purchases import MONEY, PurchaseKind

WINDOWS = (7, 30, 90, 365)
LAST_N = 10
SIZE_LIMIT = 100
CHURN_DAYS = 90

DEVICES = {
    "bot": r"(?i)bot\b|crawl|spider|proxy|scan|preview|python|curl|wget|java/|go-http",
    "tablet": r"(?i)ipad|tablet|kindle|silk/|android(?!.*mobile)",
    "mobile": r"(?i)mobile|iphone|ipod|android|blackberry|opera mini",
    "desktop": r"(?i)windows|macintosh|x11|linux|cros",
}
"""Patterns of user agents, the first that fits decides; `other` if none does. Proxies that fetch pictures for readers
(GoogleImageProxy, YahooMailProxy) are bots: they do not say what the reader holds."""


class Rows(StrEnum):
    """The rows that a feature is computed over, and the columns that its expression may name.

    All but those of `person` and `profile` also have `days_ago`: whole days, of 24 hours, from the row to as_of.
    """

    EVENTS = "events"
    """Of `person_events`: its columns; `at`, their time; `day`, `hour` and `weekday` (Monday 1) of it on the clocks of
    `features.time_zone`; `device`, a key of DEVICES, `other`, or NULL if no user agent is stated."""
    SESSIONS = "sessions"
    """Of `sessions`: its columns; `at`, `day`, `hour` and `weekday` of its start; `micros`, its length up to as_of, in
    microseconds."""
    PURCHASES = "purchases"
    """Of `purchases`: its columns; `at`; `is_left`, no purchase of the person at that time or later;
    `precedes_click`, `precedes_purchase`: the person's first one is later, or there is none."""
    LINKS = "links"
    """Each `link` that the person clicked (`person_events`), once, with `at`, its last click."""
    PRODUCTS = "products"
    """Each `product` (id, else title, else address) and `kind` (purchase, refund, cart) in the items of `purchases`,
    once, with `at`, the last time."""
    CATEGORIES = "categories"
    """Each `category` and `kind` in the items of `purchases`, once, with `at`, the last time; `spend`, price by
    quantity of all items that state a price; `units`. No quantity is 1."""
    PROFILE = "profile"
    """The vars of a profile under the names of `features.vars`, as texts, NULL if not stated or blank; but `age` in
    years and `payment_methods` as a list."""
    PERSON = "person"
    """The person once: `person_key`, and `mailbox_provider` of the address in it. An expression, no aggregate."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature: what it is called, over which rows it is computed, and how."""

    name: str
    of: Rows
    expression: str
    """SQL: an aggregate over the person's rows, all of them or those of a window."""
    type: DataType
    comment: str
    windows: tuple[int, ...] = ()
    """Look-back windows in days, beside all time."""
    if_none: int | None = None
    """What it is if the expression gives NULL, as it does without any row."""

    @property
    def columns(self) -> dict[str, int | None]:
        """Its columns in the wide table, each with its window in days; None is all time."""
        return {self.name: None, **{f"{self.name}_{days}d": days for days in self.windows}}

    @property
    def value_column(self) -> str:
        """The column of the long table that has its values."""
        own = DoubleType() if isinstance(self.type, BooleanType | LongType | type(MONEY)) else self.type
        return next(name for name, kind in VALUE_COLUMNS.items() if kind == own)


VALUE_COLUMNS: dict[str, DataType] = {
    "value_number": DoubleType(),
    "value_text": StringType(),
    "value_time": TimestampType(),
    "value_texts": ArrayType(StringType()),
}
"""The columns of the long table for values, by their type; numbers, money and flags (1 or 0) share one."""

NOT_COVERED = {
    "page views, logins, products looked at, searches": "no input states them",
    "carts that were bought, things taken out of a cart": "purchases state carts only as long as they are not bought",
    "device of Sailthru's readers": "Sailthru states it of a message without a time: it may be of after as_of",
    "revenue that Sailthru credits to messages": "stated without a time and an order: `campaigns` and "
    "`recipient_totals` have it, no window can",
    "when the account was opened": "profiles state when the address was first known to Sailthru, not to the shop",
    "gender, age and the rest of `features.vars` of people without a profile": "only profiles state vars",
    "likelihood to buy or to leave, lifetime value to come": "predictions, which these features may feed",
}
"""What feature sets for event streams have besides, each with the reason why it is not here."""


def features(
    windows: tuple[int, ...] = WINDOWS,
    last_n: int = LAST_N,
    size_limit: int = SIZE_LIMIT,
    churn_days: int = CHURN_DAYS,
) -> tuple[Feature, ...]:
    """All features, in the order of their columns; arguments as the settings `features.*` explain them."""
    engaged = f"event_class in ({', '.join(repr(str(name)) for name in ENGAGEMENTS)})"
    read = "event_class in ('open', 'click')"
    bought, refunded, in_cart = (f"kind = '{kind}'" for kind in PurchaseKind)
    newest = "struct(at, purchase_id)"
    return (
        *(
            Feature(
                name=name,
                of=Rows.EVENTS,
                expression=f"count_if(event_class = '{event_class}')",
                type=LongType(),
                windows=windows,
                if_none=0,
                comment=f"Events of class {event_class}.",
            )
            for name, event_class in {"sends": "send", "opens": "open", "clicks": "click", "bounces": "bounce"}.items()
        ),
        *(
            feature
            for event_class in ("send", "open", "click")
            for feature in _days_since(event_class, Rows.EVENTS, f"event_class = '{event_class}'")
        ),
        *_days_since("seen", Rows.EVENTS, engaged),
        Feature(
            name="is_churned",
            of=Rows.EVENTS,
            expression=f"min(days_ago) filter (where {engaged}) >= {churn_days}",
            type=BooleanType(),
            comment=f"Whether the last open, click or purchase was {churn_days} days ago or more; NULL if there never "
            "was one.",
        ),
        Feature(
            name="days_between_opens",
            of=Rows.EVENTS,
            expression=_days_between("event_class = 'open'"),
            type=DoubleType(),
            windows=windows,
            comment="Average days from an open to the next; NULL if there are less than two.",
        ),
        Feature(
            name="days_active",
            of=Rows.EVENTS,
            # A set of days stays small; a distinct count beside other aggregates multiplies the rows.
            expression=f"size(collect_set(day) filter (where {engaged}))",
            type=LongType(),
            windows=windows,
            if_none=0,
            comment="Days, of `features.time_zone`, with an open, click or purchase.",
        ),
        Feature(
            name="preferred_hour",
            of=Rows.EVENTS,
            expression=f"mode(hour, true) filter (where {read})",
            type=LongType(),
            windows=windows,
            comment="Hour of the day, 0 to 23 in `features.time_zone`, with the most opens and clicks, of equal ones "
            "the least; NULL if there are none.",
        ),
        Feature(
            name="preferred_weekday",
            of=Rows.EVENTS,
            expression=f"mode(weekday, true) filter (where {read})",
            type=LongType(),
            windows=windows,
            comment="Day of the week, Monday 1 to Sunday 7 in `features.time_zone`, with the most opens and clicks, of "
            "equal ones the least; NULL if there are none.",
        ),
        Feature(
            name="device",
            of=Rows.EVENTS,
            expression=f"coalesce(mode(device, true) filter (where {read} and device not in ('bot', 'other')), "
            f"mode(device, true) filter (where {read}))",
            type=StringType(),
            windows=windows,
            comment="What most opens and clicks came from by their user agents: desktop, mobile or tablet, of equal "
            "ones the first by name; bot or other only if nothing else is known; NULL if no user agent is stated.",
        ),
        Feature(
            name="last_links",
            of=Rows.LINKS,
            expression=f"max_by(link, struct(at, link), {last_n})",
            type=ArrayType(StringType()),
            comment=f"The up to {last_n} links clicked last, each once, newest first, at one instant the last by name "
            "first; NULL if there are none.",
        ),
        Feature(
            name="mailbox_provider",
            of=Rows.PERSON,
            expression="mailbox_provider",
            type=StringType(),
            comment="As in journeys, of the address that is the person's key; NULL if the key is none.",
        ),
        Feature(
            name="sessions",
            of=Rows.SESSIONS,
            expression="count(*)",
            type=LongType(),
            windows=windows,
            if_none=0,
            comment="Sessions that began.",
        ),
        Feature(
            name="average_session_seconds",
            of=Rows.SESSIONS,
            expression="sum(micros) / count(*) / 1000000",
            type=DoubleType(),
            windows=windows,
            comment="Average length of a session in seconds, one of a single event is 0; NULL if there are none.",
        ),
        Feature(
            name="sessions_per_day",
            of=Rows.SESSIONS,
            expression="count(*) / size(collect_set(day))",
            type=DoubleType(),
            windows=windows,
            comment="Average number of sessions of the days, of `features.time_zone`, on which one began; NULL if "
            "there are none.",
        ),
        *(
            Feature(
                name=f"{name}_session_at",
                of=Rows.SESSIONS,
                expression=f"{function}(at)",
                type=TimestampType(),
                comment=f"Start of the {name} session, UTC; NULL if there are none.",
            )
            for name, function in {"first": "min", "last": "max"}.items()
        ),
        Feature(
            name="orders",
            of=Rows.PURCHASES,
            expression=f"count_if({bought})",
            type=LongType(),
            windows=windows,
            if_none=0,
            comment="Purchases.",
        ),
        *_days_since("order", Rows.PURCHASES, bought),
        Feature(
            name="revenue",
            of=Rows.PURCHASES,
            expression=f"try_sum(revenue) filter (where {bought})",
            type=MONEY,
            windows=windows,
            if_none=0,
            comment="Revenue of purchases, refunds not taken off; those that state none count as 0.",
        ),
        *(
            Feature(
                name=f"{name}_order_revenue",
                of=Rows.PURCHASES,
                expression=aggregate,
                type=kind,
                windows=windows,
                comment=f"{name.capitalize()} revenue of the purchases that state one; NULL if none does.",
            )
            for name, aggregate, kind in (
                ("average", f"avg(revenue) filter (where {bought})", DoubleType()),
                # Half of two amounts has one place more than they have; a double's own digits end far behind it.
                ("median", f"round(percentile(revenue, 0.5) filter (where {bought}), 5)", DoubleType()),
                ("highest", f"max(revenue) filter (where {bought})", MONEY),
            )
        ),
        Feature(
            name="last_order_revenue",
            of=Rows.PURCHASES,
            expression=f"max_by(revenue, {newest}) filter (where {bought})",
            type=MONEY,
            comment="Revenue of the last purchase, at one instant of the greatest purchase_id; NULL if there is none, "
            "or it states none.",
        ),
        Feature(
            name="last_order_at",
            of=Rows.PURCHASES,
            expression=f"max(at) filter (where {bought})",
            type=TimestampType(),
            comment="When the last purchase was, UTC; NULL if there is none.",
        ),
        Feature(
            name="units_per_order",
            of=Rows.PURCHASES,
            expression=f"avg(quantity) filter (where {bought})",
            type=DoubleType(),
            windows=windows,
            comment="Average units of the purchases that state a quantity; NULL if none does.",
        ),
        Feature(
            name="days_between_orders",
            of=Rows.PURCHASES,
            expression=_days_between(bought),
            type=DoubleType(),
            windows=windows,
            comment="Average days from a purchase to the next; NULL if there are less than two.",
        ),
        Feature(
            name="revenue_before_first_click",
            of=Rows.PURCHASES,
            expression=f"try_sum(revenue) filter (where {bought} and precedes_click)",
            type=MONEY,
            if_none=0,
            comment="Revenue of the purchases before the person's first click; all of it if there is none yet.",
        ),
        Feature(
            name="refunds",
            of=Rows.PURCHASES,
            expression=f"count_if({refunded})",
            type=LongType(),
            windows=windows,
            if_none=0,
            comment="Refunds.",
        ),
        Feature(
            name="refunded",
            of=Rows.PURCHASES,
            expression=f"-try_sum(revenue) filter (where {refunded})",
            type=MONEY,
            windows=windows,
            if_none=0,
            comment="What refunds gave back, a positive number; those that state no revenue count as 0.",
        ),
        Feature(
            name="carts",
            of=Rows.PURCHASES,
            expression=f"count_if({in_cart})",
            type=LongType(),
            windows=windows,
            if_none=0,
            comment="Carts.",
        ),
        Feature(
            name="carts_left",
            of=Rows.PURCHASES,
            expression=f"count_if({in_cart} and is_left)",
            type=LongType(),
            windows=windows,
            if_none=0,
            comment="Carts after which, until as_of, the person bought nothing.",
        ),
        Feature(
            name="cart_revenue",
            of=Rows.PURCHASES,
            expression=f"try_sum(revenue) filter (where {in_cart})",
            type=MONEY,
            windows=windows,
            if_none=0,
            comment="What the carts would have cost; those that do not say count as 0.",
        ),
        Feature(
            name="last_cart_revenue",
            of=Rows.PURCHASES,
            expression=f"max_by(revenue, {newest}) filter (where {in_cart})",
            type=MONEY,
            comment="What the last cart would have cost, at one instant the one of the greatest purchase_id; NULL if "
            "there is none, or it does not say.",
        ),
        Feature(
            name="carts_before_first_order",
            of=Rows.PURCHASES,
            expression=f"count_if({in_cart} and precedes_purchase)",
            type=LongType(),
            if_none=0,
            comment="Carts before the person's first purchase; all of them if there is none yet.",
        ),
        Feature(
            name="last_products",
            of=Rows.PRODUCTS,
            expression=f"max_by(product, struct(at, product), {last_n}) filter (where {bought})",
            type=ArrayType(StringType()),
            comment=f"The up to {last_n} products bought last, each once, newest first, at one instant the last by "
            "name first; NULL if there are none.",
        ),
        *_ever(Rows.PRODUCTS, "product", "bought", bought, size_limit),
        *_ever(Rows.PRODUCTS, "product", "in_carts", in_cart, size_limit),
        *_ever(Rows.CATEGORIES, "category", "bought", bought, size_limit),
        *_ever(Rows.CATEGORIES, "category", "in_carts", in_cart, size_limit),
        *(
            Feature(
                name=f"top_category_by_{name}",
                of=Rows.CATEGORIES,
                expression=f"min_by(category, struct(-cast({measure} as decimal(38, 4)), category)) "
                f"filter (where {bought} and {measure} is not null)",
                type=StringType(),
                comment=f"The category bought with the most {words}, of equal ones the first by name; NULL if there is "
                "none.",
            )
            for name, measure, words in (("spend", "spend", "price by quantity"), ("count", "units", "units"))
        ),
        *(
            Feature(name=name, of=Rows.PROFILE, expression=f"max({name})", type=kind, comment=comment)
            for name, kind, comment in (
                ("gender", StringType(), "As the profile states it; NULL if it does not."),
                (
                    "age",
                    LongType(),
                    "Years: completed ones at as_of if the profile states a date of birth (YYYY-MM-DD), or the number "
                    "that it states; NULL if neither, or not between 0 and 130.",
                ),
                ("country", StringType(), "As the profile states it; NULL if it does not."),
                ("state", StringType(), "As the profile states it; NULL if it does not."),
                (
                    "payment_methods",
                    ArrayType(StringType()),
                    "As the profile lists them, in JSON or with commas; NULL if it does not.",
                ),
                ("card", StringType(), "As the profile states it; NULL if it does not."),
            )
        ),
    )


def _days_since(what: str, of: Rows, condition: str) -> Sequence[Feature]:
    """Whole days since the first and the last of the rows."""
    words = {"seen": "open, click or purchase", "order": "purchase"}.get(what, what)
    return [
        Feature(
            name=f"days_since_{name}_{what}",
            of=of,
            expression=f"{function}(days_ago) filter (where {condition})",
            type=LongType(),
            comment=f"Whole days from the {name} {words} to as_of; NULL if there is none.",
        )
        for name, function in {"first": "max", "last": "min"}.items()
    ]


def _days_between(condition: str) -> str:
    """SQL: average days from one of the rows to the next."""
    last, first = (f"unix_micros({function}(at) filter (where {condition}))" for function in ("max", "min"))
    return f"({last} - {first}) / 86400000000 / nullif(count_if({condition}) - 1, 0)"


def _ever(of: Rows, what: str, where: str, condition: str, limit: int) -> Sequence[Feature]:
    """How many different ones there are, and which, unless they are too many."""
    some = f"min_by({what}, {what}, {limit + 1}) filter (where {condition})"
    words = {"bought": "ever bought", "in_carts": "ever put into a cart"}[where]
    return [
        Feature(
            name=f"{of}_{where}",
            of=of,
            expression=f"count_if({condition})",
            type=LongType(),
            if_none=0,
            comment=f"Different {of} {words}.",
        ),
        Feature(
            name=f"{of}_{where}_list",
            of=of,
            expression=f"if(count_if({condition}) <= {limit}, {some}, null)",
            type=ArrayType(StringType()),
            comment=f"The {of} {words}, by name; NULL if there are none, or more than {limit}.",
        ),
    ]


DEFAULT_FEATURES = features()
"""Those of the settings' defaults."""
