"""`recipient_features`: what is known of each person at an instant, as the features of `schemas/features.py`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.features import DEVICES, VALUE_COLUMNS, Feature, Rows
from schemas.person_events import ENGAGEMENTS
from schemas.purchases import PurchaseKind
from transforms.people import mailbox_provider

_ALL_TIME = 0
_DAY_MICROS = 86_400_000_000
_OLDEST_YEARS = 130


def to_recipient_features(
    person_events: DataFrame,
    sessions: DataFrame,
    purchases: DataFrame,
    profiles: DataFrame,
    as_of: datetime,
    features: Sequence[Feature],
    *,
    time_zone: str,
    variables: Mapping[str, str],
) -> DataFrame:
    """The rows of `recipient_features_wide`: everyone of whom anything is known by `as_of`, an instant with a zone.

    Rows after `as_of` are not used, so those that come later change nothing; neither are rows without a person or a
    time. `sessions` may be made of later events too: of one that goes on after `as_of` only what lies before counts.
    `profiles` (`person_key`, `vars`) have no time: they are used as they are. `variables` says by what name `vars`
    has each column of `Rows.PROFILE`.
    """
    rows = _rows(person_events, sessions, purchases, as_of, time_zone)
    rows[Rows.PROFILE] = _profile_rows(profiles, as_of, variables)
    own = {of: [feature for feature in features if feature.of is of] for of in rows}
    values = [_values(rows[of], of, some) for of, some in own.items() if some]
    parts = {(of, days) for of, some in own.items() for feature in some for days in _windows(feature)}
    of_person = (
        reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), values)
        .groupBy("person_key")
        .agg(
            # Of a person, source and window there is one row: the greatest is that one.
            *[
                F.max(F.when(F.col("window_days") == days, F.col(of))).alias(f"{of}_{days}")
                for of, days in sorted(parts)
            ]
        )
        .withColumn("mailbox_provider", mailbox_provider(F.col("person_key")))
    )
    return of_person.select(
        F.to_date(F.lit(as_of)).alias("as_of_date"),
        "person_key",
        F.lit(as_of).alias("as_of"),
        *[_value(feature, days).alias(name) for feature in features for name, days in feature.columns.items()],
    )


def to_long(wide: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """The rows of `recipient_features` out of those of `recipient_features_wide`: one per value that is not NULL."""
    values = [
        F.when(F.col(name).isNotNull(), _long_value(feature, name, days))
        for feature in features
        for name, days in feature.columns.items()
    ]
    return wide.select(
        "as_of_date", "person_key", "as_of", F.explode(F.array_compact(F.array(*values))).alias("value")
    ).select("as_of_date", "person_key", "as_of", "value.*")


# --- the engine


def _windows(feature: Feature) -> list[int]:
    return [days or _ALL_TIME for days in feature.columns.values()]


def _values(rows: DataFrame, of: Rows, features: Sequence[Feature]) -> DataFrame:
    """Per person and window one row, with the struct `of` of all values.

    A row counts in each window it lies in, so that all windows take one pass, and expressions know nothing of them.
    """
    windows = sorted({days for feature in features for days in feature.windows})
    within = F.array_compact(F.array(F.lit(_ALL_TIME), *[F.when(F.col("days_ago") < d, F.lit(d)) for d in windows]))
    values = [F.expr(feature.expression).try_cast(feature.type).alias(feature.name) for feature in features]
    names = [feature.name for feature in features]
    return (
        rows.withColumn("window_days", F.explode(within))
        .groupBy("person_key", "window_days")
        .agg(*values)
        .select("person_key", "window_days", F.struct(*names).alias(of))
    )


def _value(feature: Feature, days: int | None) -> Column:
    if feature.of is Rows.PERSON:
        value = F.expr(feature.expression)
    else:
        value = F.col(f"{feature.of}_{days or _ALL_TIME}")[feature.name]
    return value if feature.if_none is None else F.coalesce(value, F.lit(feature.if_none).cast(feature.type))


def _long_value(feature: Feature, name: str, days: int | None) -> Column:
    values = {
        column: F.col(name).cast(kind) if column == feature.value_column else F.lit(None).cast(kind)
        for column, kind in VALUE_COLUMNS.items()
    }
    return F.struct(
        F.lit(feature.name).alias("feature"),
        F.lit(days).cast("int").alias("window_days"),
        *[value.alias(column) for column, value in values.items()],
    )


# --- the rows


def _rows(
    person_events: DataFrame, sessions: DataFrame, purchases: DataFrame, as_of: datetime, time_zone: str
) -> dict[Rows, DataFrame]:
    """The rows with a time, of each source."""
    events = _timed(person_events, "event_time", as_of, time_zone).withColumn("device", _device(F.col("user_agent")))
    milestones = events.groupBy("person_key").agg(
        F.min(F.when(F.col("event_class") == "click", F.col("at"))).alias("first_click_at"),
        F.max(F.when(F.col("event_class").isin(*ENGAGEMENTS), F.col("at"))).alias("last_engagement_at"),
    )
    bought = _timed(purchases, "purchased_at", as_of, time_zone)
    items = bought.select("person_key", "kind", "at", "days_ago", F.explode("items").alias("item"))
    return {
        Rows.EVENTS: events,
        Rows.SESSIONS: _session_rows(_timed(sessions, "started_at", as_of, time_zone), milestones),
        Rows.PURCHASES: _purchase_rows(bought, milestones),
        Rows.LINKS: _once(events.where((F.col("event_class") == "click") & F.col("link").isNotNull()), "link"),
        Rows.PRODUCTS: _product_rows(items),
        Rows.CATEGORIES: _category_rows(items),
    }


def _timed(rows: DataFrame, time: str, as_of: datetime, time_zone: str) -> DataFrame:
    """The rows up to `as_of` that name a person, with what all rows with a time have."""
    elapsed = F.unix_micros(F.lit(as_of)) - F.unix_micros("at")
    local = F.from_utc_timestamp("at", time_zone)
    return (
        rows.withColumn("at", F.col(time))
        .where((F.col("at") <= F.lit(as_of)) & F.col("person_key").isNotNull())
        .withColumns(
            {
                "days_ago": F.floor(elapsed / F.lit(_DAY_MICROS)),
                "day": F.to_date(local),
                "hour": F.hour(local),
                "weekday": F.weekday(local) + 1,
            }
        )
    )


def _device(user_agent: Column) -> Column:
    device = F.lit("other")
    for name, pattern in reversed(DEVICES.items()):
        device = F.when(user_agent.rlike(pattern), F.lit(name)).otherwise(device)
    return F.when(user_agent.isNotNull(), device)


def _session_rows(sessions: DataFrame, milestones: DataFrame) -> DataFrame:
    # Of a session that goes on after as_of, the person's last engagement by then is where it had got to.
    ended_at = F.least("ended_at", "last_engagement_at")
    # Whole numbers, for a sum of doubles depends on their order.
    micros = F.unix_micros(ended_at) - F.unix_micros("at")
    return sessions.join(milestones, on="person_key", how="left").withColumn("micros", micros)


def _purchase_rows(purchases: DataFrame, milestones: DataFrame) -> DataFrame:
    person = Window.partitionBy("person_key")
    bought_at = F.when(F.col("kind") == PurchaseKind.PURCHASE, F.col("at"))
    return (
        purchases.withColumns({"first_at": F.min(bought_at).over(person), "last_at": F.max(bought_at).over(person)})
        .join(milestones, on="person_key", how="left")
        .withColumns(
            {
                "is_left": F.coalesce(F.col("last_at") < F.col("at"), F.lit(True)),
                "precedes_click": F.coalesce(F.col("at") < F.col("first_click_at"), F.lit(True)),
                "precedes_purchase": F.coalesce(F.col("at") < F.col("first_at"), F.lit(True)),
            }
        )
    )


def _product_rows(items: DataFrame) -> DataFrame:
    product = F.coalesce("item.id", "item.title", "item.url")
    return _once(items.withColumn("product", product).where("product is not null"), "product", "kind")


def _category_rows(items: DataFrame) -> DataFrame:
    quantity = F.coalesce("item.quantity", F.lit(1))
    return _once(
        items.withColumns(
            {
                "category": F.explode(F.array_distinct("item.categories")),
                "spend": F.try_multiply("item.unit_price", quantity.cast("decimal(19,0)")),
                "units": quantity,
            }
        ).where("category is not null"),
        "category",
        "kind",
        spend=F.try_sum("spend"),
        units=F.try_sum("units"),
    )


def _once(rows: DataFrame, *names: str, **more: Column) -> DataFrame:
    """Of each person one row per value of the columns `names`, at its last time, with the aggregates `more`."""
    return rows.groupBy("person_key", *names).agg(
        F.max("at").alias("at"),
        F.min("days_ago").alias("days_ago"),
        *[aggregate.alias(name) for name, aggregate in more.items()],
    )


def _profile_rows(profiles: DataFrame, as_of: datetime, variables: Mapping[str, str]) -> DataFrame:
    stated = F.from_json("vars", "map<string,string>")
    # The generator keeps Spark from parsing anew for each column that reads from it.
    parsed = profiles.where(F.col("person_key").isNotNull()).select("person_key", F.explode(F.array(stated)).alias("v"))
    texts = {name: F.nullif(F.btrim(F.col("v")[own]), F.lit("")) for name, own in variables.items()}
    return parsed.withColumns(texts).withColumns(
        {"age": _age(F.col("age"), as_of), "payment_methods": _list(F.col("payment_methods"))}
    )


def _age(stated: Column, as_of: datetime) -> Column:
    """Years out of a number of them or a date of birth."""
    born = F.when(stated.rlike(r"^\d{4}-\d\d-\d\d"), F.left(stated, F.lit(10)).try_cast("timestamp"))
    completed = F.when(born <= F.lit(as_of), F.timestamp_diff("YEAR", born, F.lit(as_of)))
    years = F.coalesce(stated.try_cast("long"), completed)
    return F.when(years.between(0, _OLDEST_YEARS), years)


def _list(stated: Column) -> Column:
    """The texts of a list in JSON, or between commas."""
    texts = F.coalesce(F.from_json(stated, "array<string>"), F.split(stated, ","))
    return F.filter(F.transform(texts, lambda text: F.btrim(text)), lambda text: text != "")
