"""Tables of newest versions: which of the versions of a thing stays, whatever the order in which they come."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.contract import TableContract


def _rank(of: str = "") -> Column:
    """What decides between versions of one key; two of one rank are told apart by their text."""
    return F.struct(f"{of}version", f"{of}record")


def newest(versions: DataFrame, contract: TableContract) -> DataFrame:
    """One row per key of the contract, whose columns `versions` has: the version of the highest rank."""
    whole = F.struct(*[F.col(name) for name in versions.columns])
    return versions.groupBy(*contract.key).agg(F.max_by(whole, _rank()).alias("kept")).select("kept.*")


def is_newer(new: str, known: str) -> Column:
    """Whether the version of the alias `new` outranks that of `known`."""
    return _rank(f"{new}.") > _rank(f"{known}.")
