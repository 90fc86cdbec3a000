"""`profiles_history`: the versions of each profile, put together as long as nothing changed that is tracked."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.profiles_history import TRACKED
from schemas.sailthru import PROFILE_VERSIONS, PROFILES
from transforms.instants import local_instant
from transforms.json_text import let
from transforms.profile_children import named_times
from transforms.states import newest


def to_profiles_history(versions: DataFrame, profiles: DataFrame, zone: str) -> DataFrame:
    """The rows of `profiles_history` from those of `profile_versions` and `profiles`.

    `profiles` may hold what `versions` lacks: it was loaded before these were kept. A row's values are those of its
    last version. Times that state no zone are of `zone`.
    """
    needed = (*PROFILE_VERSIONS.key, "version", "record", *TRACKED)
    both = versions.select(*needed).unionByName(profiles.select(*needed))
    by_date = Window.partitionBy(*PROFILES.key).orderBy(F.col("file_date").asc_nulls_first())
    so_far = by_date.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    is_change = ~F.lag("meaning").over(by_date).eqNullSafe(F.col("meaning"))
    begin = F.last(F.when(F.col("is_change"), F.struct("file_date")), ignorenulls=True).over(so_far)
    return (
        newest(both, PROFILE_VERSIONS)
        .withColumn("meaning", F.struct(*[_meaning(name, zone).alias(name) for name in TRACKED]))
        .withColumn("is_change", is_change)
        .select(
            *PROFILES.key,
            *TRACKED,
            begin["file_date"].alias("valid_from"),
            F.lead("file_date").over(by_date).alias("valid_to"),
            F.lead("is_change").over(by_date).alias("is_next_change"),
        )
        .where(F.coalesce("is_next_change", F.lit(True)))
        .select("*", F.col("is_next_change").isNull().alias("is_current"))
    )


def _meaning(name: str, zone: str) -> Column:
    """What a column says, however it is spelled: of JSON the order of keys says nothing, of times the precision."""
    stated = F.col(name)
    if name in ("lists_signup", "lists_remove"):

        def said(lists: Column) -> Column:
            return F.struct(F.transform(lists, entry), F.when(lists.isNull(), stated))

        def entry(one: Column) -> Column:
            at = local_instant(one["stated"], zone)
            return F.struct(one["name"], at, F.when(at.isNull(), one["stated"]))

        return let(named_times(stated), said)
    # Variants hold their keys in order; what is no variant (a key twice) is compared as it came.
    return F.coalesce(F.to_json(F.try_parse_json(stated)), stated) if name == "vars" else stated
