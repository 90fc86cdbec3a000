"""Folders of CSV files, each of which names its columns in its first line, in any order."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce

from pyspark.sql import DataFrame, SparkSession

from conf.errors import ConfigurationError
from jobs.storage import Location, read_first
from transforms.texts import as_texts

_LONGEST_HEADER = 100_000
Names = Mapping[str, str | None]


def files_in(folder: Location, setting: str | None) -> list[Location]:
    """The `*.csv` files of a folder, by name; none if there is no folder, unless a `setting` names it."""
    if setting and not folder.is_dir():
        raise ConfigurationError(f"{setting}: {folder} is no folder; name that of the *.csv files.")
    return sorted(file for file in folder.glob("*.csv") if file.is_file())


def texts_of_files(
    spark: SparkSession, files: Iterable[Location], names_of: Callable[[Sequence[str], str], Names]
) -> DataFrame | None:
    """The rows of the files as texts; None if no file has a first line.

    `names_of` gets the names in a first line, and where they stand in words; it says which column is which.
    """
    by_header: dict[tuple[str, ...], list[Location]] = defaultdict(list)
    for file in files:
        if (header := _header(file)) is not None:
            by_header[header].append(file)
    if not by_header:
        return None
    # Spark takes one header for all files of a call: files of another order would be read into wrong columns.
    frames = [
        _read(spark, header, alike, names_of(header, f"{alike[0]}: the first line"))
        for header, alike in by_header.items()
    ]
    return reduce(DataFrame.unionByName, frames)


def _header(file: Location) -> tuple[str, ...] | None:
    """The names of the file's columns; None if it is empty."""
    try:
        start = read_first(file, _LONGEST_HEADER)
    except OSError as problem:
        raise ConfigurationError(f"{file}: cannot be read: {problem.strerror or problem}.") from None
    first = io.StringIO(start.decode("utf-8-sig", errors="replace"), newline="").readline()
    return tuple(name.strip() for name in next(csv.reader([first]), [])) if first else None


def _read(spark: SparkSession, header: tuple[str, ...], files: list[Location], names: Names) -> DataFrame:
    # A row is a line: else a quote that never closes would take the rest of its file along.
    reader = spark.read.option("header", "true").option("escape", '"')
    schema = ", ".join(f"column_{i} string" for i in range(len(header)))
    rows = reader.schema(schema).csv([file.as_uri() for file in files])
    return as_texts(rows, {name: own and f"column_{header.index(own)}" for name, own in names.items()})
