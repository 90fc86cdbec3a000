"""From lines to records, and to what is wrong with them: what every provider's files have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, LongType, StringType, StructField, StructType

from schemas.quarantine import Reason
from transforms.json_text import fenced_object, is_one_value, is_utf8, only_object

ACCEPTED, QUARANTINED, CONTROL = "accepted", "quarantined", "control"

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


def path_of(filename: Column) -> Column:
    """The path that `filename_of` turns into this file name."""
    return F.replace(filename, F.lit("%"), F.lit("%25"))


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


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a record may be: settings, and the time of loading."""

    max_record_bytes: int
    earliest: datetime
    latest: datetime


@dataclass(frozen=True, kw_only=True)
class RecordForm:
    """How a provider's records lie in a line."""

    schema: str
    """Of a record: the fields of a struct, as DDL."""
    extras: tuple[str, ...] = ()
    """Names of texts that `entries` gives beside a record, such as what its wrapper states."""
    is_plain: Callable[[Column], Column]
    """Whether a line that is one object, parsed, is a record as it stands; most lines are."""
    entries: Callable[[Column, Column], Column]
    """The records of any other line, from its text and, if it is one object, its parse: an array of structs of
    `raw` and `layer`, which is a struct of the extras and `record`."""


CARRIED = ("path", "block", "full_length", "full_sha256", "cut_off", "failure")


def record_steps(form: RecordForm, max_record_bytes: int) -> list[list[Column]]:
    """Selects from RAW_LINES to one row per record: where it stands, its text `raw`, and `record`, parsed once.

    `place` orders the records of a batch and is unique in it; it is no position in the file yet. `record` is NULL
    for what is no object, and where nothing is to be read: `cut_off`, `full_length` or `odd` say why.
    """
    line, odd, record, entry = F.col("line"), F.col("odd"), F.col("record"), F.col("entry")
    is_whole = F.col("failure").isNull() & ~F.col("cut_off") & F.col("full_length").isNull()
    is_odd = is_whole & ((F.octet_length("value") > max_record_bytes) | starts_foreign(F.col("value")))
    is_read = is_whole & ~odd
    # Most lines are one record: they pass no look into wrappers or pieces, and the parse is not copied.
    is_single = form.is_plain(record) | ~is_read
    layer = "".join(f"{name}:string," for name in form.extras) + f"record:struct<fence:string,{form.schema}>"
    itself = F.array(F.lit(None).cast(f"struct<raw:string,layer:struct<{layer}>>"))
    carried = [F.col(name) for name in CARRIED]
    return [
        [
            *carried,
            F.when(F.col("cut_off"), F.col("value")).otherwise(without_line_end(F.col("value"))).alias("line"),
            is_odd.alias("odd"),
        ],
        [*carried, odd, line, F.when(is_read, fenced_object(line, form.schema)).alias("parsed")],
        [*carried, odd, line, only_object(F.col("parsed")).alias("record")],
        [*carried, odd, line, record, is_single.alias("is_single")],
        [
            *carried,
            odd,
            line,
            record,
            F.col("is_single"),
            F.explode(F.when(F.col("is_single"), itself).when(line != "", form.entries(line, record))).alias("entry"),
        ],
        [
            *carried,
            odd,
            F.monotonically_increasing_id().alias("place"),
            F.when(F.col("is_single"), line).otherwise(entry["raw"]).alias("raw"),
            F.when(F.col("is_single"), record).otherwise(entry["layer"]["record"]).alias("record"),
            *[entry["layer"][name].alias(name) for name in form.extras],
        ],
    ]


Case = tuple[Column, Reason, Column]
"""A condition, the reason it is, and words for a person."""


def unreadable(text: Column, detail: Column, limits: Limits) -> list[Case]:
    """What keeps a record from being read as one JSON object: `text`, which is what `record` was parsed from."""
    is_too_large = F.col("full_length").isNotNull() | F.col("odd")
    is_object = F.startswith(text, F.lit("{"))
    return [
        (F.col("cut_off"), Reason.CUT_OFF, F.lit("the file breaks here")),
        (is_too_large, Reason.TOO_LARGE, F.lit(f"longer than max_record_bytes={limits.max_record_bytes}")),
        (~is_utf8(F.col("raw")), Reason.NOT_JSON, F.lit("not valid UTF-8")),
        (~F.col("is_parsed") & ~is_object & is_one_value(text), Reason.NOT_AN_OBJECT, F.lit(None)),
        (~F.col("is_parsed"), Reason.NOT_JSON, detail),
    ]


def first_problem(cases: Sequence[Case]) -> Column:
    """The first of the cases that is true, as a struct of `reason` and `detail`; NULL if none is."""
    problem = F.lit(None).cast("struct<reason:string,detail:string>")
    for condition, name, words in reversed(cases):
        found = F.struct(F.lit(name.value).alias("reason"), words.cast("string").alias("detail"))
        problem = F.when(condition, found).otherwise(problem)
    return problem


def judged() -> Column:
    """The outcome of a record that is no control message."""
    return F.when(F.col("problem").isNotNull(), F.lit(QUARANTINED)).otherwise(F.lit(ACCEPTED))


def verdict(limits: Limits, outcome: Column) -> list[Column]:
    """Where a record stands and what became of it: what a batch counts, and the columns of `quarantine`."""
    is_bad = F.col("problem").isNotNull()
    raw = F.col("raw")
    return [
        F.col("filename"),
        F.col("block"),
        F.col("place"),
        F.col("odd"),
        F.col("failure"),
        outcome.alias("outcome"),
        F.col("problem.reason").alias("reason"),
        F.col("problem.detail").alias("detail"),
        F.when(is_bad, F.left(raw, F.lit(limits.max_record_bytes)).cast("binary")).alias("record"),
        F.when(is_bad, F.coalesce(F.col("full_length"), F.octet_length(raw).cast("long"))).alias("record_length"),
        F.when(is_bad, F.coalesce(F.col("full_sha256"), F.sha2(raw.cast("binary"), 256))).alias("record_sha256"),
    ]


def bucket_of(filename: Column) -> Column:
    """The S3 bucket of a file's URI; empty on a local disk."""
    on_s3 = F.regexp_extract(filename, "^s3[an]?://([^/]+)/", 1)
    return F.when(F.startswith(filename, F.lit("s3")), on_s3).otherwise(F.lit(""))


def raw_record(raw: Column, record: Column) -> Column:
    """A record's text beside what it parses to."""
    return F.struct(raw.alias("raw"), record.alias("record"))


def parsed_each(texts: Column, parsed: Callable[[Column], Column]) -> Column:
    """An array of texts as an array of `raw_record`."""
    return F.transform(texts, lambda text: raw_record(text, parsed(text)))
