"""`profile_lists`, `profile_vars`, `profile_geo`, `profile_browser`: a row for each member of a profile's objects."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.profile_children import GEO_KINDS
from schemas.sailthru import PROFILES
from transforms.instants import local_instant
from transforms.json_text import STRICT_JSON, let
from transforms.records import Limits

_LIST = "struct<name:string,signup_time:string,remove_time:string>"
_GEO = f"struct<{','.join(f'{kind}:string' for kind in GEO_KINDS)}>"


def to_profile_lists(profiles: DataFrame, zone: str, limits: Limits) -> DataFrame:
    """The rows of `profile_lists`; times that state no zone are of `zone`, those outside the limits are none."""

    def named(column: str, *, is_removal: bool) -> Column:
        def entry(one: Column) -> Column:
            at = local_instant(one["stated"], zone)
            sane = F.when(at.between(F.lit(limits.earliest), F.lit(limits.latest)), at)
            return F.struct(one["name"].alias("list_name"), sane.alias("at"), F.lit(is_removal).alias("is_removal"))

        return F.transform(named_times(F.col(column)), entry)

    both = F.array_compact(F.array(named("lists_signup", is_removal=False), named("lists_remove", is_removal=True)))
    is_removal, is_back = F.col("is_removal"), F.col("signed_up_at") > F.col("removed_at")
    return (
        profiles.select(*PROFILES.key, F.inline(F.flatten(both)))
        .groupBy(*PROFILES.key, "list_name")
        .agg(
            F.max(F.when(~is_removal, F.col("at"))).alias("signed_up_at"),
            F.max(F.when(is_removal, F.col("at"))).alias("removed_at"),
            F.bool_or("is_removal").alias("is_removed"),
        )
        .withColumn("is_removed", F.col("is_removed") & ~F.coalesce(is_back, F.lit(False)))
    )


def to_profile_vars(profiles: DataFrame) -> DataFrame:
    """The rows of `profile_vars`."""
    # As text an object with a key twice can be read, as a variant it cannot; only a variant knows 3 from "3".
    variants = F.map_values(F.from_json("vars", "map<string,variant>", STRICT_JSON))

    def typed(values: Column) -> Column:
        return F.transform(
            _members(F.col("vars")),
            lambda one: F.struct(
                one["name"].alias("name"),
                one["stated"].alias("value"),
                F.when(one["stated"].isNull(), "null")
                .otherwise(_type_of(F.get(values, one["place"])))
                .alias("value_type"),
            ),
        )

    return profiles.select(*PROFILES.key, F.inline(let(variants, typed)))


def to_profile_geo(profiles: DataFrame) -> DataFrame:
    """The rows of `profile_geo`."""

    def places(geo: Column) -> Column:
        each = [_counted(geo[kind], "label", F.lit(kind).alias("kind")) for kind in GEO_KINDS]
        return F.flatten(F.array_compact(F.array(*each)))

    geo = F.from_json("geo", _GEO, STRICT_JSON)
    return profiles.select(*PROFILES.key, F.inline(let(geo, places)))


def to_profile_browser(profiles: DataFrame) -> DataFrame:
    """The rows of `profile_browser`."""
    return profiles.select(*PROFILES.key, F.inline(_counted(F.col("browser"), "browser")))


def named_times(text: Column) -> Column:
    """The lists in `lists_signup` or `lists_remove`, each once, by name: `name`, `place`, and the time `stated`.

    Read are an object of times by name, and an array of objects, each with a `name` and a `signup_time` or
    `remove_time`. NULL if `text` is neither.
    """
    listed = F.transform(
        F.from_json(text, "array<string>", STRICT_JSON),
        lambda one: F.from_json(one, _LIST, STRICT_JSON),
    )
    as_members = F.transform(
        listed,
        lambda one, place: _member(one["name"], place, F.coalesce(one["signup_time"], one["remove_time"])),
    )
    return F.coalesce(_members(text), _last_of_each(as_members))


def _members(text: Column) -> Column:
    """The members of a JSON object, each once, by name: `name`, `place`, and the value as text, `stated`.

    NULL if `text` is no object.
    """
    found = F.map_entries(F.from_json(text, "map<string,string>", STRICT_JSON))
    return _last_of_each(F.transform(found, lambda one, place: _member(one["key"], place, one["value"])))


def _member(name: Column, place: Column, stated: Column) -> Column:
    return F.struct(name.alias("name"), place.alias("place"), stated.alias("stated"))


def _last_of_each(members: Column) -> Column:
    """Those with a name, in the order of names; of several of one name the last, as most readers of JSON have it."""

    def last(ordered: Column) -> Column:
        return F.filter(ordered, lambda one, i: ~F.get(ordered, i + 1)["name"].eqNullSafe(one["name"]))

    return let(F.array_sort(F.filter(members, lambda one: one["name"].isNotNull())), last)


def _counted(text: Column, label: str, *first: Column) -> Column:
    """The members of an object of counts, after `first`: the name as `label`, and the `count`."""
    return F.transform(
        _members(text),
        lambda one: F.struct(*first, one["name"].alias(label), one["stated"].try_cast("bigint").alias("count")),
    )


def _type_of(value: Column) -> Column:
    """The type of a variant by JSON's name for it; NULL if there is no variant."""
    sql_name = F.regexp_extract(F.schema_of_variant(value), "^[A-Z]+", 0)
    is_named = sql_name.isin("STRING", "BOOLEAN", "ARRAY", "OBJECT")
    return F.when(is_named, F.lower(sql_name)).when(sql_name.isNotNull(), "number")
