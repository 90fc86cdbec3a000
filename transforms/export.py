"""Rows as formats without nested types, or without some characters, can hold them."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructField, StructType

_JSON = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "ignoreNullFields": "false"}
_ESCAPED_NUL = r"(?<!\\)((?:\\\\)*)\\u0000"
"""An even number of backslashes before it: one before a `u` may itself be escaped."""
REPLACEMENT = "\ufffd"


def is_nested(data_type: DataType) -> bool:
    """Whether values of this type have parts."""
    return isinstance(data_type, ArrayType | MapType | StructType)


def nested_as_json(rows: DataFrame) -> DataFrame:
    """Arrays, maps and structs as JSON text, instants in UTC to the microsecond; NULL stays NULL."""
    return rows.select(*[_flat(f) for f in rows.schema.fields])


def for_postgresql(rows: DataFrame) -> DataFrame:
    """As `nested_as_json`; NUL characters, which PostgreSQL cannot hold, are U+FFFD."""

    def without_nul(field: StructField) -> Column:
        if is_nested(field.dataType):
            return F.regexp_replace(_flat(field), _ESCAPED_NUL, rf"$1{REPLACEMENT}").alias(field.name)
        if isinstance(field.dataType, StringType):
            return F.replace(_flat(field), F.lit("\0"), F.lit(REPLACEMENT)).alias(field.name)
        return _flat(field)

    return rows.select(*[without_nul(f) for f in rows.schema.fields])


def _flat(field: StructField) -> Column:
    value = F.col(f"`{field.name}`")
    return F.to_json(value, _JSON).alias(field.name) if is_nested(field.dataType) else value
