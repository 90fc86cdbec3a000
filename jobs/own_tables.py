"""Tables of the team's own, whose columns settings name."""

from collections.abc import Collection, Mapping, Sequence

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from conf.errors import ConfigurationError
from jobs.storage import location


def delta_table(spark: SparkSession, path: str, setting: str) -> DataFrame:
    """The Delta table at the path that the setting names."""
    folder = str(location(path))
    if not DeltaTable.isDeltaTable(spark, folder):
        raise ConfigurationError(f"{setting}: {folder} is no Delta table; name the folder of one.")
    return spark.read.format("delta").load(folder)


def mapped(
    called: Mapping[str, str], found: Sequence[str], place: str, setting: str, needed: Collection[str] = ()
) -> Mapping[str, str | None]:
    """Of `found` the name that each of `called` is called there, upper and lower case alike; None if it is not there.

    Refused is a source without a column that is `needed` or that is called otherwise than by its name; the line says
    where it is (`place`), and which `setting` maps the names.
    """
    wanted = {*needed, *(name for name, other in called.items() if name != other)}
    by_name = {name.lower(): name for name in reversed(found)}
    names = {name: by_name.get(other.lower()) for name, other in called.items()}
    if missing := [f"`{called[name]}`" for name in called if name in wanted and names[name] is None]:
        raise ConfigurationError(
            f"{place} names no column {' or '.join(missing)}, but {', '.join(found)[:200]}; say with "
            f"{setting}.<name> what it calls {', '.join(called)}."
        )
    return names
