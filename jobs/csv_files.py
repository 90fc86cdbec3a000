"""Folders of CSV files, each of which names its columns in its first line, in any order."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from conf.errors import ConfigurationError
from transforms.texts import as_texts

_LONGEST_HEADER = 100_000
Names = Mapping[str, str | None]


def files_in(folder: Path, setting: str | None) -> list[Path]:
    """The `*.csv` files of a folder, by name; none if there is no folder, unless a `setting` names it."""
    if setting and not folder.is_dir():
        raise ConfigurationError(f"{setting}: {folder} is no folder; name that of the *.csv files.")
    return sorted(file for file in folder.glob("*.csv") if file.is_file())


def texts_of_files(
    spark: SparkSession, files: Iterable[Path], names_of: Callable[[Sequence[str], str], Names]
) -> DataFrame | None:
    """The rows of the files as texts; None if no file has a first line.

    `names_of` gets the names in a first line, and where they stand in words; it says which column is which.
    """
    by_header: dict[tuple[str, ...], list[Path]] = defaultdict(list)
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


def _header(file: Path) -> tuple[str, ...] | None:
    """The names of the file's columns; None if it is empty."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            first = lines.readline(_LONGEST_HEADER)
    except OSError as problem:
        raise ConfigurationError(f"{file}: cannot be read: {problem.strerror}.") from None
    return tuple(name.strip() for name in next(csv.reader([first]), [])) if first else None


def _read(spark: SparkSession, header: tuple[str, ...], files: list[Path], names: Names) -> DataFrame:
    # A row is a line: else a quote that never closes would take the rest of its file along.
    reader = spark.read.option("header", "true").option("escape", '"')
    schema = ", ".join(f"column_{i} string" for i in range(len(header)))
    rows = reader.schema(schema).csv([file.as_uri() for file in files])
    return as_texts(rows, {name: own and f"column_{header.index(own)}" for name, own in names.items()})
