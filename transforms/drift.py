"""`drift`: what of records is not as the pages of their formats say."""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.drift import DRIFT, NO_TYPE, Drift, Shape

_SAMPLE_CHARACTERS = 200
_NUMBERS = ("BIGINT", "INT", "SMALLINT", "TINYINT", "DECIMAL", "DOUBLE", "FLOAT")


def to_shapes(records: DataFrame, files: DataFrame, shape: Shape) -> DataFrame:
    """Per class and shape of records: `name`, `shape`, `records`, `last_seen_at`, and of the first `number` and `text`.

    Records are as the provider's `to_records` gives them; those that are no strict JSON are quarantined by the stream
    and left out here. `files` has `filename`, `modified_at` and `number`, the older the less, of the files read.
    Records of one shape drift in the same way, and there are few shapes: only one record of each is looked at closely.
    """
    # By this hash, and no other: rows that are stored have the sample that is first by it.
    place = F.struct("number", F.pmod(F.xxhash64("text"), F.lit(2**40)).alias("hash"), "text")
    first = F.min_by(place, place, 1)[0]  # a plain `min` of texts would sort all records; this keeps one per shape
    return (
        _parsed(records, shape)
        .join(F.broadcast(files), "filename")
        .groupBy("name", "shape")
        .agg(
            F.count(F.lit(1)).alias("records"),
            F.max("modified_at").alias("last_seen_at"),
            first.alias("first"),
        )
        .select("name", "shape", "records", "last_seen_at", "first.number", "first.text")
    )


def to_drift(shapes: DataFrame, files: DataFrame, provider: str, shape: Shape) -> DataFrame:
    """The rows of `drift` out of those of `to_shapes`."""
    examples = shapes.join(F.broadcast(files), "number").withColumn("v", F.try_parse_json("text"))
    whole = F.array(F.struct(F.lit(None).cast("string").alias("path"), F.col("v").alias("value")))
    is_whole, needed = F.col("path").isNull(), F.try_element_at(_table(shape.needed), F.col("name"))
    about = ("filename", "modified_at", "last_seen_at", "records", "name")
    return (
        examples.select(*about, _class_kind(shape).alias("kind"), F.inline(F.concat(whole, _fields(shape))))
        .withColumn("json_type", F.when(is_whole, F.lit(NO_TYPE)).otherwise(_json_type(F.col("value"))))
        .withColumn("kind", F.when(is_whole, F.col("kind")).otherwise(_field_kind(shape)))
        .where(F.col("kind").isNotNull())
        .withColumn("path", F.coalesce("path", needed, F.lit("")))
        .withColumn("sample", F.left(F.to_json("value"), F.lit(_SAMPLE_CHARACTERS)))
        .groupBy("name", "kind", "path", "json_type")
        .agg(*merged(F.col("modified_at"), F.col("last_seen_at"), F.col("records")))
        .select(F.lit(provider).alias("provider"), "*")
    )


def _parsed(records: DataFrame, shape: Shape) -> DataFrame:
    """Of records that are JSON `filename`, `name`, `text`, and `shape`: a digest of names and types of all fields."""
    columns = [F.col("filename"), F.coalesce("name", F.lit("")).alias("name"), F.col("text")]
    value, whole = F.try_parse_json("text"), F.schema_of_variant("v")
    # The schema of an array is that of its elements together: which of them has a field it does not say.
    elements = [F.try_variant_get("v", f"$.{level}", "array<variant>") for level in _array_levels(shape)]
    of_elements = [F.array_sort(F.transform(array, F.schema_of_variant)) for array in elements]
    of_all = F.concat_ws("\n", whole, *[F.coalesce(F.array_join(one, ";"), F.lit("")) for one in of_elements])
    return (
        records.select(*columns, value.alias("v")).where("v is not null").withColumn("shape", F.md5(of_all)).drop("v")
    )


def _array_levels(shape: Shape) -> list[str]:
    return [level for level in shape.levels if "array" in shape.fields.get(level, "object").split("|")]


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
    """What is wrong with the field at `path` of `json_type`; NULL if nothing is."""
    allowed = F.try_element_at(_table(shape.fields), F.col("path"))
    is_other = ~F.array_contains(F.split(allowed, "[|]"), F.col("json_type"))
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
    kind = F.substring_index(F.substring_index(F.schema_of_variant(value), "<", 1), "(", 1)
    return F.when(value.isNull() | (kind == "VOID"), F.lit("null")).otherwise(
        F.when(kind.isin(*_NUMBERS), F.lit("number")).otherwise(F.lower(kind))
    )
