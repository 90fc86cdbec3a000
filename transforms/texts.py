"""Sources of the team's own as texts, whatever the types of their columns."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

_BLANKS = r"^[\s\u00a0]+|[\s\u00a0]+$"


def as_texts(rows: DataFrame, names: Mapping[str, str | None]) -> DataFrame:
    """The columns that `names` gives to columns of `rows`, as texts; NULL where it gives none.

    A time without a zone is UTC, as the session is; an array is JSON.
    """

    def text(own: str) -> Column:
        return F.to_json(column(own)) if isinstance(rows.schema[own].dataType, ArrayType) else column(own)

    texts = {name: F.lit(None) if own is None else text(own) for name, own in names.items()}
    return rows.select(*[text.cast("string").alias(name) for name, text in texts.items()])


def column(name: str) -> Column:
    """The column of exactly this name, dots and all."""
    return F.col(f"`{name.replace('`', '``')}`")


def stripped(stated: Column) -> Column:
    """The text without blanks around it; NULL if nothing is left."""
    text = F.regexp_replace(stated.cast("string"), _BLANKS, "")
    return F.when(text != "", text)
