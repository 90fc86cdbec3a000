"""`purchases`: what people bought, gave back or left in a cart, each once, whoever told it.

What a source tells becomes rows of one shape (`of_log`, `of_profiles`, `of_table`), unite them by name, and
`to_purchases` makes the table of them. docs/purchases.md says which forms are read and when two rows are one purchase.
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

from schemas.purchases import ITEM, MONEY, PURCHASES, STATED, MoneyUnit, PurchaseKind, PurchaseSource
from transforms.identity import content_key
from transforms.instants import instant, local_instant
from transforms.json_text import STRICT_JSON
from transforms.people import AddressRules, person_key
from transforms.texts import stripped

_OF_PROFILE = (
    "array<struct<id:string,extid:string,time:string,purchase_time:string,date:string,price:string,qty:string,"
    "incomplete:string,message_id:string,channel:string,"
    "items:array<struct<id:string,title:string,qty:string,price:string,url:string,tags:string>>>>"
)
_ITEMS = ArrayType(ITEM)
_BEFORE_URL = r"(?=\s*[A-Za-z][A-Za-z0-9+.-]*://)"
_ORDER_OF_SOURCES = [PurchaseSource.PROFILE.value, PurchaseSource.LOG.value, PurchaseSource.TABLE.value]
"""Of what several tell, the first counts: profiles tell most of the items."""
_UNITED = (
    *("person_key", "purchased_at", "revenue", "quantity", "items", "message_id", "client_id", "channel"),
    *("order_id", "email_hash"),
)


def is_purchase() -> Column:
    """Whether a row of the columns STATED is a purchase at all: it states a date, a price or items."""
    return F.coalesce(*[stripped(F.col(name)) for name in ("date", "price", "items")]).isNotNull()


def of_log(rows: DataFrame, unit: MoneyUnit, zone: str, rules: AddressRules) -> DataFrame:
    """What rows of the purchase log tell: texts of the columns STATED, a date without a zone being in `zone`."""
    return _of_texts(rows, PurchaseSource.LOG, unit, local_instant(F.col("date"), zone), rules)


def of_table(rows: DataFrame, unit: MoneyUnit, rules: AddressRules) -> DataFrame:
    """What a table of the team's own tells: texts of the columns STATED, a date without a zone being in UTC."""
    return _of_texts(rows, PurchaseSource.TABLE, unit, instant(F.col("date")), rules)


def of_profiles(versions: DataFrame, unit: MoneyUnit, zone: str, rules: AddressRules) -> DataFrame:
    """What versions of profiles tell, all of them or only the newest, in the columns of `profiles`.

    The buyer is who the newest of the versions says. What versions tell under one id of its own and one time is told by
    the newest of them. A time without a zone is in `zone`. Left out is what states no time, no price and no items.
    """
    client, profile, told, item_list = F.col("client_id"), F.col("id"), F.col("told"), F.col("told.items")
    time = stripped(F.coalesce(told["time"], told["purchase_time"], told["date"]))

    def listed(name: str, *, is_cart: bool) -> Column:
        found = F.from_json(F.col(name), _OF_PROFILE, STRICT_JSON)
        marked = F.transform(found, lambda one: F.struct(one.alias("told"), F.lit(is_cart).alias("is_cart")))
        return F.coalesce(marked, F.array())

    def item(one: Column) -> Column:
        return F.struct(
            stripped(one["id"]).alias("id"),
            stripped(one["title"]).alias("title"),
            _whole_number(one["qty"]).alias("quantity"),
            _money(one["price"], unit).alias("unit_price"),
            stripped(one["url"]).alias("url"),
            _listed(stripped(one["tags"])).alias("categories"),
        )

    items = F.transform(item_list, item).cast(_ITEMS)
    both = F.concat(listed("purchases", is_cart=False), listed("purchase_incomplete", is_cart=True))
    own_id = stripped(F.coalesce(told["id"], told["extid"]))
    same = Window.partitionBy("client_id", "id", "is_cart", own_id, time)
    rows = (
        # Most versions tell what the one before told: each text is parsed once.
        versions.withColumn("email", _newest_email())
        .groupBy("client_id", "id", "email", "purchases", "purchase_incomplete")
        .agg(F.max(F.struct("version", "record")).alias("rank"))
        .select("client_id", "id", "email", "rank", F.inline(both))
        .withColumn("newest", F.max("rank").over(same))
        .where(own_id.isNull() | (F.col("rank") == F.col("newest")))
        .where(F.coalesce(time, stripped(told["price"])).isNotNull() | (F.size(item_list) > 0))
        .select(
            person_key(F.col("email"), rules, client, profile).alias("person_key"),
            F.lit(None).cast("string").alias("email_hash"),
            local_instant(time, zone).alias("purchased_at"),
            stripped(told["price"]).alias("price"),
            stripped(told["qty"]).alias("units"),
            F.coalesce(items, F.array().cast(_ITEMS)).alias("items"),
            stripped(told["message_id"]).alias("message_id"),
            "client_id",
            stripped(told["channel"]).alias("channel"),
            stripped(told["extid"]).alias("order_id"),
            own_id.alias("own_id"),
            (F.col("is_cart") | F.coalesce(told["incomplete"].isin("1", "true"), F.lit(False))).alias("is_cart"),
            F.to_json("told").alias("stated"),
        )
    )
    return _with_sums(rows, PurchaseSource.PROFILE, unit)


def known_hashes(versions: DataFrame, addresses: DataFrame, rules: AddressRules) -> DataFrame:
    """Whose address has an MD5: `person_key` and `email_hash`, one row per hash, of the address as stated and in lower
    case.

    `versions`, of profiles, give `client_id`, `id`, `version`, `record` and `email`: every address that a profile ever
    had is that of the person whom its newest version says. `addresses` gives `address`; what profiles say goes first.
    If spelling tells people apart, a hash is the person's who is spelt so.
    """
    of_profiles = person_key(F.col("newest"), rules, F.col("client_id"), F.col("id")).alias("person_key")
    of_address = person_key(F.col("address"), rules).alias("person_key")
    ever = versions.withColumn("newest", _newest_email()).select(F.col("email").alias("address"), of_profiles)
    told = ever.withColumn("is_of_profile", F.lit(True))
    stated = told.unionByName(addresses.select("address", of_address, F.lit(False).alias("is_of_profile"))).distinct()
    address = stripped(F.col("address"))
    hashes = F.array(
        F.struct(F.md5(address).alias("email_hash"), F.lit(False).alias("is_folded")),
        F.struct(F.md5(F.lower(address)).alias("email_hash"), F.lit(True).alias("is_folded")),
    )
    return (
        stated.where(address.isNotNull() & F.col("person_key").isNotNull())
        .select("person_key", (~F.col("is_of_profile")).alias("is_of_mail"), F.inline(hashes))
        .groupBy("email_hash")
        .agg(F.min(F.struct("is_folded", "is_of_mail", "person_key"))["person_key"].alias("person_key"))
        .select("person_key", "email_hash")
    )


def to_purchases(told: DataFrame, known: DataFrame, zone: str, earliest: datetime, latest: datetime) -> DataFrame:
    """The rows of `purchases` out of what all sources told; `known` is what `known_hashes` gives.

    The same person (or hash), second, amount, and cart or not, is the same purchase. Of several such that one source
    tells under different ids of its own, each is one, and the n-th of one source is the n-th of another. Where person,
    time or amount is not known, only what is told in equal words is the same. Times outside of `earliest` to `latest`
    are none. In the hour that comes twice on the clocks of `zone`, a second of the first coming is that of the second:
    one source may tell it by those clocks, another by the epoch.
    """
    at = F.col("purchased_at")
    of_hash = known.select("email_hash", F.col("person_key").alias("known_person"))
    linked = told.join(of_hash, on="email_hash", how="left").withColumns(
        {
            "person_key": F.coalesce("person_key", "known_person"),
            "purchased_at": F.when(at.between(F.lit(earliest), F.lit(latest)), at),
        }
    )
    by_clocks = F.to_utc_timestamp(F.from_utc_timestamp("purchased_at", zone), zone)
    who, second, amount = F.coalesce("person_key", "email_hash"), F.unix_seconds(by_clocks), F.col("revenue")
    is_vague = who.isNull() | second.isNull() | amount.isNull()
    same = (
        F.col("is_cart").cast("string"),
        *(part.cast("string") for part in (who, second, amount)),
        F.when(is_vague, F.col("stated")),
    )
    of_source = Window.partitionBy("same", "source").orderBy(F.col("own_id").asc_nulls_last())
    number = F.when(F.col("own_id").isNull(), 1).otherwise(F.dense_rank().over(of_source))
    return (
        linked.withColumn("same", content_key(same))
        .withColumn("purchase_id", content_key((F.col("same"), number.cast("string"))))
        .withColumn("rank", F.array_position(F.lit(_ORDER_OF_SOURCES), F.col("source")))
        .withColumns({"items": _stated_items(), "client_id": F.nullif("client_id", F.lit(""))})
        .groupBy("purchase_id")
        .agg(
            F.max("is_cart").alias("is_cart"),
            F.min_by("source", "rank").alias("source"),
            *[_first_told(name).alias(name) for name in _UNITED],
        )
        .withColumns(
            {
                "kind": _kind(),
                "items": F.coalesce("items", F.array().cast(_ITEMS)),
                "client_id": F.coalesce("client_id", F.lit("")),
            }
        )
        .select(*PURCHASES.columns)
    )


def _of_texts(rows: DataFrame, source: PurchaseSource, unit: MoneyUnit, at: Column, rules: AddressRules) -> DataFrame:
    texts = rows.where(is_purchase()).select(*[stripped(F.col(name)).alias(name) for name in STATED])
    lists = texts.withColumns(
        {
            "stated": F.to_json(F.struct(*STATED)),
            "items": _listed(F.col("items")),
            "urls": _listed(F.col("urls"), _BEFORE_URL),
            "unit_prices": _listed(F.col("unit_prices")),
            "quantities": _listed(F.col("quantities")),
        }
    )
    told = lists.select(
        person_key(F.col("email"), rules).alias("person_key"),
        F.lower("email_hash").alias("email_hash"),
        at.alias("purchased_at"),
        "price",
        F.lit(None).cast("string").alias("units"),
        _items_of_lists(unit).alias("items"),
        "message_id",
        F.lit("").alias("client_id"),
        "channel",
        F.col("extid").alias("order_id"),
        F.col("extid").alias("own_id"),
        F.lit(False).alias("is_cart"),
        "stated",
    )
    return _with_sums(told, source, unit)


def _with_sums(rows: DataFrame, source: PurchaseSource, unit: MoneyUnit) -> DataFrame:
    """Rows with `revenue` and `quantity`, where not stated of the items, if each of them states what it takes."""
    price, units, items = F.col("price"), F.col("units"), F.col("items")

    def add(total: Column, amount: Column) -> Column:
        return F.try_add(total, amount).try_cast(MONEY)

    def cost(item: Column) -> Column:
        return F.try_multiply(item["unit_price"], item["quantity"])

    nothing = F.lit(0).cast(MONEY)
    cost_of_items = F.aggregate(items, nothing, lambda total, item: add(total, cost(item)))
    units_of_items = F.aggregate(items, F.lit(0).cast("long"), lambda n, item: F.try_add(n, item["quantity"]))
    has_items = F.size(items) > 0
    return rows.withColumns(
        {
            "source": F.lit(source.value),
            "revenue": F.when(price.isNotNull(), _money(price, unit)).when(has_items, cost_of_items),
            "quantity": F.when(units.isNotNull(), _whole_number(units)).when(has_items, units_of_items),
        }
    ).drop("price", "units")


def _items_of_lists(unit: MoneyUnit) -> Column:
    """The items of lists that lie side by side; a list of another length says nothing of single items."""
    names = ("items", "urls", "unit_prices", "quantities")
    first = F.coalesce(*names)

    def item(_: Column, number: Column) -> Column:
        text = {name: F.when(F.size(name) == F.size(first), F.get(name, number)) for name in names}
        return F.struct(
            text["items"].alias("id"),
            F.lit(None).alias("title"),
            _whole_number(text["quantities"]).alias("quantity"),
            _money(text["unit_prices"], unit).alias("unit_price"),
            text["urls"].alias("url"),
            F.lit(None).alias("categories"),
        )

    return F.coalesce(F.transform(first, item).cast(_ITEMS), F.array().cast(_ITEMS))


def _listed(cell: Column, before: str = "") -> Column:
    """The texts of a cell that holds several: a JSON array, or the first of `|`, `;`, `,` that occurs divides them.

    `before`, a lookahead, says what must follow a `;` or `,` that divides: URLs may hold both. NULL stays NULL.
    """
    of_json = F.when(F.startswith(cell, F.lit("[")), F.from_json(cell, "array<string>", STRICT_JSON))
    semicolon, comma = f";{before}", f",{before}"
    divided = (
        F.when(F.contains(cell, F.lit("|")), F.split(cell, r"\|"))
        .when(cell.rlike(semicolon), F.split(cell, semicolon))
        .otherwise(F.split(cell, comma))
    )
    return F.transform(F.coalesce(of_json, divided), lambda text: stripped(text))


def _money(text: Column, unit: MoneyUnit) -> Column:
    """The amount in whole units of the currency, to 4 places; NULL if `text` states none."""
    amount = text.try_cast(MONEY)
    return amount if unit == "whole" else (amount / 100).try_cast(MONEY)


def _whole_number(text: Column) -> Column:
    """The number, also if it is written like 2.0; NULL if it is none."""
    return F.regexp_replace(text, r"[.]0+\s*$", "").try_cast("long")


def _newest_email() -> Column:
    """Of a profile's version the address that its newest version states, by the rank of `profiles`."""
    of_profile = Window.partitionBy("client_id", "id")
    return F.max(F.struct("version", "record", "email")).over(of_profile)["email"]


def _stated_items() -> Column:
    return F.when(F.size("items") > 0, F.col("items"))


def _first_told(name: str) -> Column:
    """Of a column the value of the first source that states one; of several of one source the least."""
    value = F.col(name)
    return F.min(F.when(value.isNotNull(), F.struct("rank", value.alias("value"))))["value"]


def _kind() -> Column:
    return (
        F.when(F.col("is_cart"), PurchaseKind.CART.value)
        .when(F.col("revenue") < 0, PurchaseKind.REFUND.value)
        .otherwise(PurchaseKind.PURCHASE.value)
    )
