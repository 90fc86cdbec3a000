"""`attribution`: the revenue of each purchase, shared out to the emails that came before it."""

from collections.abc import Sequence
from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType

from schemas.attribution import ATTRIBUTION, Model, NotCredited, TouchKind
from schemas.messages import MESSAGE_KEY
from schemas.purchases import MONEY, PurchaseKind

_DAY_MICROS = 86_400_000_000
_CENT = Decimal("0.01")
_CENTS = DecimalType(18, 0)
"""What MONEY can hold, in cents."""
_ORDER = ("person_key", "order_id")
_CASE = ("purchase_id", "touch_kind", "window_days")


def to_attribution(purchases: DataFrame, person_events: DataFrame, windows: Sequence[int]) -> DataFrame:
    """The rows of `attribution`, by windows of so many days; none of them may stand twice."""
    paid = _paid(purchases)
    touches = _numbered(_touches(paid, person_events, max(windows)), windows)
    kinds = F.array(*map(F.lit, TouchKind))
    cases = paid.withColumn("touch_kind", F.explode(kinds)).withColumn("window_days", F.explode(_days(windows)))
    reason = F.coalesce("reason", F.lit(NotCredited.NO_TOUCH.value))
    return (
        cases.join(touches, on=list(_CASE), how="left")
        .withColumns(
            {
                "reason": F.when(F.col("position").isNull(), reason),
                "touches": F.coalesce("touches", F.lit(0)),
            }
        )
        .select("*", F.inline(_credits()))
        .select(*ATTRIBUTION.columns)
    )


def _paid(purchases: DataFrame) -> DataFrame:
    """Purchases and refunds with `window_ends_at`, and with `reason` if no touch need be looked for."""
    kind, at = F.col("kind"), F.col("window_ends_at")
    is_purchase, is_refund = kind == PurchaseKind.PURCHASE.value, kind == PurchaseKind.REFUND.value
    bought, first = purchases.where(is_purchase), F.min("purchased_at")
    has_no_client = F.col("client_id") == ""  # which is not known, and may be any
    of_client = bought.groupBy(*_ORDER, "client_id").agg(first.alias("of_client"))
    of_any = bought.groupBy(*_ORDER).agg(
        first.alias("of_any"), F.min(F.when(has_no_client, F.col("purchased_at"))).alias("of_none")
    )
    ordered_at = F.when(has_no_client, F.col("of_any")).otherwise(F.least("of_client", "of_none"))
    reason = (
        F.when(F.col("person_key").isNull(), NotCredited.NO_PERSON.value)
        .when(is_purchase & at.isNull(), NotCredited.NO_TIME.value)
        .when(is_refund & at.isNull(), NotCredited.NO_ORDER.value)
        .when(F.col("revenue").isNull(), NotCredited.NO_REVENUE.value)
    )
    return (
        purchases.where(is_purchase | is_refund)
        .join(of_client, on=[*_ORDER, "client_id"], how="left")
        .join(of_any, on=list(_ORDER), how="left")
        .withColumn("window_ends_at", F.when(is_refund, ordered_at).otherwise(F.col("purchased_at")))
        .select(
            *("purchase_id", "kind", "person_key", "purchased_at", "window_ends_at", "revenue"),
            F.col("message_id").alias("stated_message_id"),
            reason.alias("reason"),
        )
    )


def _touches(paid: DataFrame, person_events: DataFrame, longest: int) -> DataFrame:
    """One row per purchase, kind of touch and message: its latest that counts, with `age_micros` at the purchase."""
    age = F.unix_micros("window_ends_at") - F.unix_micros("event_time")
    is_click, is_open = F.col("event_class") == "click", F.col("event_class") == "open"
    touch = F.struct("event_time", "event_id", "event_class", "age_micros")
    # Equal numbers to join by, for of one person with many of both each would meet each.
    stretch = F.call_function("div", F.unix_micros(F.col("window_ends_at")), F.lit(longest * _DAY_MICROS))
    buyers = (
        paid.where(F.col("reason").isNull())
        .select("purchase_id", "person_key", "window_ends_at")
        .withColumn("stretch", F.explode(F.array(stretch, stretch - 1)))
    )
    message = ("purchase_id", *MESSAGE_KEY, "campaign")
    return (
        person_events.where(is_click | is_open)
        .select("person_key", "event_time", "event_class", "event_id", *MESSAGE_KEY, "campaign")
        .withColumn("stretch", F.call_function("div", F.unix_micros("event_time"), F.lit(longest * _DAY_MICROS)))
        .join(buyers, on=["person_key", "stretch"], how="inner")
        .withColumn("age_micros", age)
        .where(F.col("age_micros").between(0, longest * _DAY_MICROS))
        .groupBy("purchase_id", *MESSAGE_KEY)
        .agg(
            F.max("campaign").alias("campaign"),
            F.max(F.when(is_click, touch)).alias(TouchKind.CLICK.value),
            F.max(touch).alias(TouchKind.CLICK_OR_OPEN.value),
        )
        .unpivot(message, tuple(TouchKind), "touch_kind", "touch")
        .where(F.col("touch").isNotNull())
        .select(*message, "touch_kind", "touch.*")
    )


def _numbered(touches: DataFrame, windows: Sequence[int]) -> DataFrame:
    """Each touch in each window that it lies in, with its `position` among the `touches` of that window."""
    holding = F.filter(_days(windows), lambda days: F.col("age_micros") <= days * _DAY_MICROS)
    in_order = Window.partitionBy(*_CASE).orderBy("event_time", "message_id", "event_id")
    all_of_them = in_order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    return touches.withColumn("window_days", F.explode(holding)).withColumns(
        {
            "position": F.row_number().over(in_order).cast("long"),
            "touches": F.count(F.lit(1)).over(all_of_them),
        }
    )


def _days(windows: Sequence[int]) -> Column:
    return F.array(*map(F.lit, windows)).cast("array<long>")


def _credits() -> Column:
    """The models that credit a row, each with its credit: an array of structs `model`, `credit`.

    Where there is no touch, the row takes all revenue, as an only touch would.
    """
    place, touches = F.coalesce("position", F.lit(1)), F.greatest("touches", F.lit(1))
    revenue = F.col("revenue")
    cents = (revenue * 100).cast("long")  # towards zero, so that a refund takes back what was credited
    rest = F.when(place == 1, revenue % _CENT).otherwise(0)
    between = F.when(touches > 2, _quotient(cents, F.lit(5))).otherwise(0)
    to_last = _quotient(cents - between, F.lit(2))
    by_position = (
        F.when(touches == 1, cents)
        .when(place == 1, cents - between - to_last)
        .when(place == touches, to_last)
        .otherwise(_equal_share(between, place - 1, touches - 2))
    )

    def credited(model: Model, credit: Column) -> Column:
        return F.struct(F.lit(model.value).alias("model"), credit.cast(MONEY).alias("credit"))

    def money(whole: Column) -> Column:
        return whole.cast(_CENTS) * _CENT + rest

    models = F.array(
        F.when(place == 1, credited(Model.FIRST, revenue)),
        F.when(place == touches, credited(Model.LAST, revenue)),
        credited(Model.LINEAR, money(_equal_share(cents, place, touches))),
        credited(Model.POSITION, money(by_position)),
    )
    return F.array_compact(models)


def _equal_share(cents: Column, place: Column, places: Column) -> Column:
    """What the `place`, counted from 1, gets of cents shared out equally; the first get one more if cents are left."""
    one = F.when(cents < 0, -1).otherwise(1)
    return _quotient(cents, places) + F.when(place <= F.abs(cents % places), one).otherwise(0)


def _quotient(number: Column, divisor: Column) -> Column:
    """Whole, towards zero: `/` would go through doubles."""
    return F.call_function("div", number, divisor)
