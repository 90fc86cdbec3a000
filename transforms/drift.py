"""`drift`: what of records is not as the pages of their formats say."""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.drift import DRIFT, NO_TYPE, Drift, Shape

_SAMPLE_CHARACTERS = 200
_NUMBERS = ("BIGINT", "INT", "SMALLINT", "TINYINT", "DECIMAL", "DOUBLE", "FLOAT")


def to_drift(records: DataFrame, files: DataFrame, provider: str, shape: Shape) -> DataFrame:
    """The rows of `drift` out of records as the provider's `to_records` gives them.

    `files` holds `filename` and `modified_at` of the files read. Records that are no strict JSON are quarantined by
    the stream and left out here.
    """
    read = records.select("filename", F.coalesce("name", F.lit("")).alias("name"), F.try_parse_json("text").alias("v"))
    whole = F.array(F.struct(F.lit(None).cast("string").alias("path"), F.col("v").alias("value")))
    is_whole, needed = F.col("path").isNull(), F.try_element_at(_table(shape.needed), F.col("name"))
    return (
        read.where(F.col("v").isNotNull())
        .select("filename", "name", _class_kind(shape).alias("kind"), F.inline(F.concat(whole, _fields(shape))))
        .withColumn("kind", F.when(is_whole, F.col("kind")).otherwise(_field_kind(shape)))
        .where(F.col("kind").isNotNull())
        .select(
            "filename",
            "name",
            "kind",
            F.coalesce("path", needed, F.lit("")).alias("path"),
            F.when(is_whole, F.lit(NO_TYPE)).otherwise(_json_type(F.col("value"))).alias("json_type"),
            F.left(F.to_json("value"), F.lit(_SAMPLE_CHARACTERS)).alias("sample"),
        )
        .join(F.broadcast(files), "filename")
        .groupBy("name", "kind", "path", "json_type")
        .agg(*merged(F.col("modified_at"), F.col("modified_at"), F.lit(1)))
        .select(F.lit(provider).alias("provider"), "*")
    )


def together(parts: Sequence[DataFrame]) -> DataFrame:
    """Rows of `drift` made from several sets of files as those of all of them."""
    everything = reduce(DataFrame.unionByName, parts)
    merged_columns = merged(F.col("first_seen_at"), F.col("last_seen_at"), F.col("records"))
    return everything.groupBy(*DRIFT.key).agg(*merged_columns)


def merged(first: Column, last: Column, records: Column) -> list[Column]:
    """What is kept of several findings of one kind, as aggregates: the sample of the oldest file."""
    oldest = F.min(F.struct(first, F.col("filename"), F.col("sample")))
    return [
        F.min(first).alias("first_seen_at"),
        F.max(last).alias("last_seen_at"),
        F.sum(records).alias("records"),
        oldest["sample"].alias("sample"),
        oldest["filename"].alias("filename"),
    ]


def _class_kind(shape: Shape) -> Column:
    """What is wrong with the class of an event; NULL if nothing is."""
    kind = F.lit(None).cast("string")
    if shape.needed:
        kind = F.when(~F.col("name").isin(*shape.needed), F.lit(Drift.NEW_CLASS.value))
    for event_class, path in shape.needed.items():
        if path:
            is_missing = (F.col("name") == event_class) & F.try_variant_get("v", f"$.{path}", "variant").isNull()
            kind = F.when(is_missing, F.lit(Drift.MISSING_FIELD.value)).otherwise(kind)
    return kind


def _field_kind(shape: Shape) -> Column:
    """What is wrong with the field at `path`; NULL if nothing is."""
    allowed = F.try_element_at(_table(shape.fields), F.col("path"))
    is_other = ~F.array_contains(F.split(allowed, "[|]"), _json_type(F.col("value")))
    return F.when(allowed.isNull(), F.lit(Drift.UNKNOWN_FIELD.value)).when(is_other, F.lit(Drift.OTHER_TYPE.value))


def _table(texts: Mapping[str, str]) -> Column:
    pairs = [F.lit(text) for pair in texts.items() for text in pair]
    return F.create_map(*pairs).cast("map<string,string>")


def _fields(shape: Shape) -> Column:
    """The fields of a record at all levels that the format names, as an array of `path` and `value`."""
    found = []
    for level in shape.levels:
        path, prefix = (f"$.{level}", f"{level}.") if level else ("$", "")
        kinds = shape.fields.get(level, "object").split("|")
        if "object" in kinds:
            found.append(_keyed(prefix, F.map_entries(F.try_variant_get("v", path, "map<string,variant>"))))
        if "array" in kinds:
            elements = F.try_variant_get("v", path, "array<map<string,variant>>")
            found.append(_keyed(prefix, F.flatten(F.transform(elements, F.map_entries))))
    return F.concat(*found)


def _keyed(prefix: str, entries: Column) -> Column:
    """The fields of an object as an array of `path` and `value`; an empty one if there is no object."""

    def field(entry: Column) -> Column:
        return F.struct(F.concat(F.lit(prefix), entry["key"]).alias("path"), entry["value"].alias("value"))

    return F.coalesce(F.transform(entries, field), F.array().cast("array<struct<path:string,value:variant>>"))


def _json_type(value: Column) -> Column:
    """string, number, boolean, object, array or null, as JSON names them."""
    kind = F.regexp_extract(F.schema_of_variant(value), "^[A-Z]+", 0)
    return F.when(value.isNull() | (kind == "VOID"), F.lit("null")).otherwise(
        F.when(kind.isin(*_NUMBERS), F.lit("number")).otherwise(F.lower(kind))
    )
