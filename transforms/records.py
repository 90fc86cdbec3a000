"""From lines to records: what every provider's files have in common before anything is parsed for meaning."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, LongType, StringType, StructField, StructType

RAW_LINES = StructType(
    [
        StructField("path", StringType(), False),  # the file, as the reader names it
        StructField("block", LongType(), False),  # where the reader's share of the file starts, bytes
        StructField("value", StringType(), False),  # the line without its LF; of one too large, its first part
        StructField("full_length", LongType(), True),  # bytes of a line that is too large; else NULL
        StructField("full_sha256", StringType(), True),  # of such a line, hex; else NULL
        StructField("cut_off", BooleanType(), False),  # whether the file breaks within this line
        StructField("failure", StringType(), True),  # why the file cannot be read: its only row; else NULL
    ]
)
"""What both readers of files give: Spark's own for ordinary files, ours for odd ones."""

_FOREIGN_STARTS = (b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"ORC", b"Obj\x01", b"\xff\x06\x00\x00sNaPpY")
"""How gzip, ZIP, Parquet, ORC, Avro and framed Snappy begin."""


def is_foreign(head: bytes) -> bool:
    """Whether bytes at the start of a file are those of a format that is not lines of text."""
    return head.startswith(_FOREIGN_STARTS)


def starts_foreign(line: Column) -> Column:
    """The same of a line: the sign that a file is not the text its name promised."""
    head = F.left(line, F.lit(10)).cast("binary")
    found = F.lit(False)
    for start in _FOREIGN_STARTS:
        found = found | F.startswith(head, F.lit(bytearray(start)))
    return ~F.startswith(line, F.lit("{")) & found


def filename_of(path: Column) -> Column:
    """Spark's encoded `file_path` as the one form that all tables use: decoded, `file:///…`."""
    decoded = F.when(
        F.contains(path, F.lit("%")), F.try_url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
    ).otherwise(path)
    return F.when(
        F.startswith(decoded, F.lit("file:/")) & ~F.startswith(decoded, F.lit("file:///")),
        F.concat(F.lit("file://"), F.substring(decoded, 6, 2_147_483_647)),
    ).otherwise(decoded)


def without_line_end(line: Column) -> Column:
    """The line without byte order mark, outer blanks and the CR of a CRLF."""
    is_bare = F.startswith(line, F.lit("{")) & F.endswith(line, F.lit("}"))
    trimmed = F.trim(F.ltrim(line, F.lit("\ufeff")), F.lit(" \t\r"))  # slow: looks at every character
    return F.when(is_bare, line).otherwise(trimmed)


def raw_lines(text: DataFrame) -> DataFrame:
    """Rows of Spark's text source, one per line, as RAW_LINES."""
    return text.select(
        F.col("_metadata.file_path").alias("path"),
        F.col("_metadata.file_block_start").alias("block"),
        F.col("value"),
        F.lit(None).cast("long").alias("full_length"),
        F.lit(None).cast("string").alias("full_sha256"),
        F.lit(False).alias("cut_off"),
        F.lit(None).cast("string").alias("failure"),
    )
