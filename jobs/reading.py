"""Files as lines of text: by Spark's own reader where it reads them rightly, by ours where it would not."""

from collections.abc import Collection, Sequence
from functools import reduce

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.odd_files import GZIP_MAGIC, ODD_LINES, read_files
from jobs.s3 import SCHEMES
from jobs.storage import each, head, open_binary
from transforms.records import is_foreign, raw_lines

_OTHER_FORMATS = (".zip", ".snappy", ".parquet", ".orc", ".avro", ".bz2", ".zst", ".lz4", ".deflate", ".xz")
"""Names of which Spark would decompress or refuse the content: our reader looks at the bytes instead."""
_GLOB_CHARACTERS = set("{}[]*?\\")


def lines_of(spark: SparkSession, ordinary: Sequence[str], odd: Sequence[str], max_record_bytes: int) -> DataFrame:
    """The lines of files named by their URIs, as RAW_LINES; those of the `odd` ones come through our own reader."""
    parts = [raw_lines(read_text(spark, ordinary))] if ordinary else []
    if odd:
        uris = spark.createDataFrame(pa.table({"uri": list(odd)})).repartition(min(len(odd), 16))
        read = read_files(open_binary, max_record_bytes)
        parts.append(uris.mapInArrow(read, ODD_LINES).withColumn("value", F.col("value").cast("string")))
    return reduce(DataFrame.unionByName, parts)


def odd_among(uris: Collection[str]) -> set[str]:
    """Those of the files that Spark's own reader would misread, by their names and first bytes."""
    return {uri for uri, is_odd in zip(uris, each(_looks_odd, uris), strict=True) if is_odd}


def _looks_odd(uri: str) -> bool:
    """Whether name and first bytes disagree, or it is no text, or Hadoop cannot name it, or takes its name for a glob.

    Told not to expand globs, Spark reads each path of a call once for every glob among them (seen with 4.2.0).
    """
    if _GLOB_CHARACTERS & set(uri):
        return True
    if uri.startswith(SCHEMES) and {"", ".", ".."} & set(uri.split("/")[3:]):
        return True  # a key such as `a//b`, which Hadoop takes for `a/b`
    start = head(uri)
    is_gzip = start.startswith(GZIP_MAGIC)
    return uri.lower().endswith(_OTHER_FORMATS) or is_gzip != uri.endswith(".gz") or (is_foreign(start) and not is_gzip)


def read_text(spark: SparkSession, uris: Sequence[str]) -> DataFrame:
    """Spark's text source over files named one by one, split at LF only; none may look like a glob."""
    reader = spark.read.format("text").option("lineSep", "\n")
    return reader.load([uri.replace("file://", "file:", 1) for uri in uris])
